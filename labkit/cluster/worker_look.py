"""Whether the workers of a run's ranks are well, where nothing is heard of these ranks."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from labkit.cluster.blame import Failure
from labkit.cluster.silent_workers import find_silent
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from labkit.cluster.gang import Gang

QUIET_S = 3.0  # a rank that is not heard for so long may have a worker that is stopped
WORKER_ANSWER_S = 3.0


class WorkerLook:
    """Looks for workers whose process is there, but does nothing.

    What ranks report goes through their workers, so only those of quiet ranks are looked at.

    Args:
        gang: the ranks.
    """

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        now = time.monotonic()
        self._heard_s = dict.fromkeys(range(gang.num_ranks), now)
        self._due_s = now + QUIET_S

    def note_heard(self, rank: int) -> None:
        """Something came from a rank."""
        self._heard_s[rank] = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last look was some seconds ago."""
        return time.monotonic() >= self._due_s

    def look(self, ended: Collection[int]) -> tuple[str, Failure] | None:
        """The first worker that has gone silent, and the failure of its rank.

        Args:
            ended: ranks that need no worker any more.
        """
        found = self._find_silent(ended)
        self._due_s = time.monotonic() + QUIET_S
        if found is None:
            return None
        return found, Failure(
            cause="hung",
            rank=self.gang.workers.index(found),
            why=f"its worker {found} does not answer, nor has been heard for a while",
            at_s=time.time() - QUIET_S - WORKER_ANSWER_S,
        )

    def _find_silent(self, ended: Collection[int]) -> str | None:
        now = time.monotonic()
        quiet = [
            worker
            for rank, worker in enumerate(self.gang.workers)
            if rank not in ended and now - self._heard_s[rank] >= QUIET_S
        ]
        if not quiet:
            return None
        try:
            return find_silent(self.gang.cluster.client, quiet, WORKER_ANSWER_S)
        except (ClusterError, CancelledError):  # the scheduler's fault; seen next time
            return None
