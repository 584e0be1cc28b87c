"""The client's side of a run: ranks started together or not at all, watched until the last ends."""

from __future__ import annotations

import logging
import pickle
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from labkit.cluster.ask_scheduler import SchedulerLost
from labkit.cluster.blame import Failure
from labkit.cluster.gang_end import call_on_workers, end_ranks, give_back
from labkit.cluster.gang_start import place
from labkit.cluster.gang_watch import GangWatch, Message, without_scheduler
from labkit.errors import LabError, RunStopped

if TYPE_CHECKING:
    from distributed import Future

    from labkit.cluster.cluster import Cluster
    from labkit.cluster.hang_watch import HangWatch
    from labkit.cluster.rank_owner import RankEnd
    from labkit.cluster.supervision import Supervision

TELL_S = 1.0

GangStatus = Literal["starting", "running", "done", "stopped", "failed"]

logger = logging.getLogger(__name__)


def new_run() -> str:
    """An identifier for a run: when it started, and what no other has."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


@dataclass(slots=True)
class Progress:
    """What the watching thread knows; read by others under the gang's condition.

    Attributes:
        failure: why it failed; ``None`` also when it was stopped or closed.
        noticed_s: wall clock when that was known here.
        lost: ranks that were not to be counted on then.
        decision: the event by which the ranks' leader said how the run goes on after that.
        silent: address of a worker whose process is there, but does nothing.
    """

    status: GangStatus = "starting"
    started: set[int] = field(default_factory=set)
    ends: dict[int, RankEnd] = field(default_factory=dict)
    error: Exception | None = None
    failure: Failure | None = None
    noticed_s: float = 0.0
    lost: set[int] = field(default_factory=set)
    decision: dict[str, Any] | None = None
    silent: str = ""
    stopping: bool = False
    started_s: float | None = None


class Gang:
    """Ranks of one run, one per worker.

    Args:
        cluster: where they run.
        function: called as ``function(context, *args)`` on every rank, with a ``RankContext``;
            functions defined in a notebook travel by value.
        num_ranks: workers it takes, all at once.
        args: further arguments.
        per_replica: neighbouring ranks that belong on one host.
        queue_s: seconds that it may wait in the line for its workers, which its watching thread
            then does; 0 waits some seconds here.
        on_event: called on the watching thread with ``(rank, event)`` for each live event.
        on_placed: called once it has its workers, with the gang.
        on_end: called there once, before waiters wake, with the gang.
        origin_s: wall clock of the user's call, the zero of ``context.now()``.
        run: its identifier, from ``new_run``; empty makes one.
        supervision: of a run that may be started again; its ranks elect a leader.
        hang: tells when such a run does not go on; ``None`` waits for ever.
    Raises:
        BusyError: fewer free workers than ranks; nothing was started.
        ClusterError: the cluster is closed.
    """

    def __init__(
        self,
        cluster: Cluster,
        function: Callable[..., Any],
        num_ranks: int,
        args: tuple[Any, ...] = (),
        *,
        per_replica: int = 1,
        queue_s: float = 0.0,
        on_event: Callable[[int, dict[str, Any]], None] | None = None,
        on_placed: Callable[[Gang], None] | None = None,
        on_end: Callable[[Gang], None] | None = None,
        origin_s: float | None = None,
        run: str = "",
        supervision: Supervision | None = None,
        hang: HangWatch | None = None,
    ) -> None:
        import cloudpickle

        self.cluster = cluster
        self.num_ranks = num_ranks
        self.supervision = supervision
        self.hang = hang
        self.run = run or new_run()
        self.origin_s = time.time() if origin_s is None else origin_s
        self.per_replica = per_replica
        self.queue_s = queue_s
        self.position = 0
        self.on_event = on_event
        self.on_placed = on_placed
        self.on_end = on_end
        self.program: bytes = cloudpickle.dumps((function, args))
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.progress = Progress()
        self.workers: list[str] = []
        self.futures: list[Future[Any]] = []
        self.placed_s = 0.0
        cluster.adopt(self)
        self.thread = threading.Thread(target=self._watch, name=f"gang-{self.run}", daemon=True)
        if not queue_s:
            try:
                place(self)
            except BaseException:
                try:
                    end_ranks(self)
                finally:
                    give_back(self)
                raise
        self.thread.start()

    # -- what a user of the gang sees ----------------------------------------------------------

    @property
    def status(self) -> GangStatus:
        """starting, running, done, stopped or failed."""
        return self.progress.status

    @property
    def done(self) -> bool:
        """Whether every rank has ended."""
        return self.status in ("done", "stopped", "failed")

    def stop(self) -> None:
        """Ask the ranks to stop at the same step; they are ended if they do not follow."""
        self.inbox.put(("stop",))

    def wait(self, timeout_s: float | None = None) -> list[Any]:
        """Results by rank, once all have ended.

        Raises:
            TimeoutError: they have not ended within ``timeout_s`` seconds; they go on.
            RankFailed: a rank raised or died; names the first one, with its traceback.
            RunStopped: it was stopped before the ranks had a result.
        """
        self.join(timeout_s)
        return self.results()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end; raises as ``wait`` does."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.done, timeout_s):
                raise TimeoutError(f"run {self.run} has not ended within {timeout_s} s; it goes on")
        if self.progress.error is not None:
            raise self.progress.error

    def results(self) -> list[Any]:
        """Results by rank of a gang that has ended; raises as ``wait`` does."""
        if self.progress.error is not None:
            raise self.progress.error
        return [pickle.loads(self.progress.ends[rank].result) for rank in range(self.num_ranks)]

    def output(self) -> dict[int, str]:
        """What each rank printed (its tail), once it has ended."""
        return {rank: end.output for rank, end in sorted(self.progress.ends.items())}

    def rank_pids(self) -> dict[int, int]:
        """Process of each rank that runs, on its host."""
        from labkit.cluster.rank_tasks import rank_pid

        packet = (rank_pid, self.cluster.plugin_name, self.run)
        pids = self.cluster.call_workers(*packet, workers=self.workers)
        found = {rank: pids.get(worker) for rank, worker in enumerate(self.workers)}
        return {rank: pid for rank, pid in found.items() if pid}

    # -- watching ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Thread: handle what arrives until every rank has ended; then tell the waiters."""
        error: Exception | None = None
        try:
            if self.queue_s:
                place(self)
            error = GangWatch(self).attend()
        except SchedulerLost:
            error = without_scheduler(self.run)
        except LabError as expected:
            error = expected
        except Exception as unexpected:
            logger.exception("watching run %s failed", self.run)
            # A connection that breaks while ranks are placed; what only takes long is no loss.
            broken = isinstance(unexpected, OSError) and not isinstance(unexpected, TimeoutError)
            error = without_scheduler(self.run) if broken else unexpected
        try:
            try:
                if error is not None or len(self.progress.ends) < self.num_ranks:
                    end_ranks(self)
            finally:
                give_back(self)
        except Exception:
            logger.exception("run %s could not be cleared away", self.run)
        self.progress.error = error
        try:
            if self.on_end is not None:
                self.on_end(self)
        except Exception as unexpected:
            logger.exception("run %s ended, but its record could not be made", self.run)
            self.progress.error = error = error or unexpected
        with self.changed:
            stopped = isinstance(error, RunStopped) or (self.progress.stopping and error is None)
            self.progress.status = "stopped" if stopped else "failed" if error else "done"
            self.changed.notify_all()

    def tell_ranks(self, command: Any, timeout_s: float = TELL_S) -> bool:
        """Hand a command to the ranks that are there; see ``rank_process``.

        Returns:
            Whether all their workers took it.
        """
        from labkit.cluster.rank_tasks import tell_rank

        return call_on_workers(self, tell_rank, command, timeout_s=timeout_s)
