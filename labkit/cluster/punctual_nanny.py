"""Dask's nanny, which watches a worker process, where it would hang or give up too early."""

from __future__ import annotations

import asyncio

from distributed import Nanny, Status

KILLED_S = 20.0


class PunctualNanny(Nanny):
    """A nanny that can end a worker process whatever became of its start, also on a busy machine.

    When ``death_timeout`` passes, Dask (2026.7.1) cancels the start and leaves the process marked
    as starting. Killing one that is so marked fails an assertion, which leaves the nanny closing
    for ever, and with it the call that launches the cluster.

    A process that does not end by itself gets SIGKILL and one second to be gone. Where the system
    needs longer, the nanny fails, and the closing of the cluster with it.
    """

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        """As of ``Nanny``, after an interrupted start as well; a killed process is waited for.

        Raises:
            TimeoutError: it is not gone ``KILLED_S`` seconds after it was killed.
        """
        process = self.process
        if process is not None and process.status == Status.starting and process.running.is_set():
            process.status = Status.failed
        try:
            await super().kill(timeout=timeout, reason=reason)
        except TimeoutError:
            if process is None:
                raise
            await asyncio.wait_for(process.stopped.wait(), KILLED_S)
