"""The workers that short tasks may use now: those that no run holds; see ``reservation``."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable
from typing import Any

from labkit.cluster.ask_scheduler import PATIENT_S, ask_scheduler
from labkit.errors import ClusterError

ASK_EVERY_S = 0.2
AHEAD = 3  # tasks that a worker has at a time: one that it does, and more, so that it never waits


class TaskShare:
    """What one series of tasks may use of a scheduler's workers.

    A run that asks for workers starts as soon as they have done the few tasks that they have, so
    tasks are given to workers little by little. A worker that is suspended, or does not answer for
    a minute, is started anew, or its tasks would never be done.

    Args:
        client: a ``distributed.Client``.
        num_workers: to use at most; ``None`` uses all.

    Attributes:
        workers: addresses, as they were a fifth of a second ago at most.
        only: the same where others may get no tasks; ``None`` where any worker will do.
        kept_out: whether runs hold all workers, so that nothing can be given.
    """

    def __init__(self, client: Any, num_workers: int | None = None) -> None:
        self._client = client
        self._num_workers = num_workers
        self._name = f"tasks-{uuid.uuid4().hex[:10]}"
        self.workers: list[str] = []
        self.only: list[str] | None = None
        self.kept_out = False
        self._in_line = False
        self._asked_s = float("-inf")

    def room(self, num_pending: int) -> int:
        """Tasks that may be given now, where so many were given and are not done."""
        return max(0, AHEAD * len(self.workers) - num_pending)

    def ask(self, pending: Iterable[Any]) -> list[Any]:
        """Ask the scheduler again, if it is time to.

        Args:
            pending: futures of the tasks that are not done.
        Returns:
            Those that have to be given again, as their worker is a run's now, or gone.
        Raises:
            ClusterError: the scheduler is gone, or does not answer.
        """
        if time.monotonic() - self._asked_s < ASK_EVERY_S:
            return []
        from labkit.cluster.reservation import share
        from labkit.cluster.silent_workers import restart_silent

        futures = {future.key: future for future in pending}
        ask = (share, self._name, self._client.id, list(futures))
        answer = ask_scheduler(self._client, *ask, timeout_s=PATIENT_S)
        if answer.silent:
            restart_silent(self._client, answer.silent)
        self._asked_s = time.monotonic()
        self.workers = sorted(answer.workers)[: self._num_workers]
        fewer = len(self.workers) < len(answer.workers)
        self.only = self.workers if answer.restricted or fewer else None
        self.kept_out = answer.kept and not answer.workers
        self._in_line = self._in_line or self.kept_out
        return [futures[key] for key in answer.stuck]

    def leave(self) -> None:
        """There are no more tasks for now: end the turn, if they had to wait for one."""
        from labkit.cluster.reservation import leave

        if self._in_line and self._client.status == "running":
            with contextlib.suppress(ClusterError):  # its turn ends by itself, only later
                ask_scheduler(self._client, leave, self._name)
        self._in_line = False
