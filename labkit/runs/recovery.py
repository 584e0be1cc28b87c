"""A run that goes on by itself: its ranks are started again where a failure may not come back.

A rank that raised an error of its program fails the run at once, for it would raise again. A rank
that died, was lost with its worker, or hangs is recovered: fresh ranks go on from the newest
checkpoint, or begin again where there is none. Which ranks are left and which checkpoint was
committed last, the leader of the failed attempt has said; where no rank is left to be the leader,
this process decides, and the record says so. Ranks whose worker is lost before they have started
are placed again, which is no restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.cluster.ask_scheduler import NoAnswer
from labkit.cluster.blame import Failure
from labkit.cluster.gang import Gang, new_run
from labkit.cluster.gang_start import WorkerLost
from labkit.cluster.hang_watch import HangWatch
from labkit.cluster.placing import give_workers_back
from labkit.cluster.supervision import Supervision
from labkit.errors import BusyError, LabError, RankFailed, RunStopped
from labkit.runs import recovery_record
from labkit.runs.kept_checkpoints import find_newest
from labkit.runs.record import RunRecord, Status
from labkit.runs.restart_policy import REPLACE_S, RestartPolicy, next_job, next_num_ranks

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.train.job import TrainJob

PLACE_TRIES = 3  # of placing ranks again, as a worker may be lost meanwhile

logger = logging.getLogger(__name__)


class Recovery:
    """Starts the ranks of a run, and starts them again.

    Args:
        cluster: where.
        job: of the first attempt.
        policy: how often, and with how many ranks.
        record: of the run; its steps, leaders, recoveries and restarts are kept here.
        lock: held while the record changes.
        queue_s, origin_s, run, on_event, on_placed: see ``Gang``.
        on_restart: called with the job of a further attempt, before it is started; the record goes
            back to that job's first step then.
        on_end: called once, on the watching thread, with the last gang and what it failed with.
    """

    def __init__(
        self,
        cluster: Cluster,
        job: TrainJob,
        *,
        policy: RestartPolicy,
        record: RunRecord,
        lock: threading.Lock,
        origin_s: float,
        on_event: Callable[[int, dict[str, Any]], None],
        on_placed: Callable[[Gang], None],
        on_restart: Callable[[TrainJob], None],
        on_end: Callable[[Gang, Exception | None], None],
        queue_s: float = 0.0,
        run: str = "",
    ) -> None:
        self.cluster = cluster
        self.job = job
        self.run = run or new_run()
        self.policy = policy
        self.gang: Gang
        self.changed = threading.Condition()
        self.error: Exception | None = None
        self._record = record
        self._lock = lock
        self._origin_s = origin_s
        self._on_event = on_event
        self._on_placed = on_placed
        self._on_restart = on_restart
        self._on_end = on_end
        self._ended: Status | None = None
        self._stopping = False
        self._attempt = 0  # restarts so far
        self._num_starts = 0  # gangs, those too that did not get as far as to run
        self._shown = -1  # which of them ``gang`` is
        self._queue_s = queue_s
        self._tries_left = PLACE_TRIES if policy.max_restarts else 0
        self._hang = HangWatch(job.num_steps)  # of the newest gang
        self._failed: RankFailed | WorkerLost | None = None  # what the ranks are started again for
        record.run = self.run
        try:
            first = self._start(queue_s)
        except WorkerLost as lost:
            if not self._tries_left:
                raise
            first = self._place_again(lost)
        self._show(first)

    # -- what the run shows --------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Of the run: as long as it goes on after a failure, it runs."""
        if self._ended is not None:
            return self._ended
        return "running" if self._attempt else self.gang.status

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._ended is not None

    def stop(self) -> None:
        """Ask the ranks to stop, or what is starting them again."""
        self._stopping = True
        self.gang.stop()

    def join(self, timeout_s: float | None) -> None:
        """Wait for the end of the run.

        Raises:
            TimeoutError: it has not ended in time.
            LabError: what it failed with.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: self.done, timeout_s):
                raise TimeoutError(f"run {self.run} has not ended within {timeout_s} s; it goes on")
        if self.error is not None:
            raise self.error

    # -- attempts ------------------------------------------------------------------------------

    def _start(self, queue_s: float) -> Gang:
        """Start the ranks of the next attempt."""
        from labkit.train.program import train_rank

        plan, restarts_left = self.job.plan, self.policy.max_restarts - self._attempt
        with self._lock:
            terms = [leader["term"] for leader in self._record.leaders]
        supervision = Supervision(
            run=self.run,
            attempt=self._num_starts,
            first_term=max(terms, default=0) + 1,
            recoverable=restarts_left > 0,
            on_failure=self.policy.on_failure,
        )
        self._hang = HangWatch(
            self.job.num_steps, start_step=self.job.start_step, step_s=self._hang.step_s
        )
        settings: dict[str, Any] = {
            "run": supervision.gang,
            "per_replica": plan.pp * plan.tp,
            "queue_s": queue_s,
            "on_event": self._take,
            "on_placed": self._on_placed,
            "on_end": self._take_end,
            "origin_s": self._origin_s,
            "hang": self._hang,
            "supervision": supervision,
        }
        self._num_starts += 1
        if self._num_starts > 1:
            return Gang(self.cluster, train_rank, plan.world_size, (self.job,), **settings)
        return self.cluster.start_ranks(train_rank, plan.world_size, (self.job,), **settings)

    def _place_again(self, lost: Exception) -> Gang:
        """A worker was lost before any rank of this attempt had started."""
        logger.warning("run %s: %s; its ranks are placed again", self.run, lost)
        if self._failed is None and isinstance(lost, WorkerLost):
            self._failed = lost
        self._tries_left -= 1
        return self._start(max(self._queue_s, REPLACE_S))

    def _show(self, gang: Gang) -> None:
        """The newest gang is the run's; who started it may come here after its follower did."""
        assert gang.supervision is not None
        with self._lock:
            if gang.supervision.attempt > self._shown:
                self.gang, self._shown = gang, gang.supervision.attempt

    def _take_end(self, gang: Gang) -> None:
        """On the gang's watching thread: it has ended, and its processes with it."""
        error, gone_on = gang.progress.error, self._attempt
        try:
            if self._goes_on(gang):
                self._start_again(gang)
                return
        except Exception as obstacle:
            if not isinstance(obstacle, LabError):
                logger.exception("run %s could not be started again", self.run)
            error = self._explain(obstacle)
        if isinstance(error, BusyError):
            error = self._explain(error)
        elif isinstance(error, RankFailed) and gone_on:
            times = "1 restart" if gone_on == 1 else f"{gone_on} restarts"
            error = _with_note(error, f"it had gone on after {times}")
        self._finish(gang, error)

    def _goes_on(self, gang: Gang) -> bool:
        progress = gang.progress
        if progress.error is None or self._stopping or self.cluster.closed:
            return False
        if self.cluster.client.status != "running":  # the scheduler is gone, and all with it
            return False
        if progress.failure is not None:
            left = self._attempt < self.policy.max_restarts
            return left and progress.failure.is_recoverable
        if gang.placed_s or not self._tries_left:
            return False
        if not self._attempt:  # what else keeps a run from being placed, its user has to know
            return isinstance(progress.error, WorkerLost)
        return not isinstance(progress.error, BusyError | NoAnswer | RunStopped)

    def _start_again(self, gang: Gang) -> None:
        """Start fresh ranks; the run goes on with them, or stops if that was asked meanwhile."""
        failure, error = gang.progress.failure, gang.progress.error
        if failure is None:
            assert error is not None
            following = self._place_again(error)
        else:
            self._failed = failure.to_error()
            self._tries_left = PLACE_TRIES
            self._prepare(gang, failure)
            following = self._start(REPLACE_S)
        self._show(following)
        if self._stopping:
            following.stop()

    def _prepare(self, gang: Gang, failure: Failure) -> None:
        """Go back to a checkpoint, and change the plan if ranks are left out.

        Raises:
            LabError: that cannot be; nothing has changed.
        """
        job, progress = self.job, gang.progress
        with self._lock:
            known = recovery_record.num_known(self._record, job)
        committed = "" if progress.decision is None else progress.decision["committed"]
        # Steps that are not known here would be missing from the record: none is beyond them.
        saved = find_newest(self.cluster, job.checkpoints, committed, known)
        wanted, on_failure = job.plan.world_size, self.policy.on_failure
        num_ranks = next_num_ranks(wanted, on_failure, progress, self.cluster)
        self.job = next_job(job, num_ranks, saved)
        self._attempt += 1
        with self._lock:
            recovery_record.note_restart(self._record, gang, failure, self._attempt, self.job)
        self._on_restart(self.job)

    # -- events --------------------------------------------------------------------------------

    def _take(self, rank: int, event: dict[str, Any]) -> None:
        """On the gang's watching thread: keep what concerns attempts, and pass the event on."""
        with self._lock:
            wall_s = time.time() - self._origin_s
            recovery_record.note_event(self._record, rank, event, self._attempt, wall_s)
        self._on_event(rank, event)

    # -- the end -------------------------------------------------------------------------------

    def _explain(self, obstacle: Exception) -> Exception:
        """The failure, and why the run did not go on after it."""
        if self._failed is None or isinstance(obstacle, RunStopped):
            return obstacle
        return _with_note(self._failed, f"the run could not go on: {obstacle}")

    def _give_up_place(self) -> None:
        """Workers are kept for an attempt that is not going to be."""
        give_workers_back(self.cluster, Supervision(run=self.run, attempt=self._num_starts).gang)

    def _finish(self, gang: Gang, error: Exception | None) -> None:
        if self._stopping and error is not None:
            error = RunStopped(f"run {self.run} was stopped")
        try:
            if gang.progress.failure is not None:
                self._give_up_place()
            with self._lock:
                if error is None:
                    recovery_record.note_gone_on(self._record, time.time() - self._origin_s)
                recovery_record.end_leaders(
                    self._record.leaders, self._attempt, "run ended", gang.progress.failure
                )
            self._on_end(gang, error)
        except Exception as unexpected:
            logger.exception("run %s ended, but its record could not be made", self.run)
            error = error or unexpected
        self.error = error
        with self.changed:
            stopped = isinstance(error, RunStopped) or (self._stopping and error is None)
            self._ended = "stopped" if stopped else "failed" if error else "done"
            self.changed.notify_all()


def _with_note(failed: RankFailed | WorkerLost, note: str) -> LabError:
    """The same failure with something added to the line that names it."""
    first, _, rest = str(failed).partition("\n")
    text = f"{first}; {note}\n{rest}".strip()
    if isinstance(failed, WorkerLost):
        return WorkerLost(text)
    return RankFailed(text, rank=failed.rank, rank_traceback=failed.rank_traceback)
