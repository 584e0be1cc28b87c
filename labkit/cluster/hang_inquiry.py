"""Ranks that report no step are asked where they are, before anybody says that they hang."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from labkit.cluster.blame import Failure
from labkit.cluster.hang_watch import ASK_S, HangWatch
from labkit.cluster.position import find_culprit, has_moved

if TYPE_CHECKING:
    from labkit.cluster.gang import Gang


class HangInquiry:
    """Asks twice, so that ranks which only are slow are seen to move between the answers.

    Args:
        gang: the ranks.
        hang: says when they have been silent for too long.
    """

    def __init__(self, gang: Gang, hang: HangWatch) -> None:
        self.gang = gang
        self.hang = hang
        self._answer_by_s: float | None = None  # while they are asked
        self._positions: dict[int, dict[str, Any]] = {}
        self._positions_before: dict[int, dict[str, Any]] = {}

    def take(self, rank: int, event: dict[str, Any]) -> None:
        """Note an event of type ``position``."""
        self._positions[rank] = event

    @property
    def due_s(self) -> float:
        """On the clock, when ``proceed`` has something to do if no step comes."""
        return self.hang.due_s if self._answer_by_s is None else self._answer_by_s

    def proceed(self, ended: Collection[int]) -> Failure | None:
        """Ask, or judge what was answered: which rank keeps the others waiting?

        Args:
            ended: ranks that answer no more.
        """
        if self._answer_by_s is None:
            self._positions_before = {}
            self._ask()
            return None
        self._answer_by_s = None
        now = self.hang.clock()
        if now < self.hang.due_s:  # a step came meanwhile
            return None
        asked = [rank for rank in range(self.gang.num_ranks) if rank not in ended]
        all_answer = {*asked} <= {*self._positions}
        if all_answer and not self._positions_before:
            self._positions_before = self._positions
            self._ask()
            return None
        moving = all_answer and has_moved(self._positions_before, self._positions)
        busy = any(said["doing"] for said in self._positions.values())
        if (moving or busy) and self.hang.excuse():
            return None
        silent_s = now - self.hang.last_s
        what = "no end after the last step" if self.hang.after_last else "no step"
        rank, why = find_culprit(self._positions, asked)
        return Failure(
            cause="hung",
            rank=rank,
            why=f"{what} for {silent_s:.1f} s; {why}",
            at_s=time.time() - silent_s,
        )

    def _ask(self) -> None:
        """Ask the ranks where they are.

        Where they cannot be asked, it is the scheduler or a worker that does not answer. Then the
        ranks may be well; a worker is found by ``WorkerLook``.
        """
        self._positions = {}
        if self.gang.tell_ranks("where") or not self.hang.excuse():
            self._answer_by_s = self.hang.clock() + ASK_S
