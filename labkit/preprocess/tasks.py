"""Running part functions over partitions: on the cluster's workers, or in this process.

Both run the same functions on the same partitions in the same order, so both give the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, Protocol
from weakref import WeakSet

from labkit.errors import ClusterError, RunStopped

POLL_S = 0.1
STALL_S = 120.0
PAUSED_STALL_S = 30.0

OnProgress = Callable[[str, int, int, dict[str, Any]], None]
ShouldStop = Callable[[], bool]


class Executor(Protocol):
    """Where the part functions run."""

    def begin(self, step: str, total: int) -> None:
        """Name the step that the next mapped tasks belong to, and how many it has."""

    def call(self, function: Callable[..., Any], *values: Any, **settings: Any) -> Any:
        """Call the function once and return its result: a short task, not counted, not stopped."""

    def map(
        self, function: Callable[..., Any], *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """Call the function on each part; the results stay where they were made.

        Args:
            function: a module-level function.
            parts: one or more lists of equal length, a call takes one of each.
            settings: the same for every call.
        Returns:
            Handles of the results, in the order of the parts, to be given to ``map`` again.
        """

    def collect(
        self, function: Callable[..., Any], *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """As ``map``, but bring the results here; only for small summaries."""


class InThisProcess:
    """One machine, one process: handles are the results themselves."""

    def begin(self, step: str, total: int) -> None:
        """Nothing to prepare."""

    def call(self, function: Callable[..., Any], *values: Any, **settings: Any) -> Any:
        """Call the function here."""
        return function(*values, **settings)

    def map(
        self, function: Callable[..., Any], *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """Call the function on each part, one after the other."""
        return [function(*each, **settings) for each in zip(*parts, strict=True)]

    collect = map


class OnCluster:
    """One Dask task a partition, with progress, Stop and a deadline.

    Args:
        client: a ``distributed.Client``.
        report: handed to ``on_progress``; others fill it.
        on_progress: called in this thread as ``(step, done, total, report so far)``.
        should_stop: polled ten times a second.
        stall_s: seconds without a finished task after which the cluster is given up.
    """

    def __init__(
        self,
        client: Any,
        *,
        report: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        self._client = client
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._stall_s = stall_s
        self._futures: WeakSet[Any] = WeakSet()
        self._report = {} if report is None else report
        self._step, self._done, self._total = "start", 0, 0

    def begin(self, step: str, total: int) -> None:
        """Start counting a new step's tasks."""
        self._step, self._done, self._total = step, 0, total
        self._tell(0)

    def call(self, function: Callable[..., Any], *values: Any, **settings: Any) -> Any:
        """Submit one task and wait for its result; ``should_stop`` is not asked.

        Raises:
            ClusterError: as in ``map``.
        """
        self._require_open()
        future = self._client.submit(function, *values, pure=False, **settings)
        self._futures.add(future)
        self._wait([future], mapped=False)
        try:
            return future.result(timeout=self._stall_s)
        except TimeoutError as error:
            raise ClusterError(self._stalled(self._stall_s)) from error

    def map(
        self, function: Callable[..., Any], *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """Submit one task a part and wait for all of them.

        Raises:
            RunStopped: ``should_stop`` said so.
            ClusterError: the workers are gone, paused, or nothing finished for ``stall_s``.
            Exception: what the function raised, such as ``SourceError``.
        """
        self._require_open()
        # pure=False: a source file may have changed since the same call was made before.
        futures: list[Any] = self._client.map(function, *parts, pure=False, **settings)
        self._futures.update(futures)
        self._wait(futures, mapped=True)
        return futures

    def collect(
        self, function: Callable[..., Any], *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """As ``map``, then one more task gathers the summaries and sends them here."""
        summaries: list[Any] = self.call(list, self.map(function, *parts, **settings))
        return summaries

    def cancel(self) -> None:
        """Give up every task of this executor: what waits is dropped, what runs is not kept."""
        # Released and not Client.cancel: in distributed 2026.7.1 that fails in the scheduler when
        # a task's dependents were released already, and it disconnects the client.
        for future in list(self._futures):
            future.release()

    def _wait(self, futures: Sequence[Any], *, mapped: bool) -> None:
        from distributed import wait

        pending = set(futures)
        last_done_s = time.monotonic()
        while pending:
            if mapped and self._should_stop is not None and self._should_stop():
                raise RunStopped(f"preprocessing was stopped in step {self._step}")
            try:
                with self._client.as_current():  # it need not be the process's default client
                    state = wait(list(pending), timeout=POLL_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                self._require_open()
                self._check_stall(time.monotonic() - last_done_s)
                continue
            except CancelledError as error:
                raise ClusterError(self._closed()) from error
            for future in state.done:
                self._check(future)
            last_done_s = time.monotonic()
            if mapped:
                self._tell(len(state.done))
            pending = state.not_done

    def _check(self, future: Any) -> None:
        if future.status == "finished":
            return
        if future.status != "error":
            raise ClusterError(self._closed())
        cause = future.exception(timeout=self._stall_s)
        from distributed import KilledWorker

        if isinstance(cause, KilledWorker):
            raise ClusterError(
                f"a worker died in step {self._step}, perhaps for want of memory; launch the "
                "cluster again, with fewer workers or with fewer rows"
            ) from cause
        future.result(timeout=self._stall_s)  # raises the task's own error, LabError or not

    def _require_open(self) -> None:
        if self._client.status != "running":
            raise ClusterError(self._closed())

    def _closed(self) -> str:
        return f"the cluster was closed before step {self._step} was done; launch it again"

    def _check_stall(self, stalled_s: float) -> None:
        if stalled_s >= min(PAUSED_STALL_S, self._stall_s):
            paused = self._paused_workers()
            if stalled_s >= self._stall_s or paused:
                raise ClusterError(self._stalled(stalled_s, paused))

    def _stalled(self, stalled_s: float, paused: Sequence[str] = ()) -> str:
        message = f"nothing finished for {stalled_s:.0f} s in step {self._step}"
        if paused:
            return (
                f"{message}: {', '.join(paused)} paused, because over 80 % of the memory limit is "
                "in use; launch fewer workers, or take fewer rows"
            )
        return f"{message}; see that the workers live and are free, then launch again"

    def _paused_workers(self) -> list[str]:
        workers: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return [address for address, worker in workers.items() if worker["status"] == "paused"]

    def _tell(self, finished: int) -> None:
        self._done += finished
        if self._on_progress is not None:
            self._on_progress(self._step, self._done, self._total, self._report)
