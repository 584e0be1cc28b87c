"""Dask's nanny, which watches a worker process, without a hang that a slow start can lead to."""

from __future__ import annotations

from distributed import Nanny, Status


class PunctualNanny(Nanny):
    """A nanny that can end a worker process whose start took too long.

    When ``death_timeout`` passes, Dask (2026.7.1) cancels the start and leaves the process marked
    as starting. Killing one that is so marked fails an assertion, which leaves the nanny closing
    for ever, and with it the call that launches the cluster.
    """

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        """As of ``Nanny``, after an interrupted start as well."""
        process = self.process
        if process is not None and process.status == Status.starting and process.running.is_set():
            process.status = Status.failed
        await super().kill(timeout=timeout, reason=reason)
