"""Collectives that break while every process is there: for whom did the ranks wait?"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labkit.cluster.blame import Failure, waited_in_vain
from labkit.cluster.position import find_culprit

if TYPE_CHECKING:
    from labkit.cluster.gang import Gang

PEERS_S = 1.0  # who is missing is known by then, if a process is; and where the others are


class LostPeers:
    """Takes the complaints of ranks whose collectives broke.

    Where one of them gave up waiting, connections break for its neighbours, whose complaints say
    no more than that, and may come first. So all are asked where they are.

    Args:
        gang: the ranks.

    Attributes:
        due_s: on the monotonic clock, when ``judge`` has something to say; infinite before the
            first complaint.
    """

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.due_s = float("inf")
        self._complaints: list[Failure] = []
        self._gave_up: list[int] = []
        self._positions: dict[int, dict[str, Any]] = {}
        self._all_asked = False

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._complaints)

    def take_complaint(self, rank: int, event: dict[str, Any]) -> None:
        """Note an event of type ``lost_peers``."""
        why, detail = event["why"], event["detail"]
        self._complaints.append(
            Failure(cause="peers_lost", rank=rank, why=why, detail=detail, at_s=time.time())
        )
        self.due_s = min(self.due_s, time.monotonic() + PEERS_S)
        if waited_in_vain(why):
            self._gave_up.append(rank)
            if len(self._gave_up) == 1:
                self._all_asked = self.gang.tell_ranks("where")

    def take_position(self, rank: int, event: dict[str, Any]) -> None:
        """Note an event of type ``position``, if it is an answer."""
        if self._gave_up:
            self._positions[rank] = event

    def judge(self, ended: Collection[int]) -> Failure:
        """What the ranks failed of, if no process turned out to be gone.

        Args:
            ended: ranks that answer no more.
        Returns:
            The hang of a rank that complains of nothing, and does not answer or has started fewer
            collectives than the first that gave up; else the first complaint.
        """
        first = self._complaints[0]
        waiting = next((rank for rank in self._gave_up if rank in self._positions), None)
        others = {*range(self.gang.num_ranks)} - {*ended} - {each.rank for each in self._complaints}
        asked = others if self._all_asked else others & {*self._positions}
        if waiting is None or not asked:
            return first
        rank, why = find_culprit(self._positions, sorted(asked))
        started = {each: said["collectives"] for each, said in self._positions.items()}
        if rank not in others or started.get(rank, -1) >= started[waiting]:
            return first
        why = f"rank {waiting} gave up waiting for it; {why}"
        return replace(first, cause="hung", rank=rank, why=why, detail="")
