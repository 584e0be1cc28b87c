"""Running functions over parts: on the cluster's workers, or in this process.

Both run the same functions on the same parts in the same order, so both give the same bits. Only
small results come back; nothing stays in a worker's memory, so a task whose worker died is simply
done again by another. Once its result is here, or nobody wants it any more, the scheduler is told
to forget a task: one that it still believed to be wanted, it would do again when its worker dies.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, Protocol

from labkit.cluster.ask_scheduler import NoAnswer, SchedulerLost, worker_infos
from labkit.cluster.task_share import TaskShare
from labkit.errors import ClusterError, RunStopped

logger = logging.getLogger(__name__)

POLL_S = 0.1
STALL_S = 120.0
PAUSED_S = 8.0  # workers that are paused this long, while nothing finishes, are named
GATHER_S = 10.0  # for small results that are there; one that has to be made again takes longer
MAX_RETRIES = 5  # of one task whose workers died

OnProgress = Callable[[str, int, int, dict[str, Any]], None]
ShouldStop = Callable[[], bool]


class Executor(Protocol):
    """Where the part functions run."""

    def begin(self, step: str, total: int) -> None:
        """Name the step that the next mapped tasks belong to, and how many it has."""

    def expect(self, more: int) -> None:
        """The step has so many more tasks."""

    def call(self, function: Callable[..., Any], /, *values: Any, **settings: Any) -> Any:
        """Call the function once and return its result: a short task, not counted, not stopped."""

    def map(
        self, function: Callable[..., Any], /, *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """Call the function on each part.

        Args:
            function: a module-level function; what it returns must be small, and what it writes
                must be the same if it is called again.
            parts: one or more lists of equal length, a call takes one of each.
            settings: the same for every call.
        Returns:
            The results, in the order of the parts.
        """


class InThisProcess:
    """One machine, one process."""

    def begin(self, step: str, total: int) -> None:
        """Nothing to prepare."""

    def expect(self, more: int) -> None:
        """Nothing to prepare."""

    def call(self, function: Callable[..., Any], /, *values: Any, **settings: Any) -> Any:
        """Call the function here."""
        return function(*values, **settings)

    def map(
        self, function: Callable[..., Any], /, *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """Call the function on each part, one after the other."""
        return [function(*each, **settings) for each in zip(*parts, strict=True)]


class OnCluster:
    """One Dask task a partition, with progress, Stop and a deadline.

    Workers that a run holds get no tasks; see ``reservation``.

    Args:
        client: a ``distributed.Client``.
        report: handed to ``on_progress``; others fill it.
        on_progress: called in this thread as ``(step, done, total, report so far)``.
        should_stop: polled ten times a second.
        stall_s: seconds without a finished task after which the cluster is given up.
        queue_s: seconds that a single task may wait for its turn while runs hold all workers.
        num_workers: to use at most; ``None`` uses all.
    """

    def __init__(
        self,
        client: Any,
        *,
        report: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
        stall_s: float = STALL_S,
        queue_s: float = 0.0,
        num_workers: int | None = None,
    ) -> None:
        self._client = client
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._stall_s = stall_s
        self._futures: set[Any] = set()  # of tasks that the scheduler knows of
        self._queue_s = queue_s
        self._share = TaskShare(client, num_workers)
        self._report = {} if report is None else report
        self._step, self._done, self._total = "start", 0, 0

    def begin(self, step: str, total: int) -> None:
        """Start counting a new step's tasks."""
        self._step, self._done, self._total = step, 0, total
        self._tell(0)

    def expect(self, more: int) -> None:
        """Count so many more tasks to the step."""
        self._total += more

    def call(self, function: Callable[..., Any], /, *values: Any, **settings: Any) -> Any:
        """Submit one task and wait for its result.

        ``should_stop`` is asked only while runs hold all workers.

        Raises:
            RunStopped, ClusterError: as in ``map``.
        """
        self._require_open()
        return self._results([partial(function, *values, **settings)], mapped=False)[0]

    def map(
        self, function: Callable[..., Any], /, *parts: Sequence[Any], **settings: Any
    ) -> list[Any]:
        """Submit one task a part, wait for all of them and bring their results here.

        Raises:
            RunStopped: ``should_stop`` said so.
            ClusterError: the workers are gone, paused, or nothing finished for ``stall_s``.
            Exception: what the function raised, such as ``SourceError``.
        """
        self._require_open()
        calls = [partial(function, *each, **settings) for each in zip(*parts, strict=True)]
        return self._results(calls, mapped=True)

    def _submit(self, call: Callable[[], Any]) -> Any:
        # pure=False: a source file may have changed since the same call was made before.
        future = self._client.submit(call, pure=False, workers=self._share.only)
        self._futures.add(future)
        return future

    def _forget(self, future: Any) -> None:
        """Have the scheduler forget a task: what waits is dropped, what runs is not kept."""
        # Not left to the garbage collector, which comes late: errors and coroutines hold futures in
        # cycles. Released and not Client.cancel: in distributed 2026.7.1 that fails in the
        # scheduler when a task's dependents were released already, and it disconnects the client.
        self._futures.discard(future)
        future.release()

    def _results(self, calls: Sequence[Callable[[], Any]], *, mapped: bool) -> list[Any]:
        """The results of all calls in order; a call whose worker died is made again."""
        try:
            return self._share_out(calls, mapped=mapped)
        finally:
            for future in list(self._futures):
                self._forget(future)
            self._share.leave()

    def _share_out(self, calls: Sequence[Callable[[], Any]], *, mapped: bool) -> list[Any]:
        """Give each worker a few calls at a time, until all have their results."""
        from distributed import wait

        results: list[Any] = [None] * len(calls)
        tries = [0] * len(calls)
        waiting = deque(range(len(calls)))
        pending: dict[Any, int] = {}
        last_done_s = time.monotonic()
        queue_until_s = last_done_s + (float("inf") if mapped else self._queue_s)
        while waiting or pending:
            stoppable = mapped or self._share.kept_out
            if stoppable and self._should_stop is not None and self._should_stop():
                raise RunStopped(f"preprocessing was stopped in step {self._step}")
            for future in self._stuck(pending):
                waiting.appendleft(pending.pop(future))
                self._forget(future)
            for _ in range(min(len(waiting), self._share.room(len(pending)))):
                place = waiting.popleft()
                pending[self._submit(calls[place])] = place
            if not pending:
                time.sleep(POLL_S)
                self._require_open()
                if self._share.kept_out and time.monotonic() < queue_until_s:
                    last_done_s = time.monotonic()  # its turn comes when a run ends
                self._check_stall(time.monotonic() - last_done_s)
                continue
            try:
                with self._client.as_current():  # it need not be the process's default client
                    state = wait(list(pending), timeout=POLL_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                self._require_open()
                self._check_stall(time.monotonic() - last_done_s)
                continue
            except CancelledError as error:
                raise ClusterError(self._closed()) from error
            finished = self._gather([each for each in state.done if each.status == "finished"])
            for future, value in finished:
                results[pending.pop(future)] = value
                self._forget(future)
            left = [each for each in state.done if each in pending]
            failed = [each for each in left if each.status in ("error", "lost")]
            for future in failed:
                place = pending.pop(future)
                self._check_again(future, tries[place])
                self._forget(future)
                tries[place] += 1
                waiting.appendleft(place)
            if any(future.status == "cancelled" for future in pending):
                raise ClusterError(self._closed())
            if finished or failed:
                last_done_s = time.monotonic()
            self._check_stall(time.monotonic() - last_done_s)
            if mapped:
                self._tell(len(finished))
        return results

    def _stuck(self, pending: Mapping[Any, int]) -> list[Any]:
        """Tasks that have to be given again; asking says where more can go as well."""
        try:
            return self._share.ask(pending)
        except (SchedulerLost, OSError, CancelledError) as error:
            raise ClusterError(self._closed()) from error

    def _gather(self, futures: list[Any]) -> list[tuple[Any, Any]]:
        """Each future with its result; asked for together, since each question is a round trip.

        A result can be lost with its worker before it is here, and the worker that makes it again
        can die as well, or be busy with a run: then none is returned, and the futures say what
        became of them.
        """
        from distributed import KilledWorker

        gather = partial(self._client.gather, futures, asynchronous=True)
        try:
            values = self._client.sync(gather, callback_timeout=GATHER_S)
        except (KilledWorker, TimeoutError):
            return []
        return list(zip(futures, values, strict=True))

    def _check_again(self, future: Any, tries: int) -> None:
        """Raise unless the task failed only because its worker died, and may be tried again."""
        self._require_open()
        from distributed import KilledWorker

        cause = future.exception(timeout=self._stall_s) if future.status == "error" else None
        if cause is not None and not isinstance(cause, KilledWorker):
            future.result(timeout=self._stall_s)  # raises the task's own error, LabError or not
        if tries >= MAX_RETRIES:
            raise ClusterError(
                f"{tries + 1} workers died one after the other on the same task of step "
                f"{self._step}, perhaps for want of memory; launch fewer workers, so that each "
                "has more"
            ) from cause
        logger.warning("a worker died in step %s; its task is done again", self._step)

    def _require_open(self) -> None:
        if self._client.status != "running":
            raise ClusterError(self._closed())

    def _closed(self) -> str:
        return f"the cluster was closed before step {self._step} was done; launch it again"

    def _check_stall(self, stalled_s: float) -> None:
        if stalled_s >= min(PAUSED_S, self._stall_s):
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
        try:
            workers = worker_infos(self._client)
        except NoAnswer:
            return []
        return [address for address, worker in workers.items() if worker["status"] == "paused"]

    def _tell(self, finished: int) -> None:
        self._done += finished
        if self._on_progress is not None:
            self._on_progress(self._step, self._done, self._total, self._report)
