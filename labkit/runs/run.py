"""One execution of a workload under a plan: a live handle first, then a record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.cluster.dataset_on_hosts import reach_all_hosts
from labkit.cluster.workers import WorkersLate
from labkit.errors import SettingError
from labkit.runs.complete_record import complete, first_record
from labkit.runs.live_record import snapshot, take_event
from labkit.runs.record import Kind, RunRecord, Status
from labkit.runs.recovery import Recovery
from labkit.train.checkpoint_files import remove_passing

if TYPE_CHECKING:
    import numpy as np

    from labkit.cluster.cluster import Cluster
    from labkit.cluster.gang import Gang
    from labkit.plan import Plan
    from labkit.preprocess.dataset import Dataset
    from labkit.project.forecast import Forecast
    from labkit.runs.posting import Posting
    from labkit.runs.restart_policy import RestartPolicy
    from labkit.train.job import RankResult, TrainJob
    from labkit.workload import Workload

NOT_KEPT = "this run kept no weights; train(..., keep_weights=True) keeps them, and the gradients"

logger = logging.getLogger(__name__)


class Run:
    """A run that ``labkit.train`` started.

    While it is live: ``view()`` is what is known so far, ``stop()`` ends it within two seconds.
    Everything that needs the end (``record``, ``losses``, ``wait()``) waits for it, and raises
    what made the run fail.
    """

    def __init__(
        self,
        cluster: Cluster,
        job: TrainJob,
        *,
        origin_s: float,
        dataset: Dataset,
        expect: Callable[[Plan], Forecast],
        policy: RestartPolicy,
        posting: Posting,
        queue_s: float = 0.0,
    ) -> None:
        expected = expect(job.plan)
        self.cluster = cluster
        self.job = job
        self._origin_s = origin_s
        self._dataset = dataset
        self._lock = threading.Lock()
        self._weights: dict[str, np.ndarray] | None = None
        self._gradients: dict[str, np.ndarray] | None = None
        self._expect = expect
        self._device_s = 0.0  # of an emulated run: what earlier attempts took on the device's clock
        self._record = first_record(posting.run, job, dataset, expected)
        self._posting = posting
        posting.note(self._record)
        self._recovery = Recovery(
            cluster,
            job,
            policy=policy,
            record=self._record,
            lock=self._lock,
            queue_s=queue_s,
            on_event=self._take,
            on_placed=self._note_places,
            on_restart=self._note_restart,
            on_end=self._finish,
            origin_s=origin_s,
            run=posting.run,
        )
        posting.on_stop(self.stop)

    # -- live ----------------------------------------------------------------------------------

    @property
    def run(self) -> str:
        """Identifier of this run."""
        return self._record.run

    @property
    def kind(self) -> Kind:
        """measured or emulated."""
        return self._record.kind

    @property
    def workload(self) -> Workload:
        """What is trained."""
        return self.job.workload

    @property
    def plan(self) -> Plan:
        """How it is split now: a run that goes on with fewer ranks has a smaller plan."""
        from labkit.plan import Plan

        return Plan.from_dict(self._record.plan)

    @property
    def status(self) -> Status:
        """starting, running, done, stopped or failed."""
        return self._recovery.status

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._recovery.done

    def view(self) -> RunRecord:
        """What is known now: a snapshot that later events do not change."""
        with self._lock:
            seen = snapshot(self._record)
        if seen.status in ("starting", "running"):
            seen.status = self._recovery.status
            seen.queue_position = self._recovery.gang.position
        return seen

    def to_json(self) -> dict[str, Any]:
        """As the record's, of what is known now."""
        return self.view().to_json()

    def stop(self) -> None:
        """Ask the ranks to stop on the same step; returns at once."""
        self._recovery.stop()

    def rank_pids(self) -> dict[int, int]:
        """Process of each rank that runs now, on its host."""
        return self._recovery.gang.rank_pids()

    @property
    def gang(self) -> Gang:
        """The ranks of the attempt that runs now."""
        return self._recovery.gang

    @property
    def clock_s(self) -> float:
        """Seconds on the wall since the call of ``train``."""
        return time.time() - self._origin_s

    @property
    def restarts_left(self) -> int:
        """How often it may go on by itself yet; the failure after these ends it."""
        return self._recovery.policy.max_restarts - self._record.restarts

    def note_attack(self, attack: dict[str, Any]) -> dict[str, Any]:
        """Keep in the record what was done to this run; see ``RunRecord.attacks``."""
        with self._lock:
            self._record.attacks.append(attack)
        return attack

    # -- afterwards ----------------------------------------------------------------------------

    def wait(self, timeout_s: float | None = None) -> RunRecord:
        """The record, once the run has ended.

        Raises:
            TimeoutError: it has not ended within ``timeout_s`` seconds; it goes on.
            RankFailed: a rank raised or died; the message names the first, with its traceback.
            RunStopped: it was stopped before its ranks could report.
            BusyError: it waited for workers for too long.
            ClusterError: a worker or the scheduler was lost, and the run could not go on.
        """
        self._recovery.join(timeout_s)
        return self._record

    @property
    def record(self) -> RunRecord:
        """The record; waits for the end."""
        return self.wait()

    @property
    def losses(self) -> list[float]:
        """Loss of each step; waits for the end."""
        return self.wait().losses

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The trained weights by name, unsharded; waits.

        Raises:
            SettingError: it did not keep them.
            LabError: as ``wait``.
        """
        self.wait()
        if self._weights is None:
            raise SettingError(NOT_KEPT)
        return self._weights

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients of the last step by name, unsharded; as ``weights``."""
        self.wait()
        if self._gradients is None:
            raise SettingError(NOT_KEPT)
        return self._gradients

    def __repr__(self) -> str:
        view = self.view()
        loss = f", loss {view.losses[-1]:.4f}" if view.steps else ""
        return (
            f"<Run {view.run} {view.kind} {view.status}: {view.workload['name']} {view.strategy} "
            f"on {view.world_size}, step {len(view.steps)} of {view.planned_steps}{loss}>"
        )

    # -- on the gang's watching thread ---------------------------------------------------------

    def _note_places(self, gang: Gang) -> None:
        """Note which worker has which rank; in the thread that places the gang.

        A host that was away may have lost what the lab had copied there. A worker that is lost
        meanwhile, or does not answer, is no reason to fail: those who watch the ranks notice that
        none comes there, and start them again elsewhere.
        """
        if not self.cluster.shares_files:
            try:
                reach_all_hosts(self._dataset, self.cluster, gang.workers)
            except WorkersLate as late:
                logger.warning("run %s: %s", self.run, late)
        described = {worker["address"]: worker for worker in self.cluster.workers}
        with self._lock:
            self._record.startup_s.setdefault("cluster", gang.placed_s)
            self._record.devices = [
                {
                    "rank": rank,
                    "backend": self.cluster.backend,
                    "backend_why": self.cluster.backend_why,
                    **described.get(address, {"address": address}),
                }
                for rank, address in enumerate(gang.workers)
            ]

    def _take(self, rank: int, event: dict[str, Any]) -> None:
        with self._lock:
            take_event(self._record, event, self._device_s)

    def _note_restart(self, job: TrainJob) -> None:
        """Fresh ranks go on from the steps that the record has, maybe under a smaller plan."""
        expected = self._expect(job.plan)
        with self._lock:
            record = self._record
            if job.emulation is not None:
                self._device_s = record.steps[-1].end_s if record.steps else 0.0
            record.plan, record.strategy = job.plan.to_dict(), job.plan.strategy
            record.world_size = job.plan.world_size
            record.memory_bytes["formula"] = [dict(parts) for parts in expected.memory or ()]
            record.ideal = expected.to_dict()
            seen = snapshot(record)
        self._posting.note(seen)

    def _finish(self, gang: Gang, error: Exception | None) -> None:
        """Complete the record, and tell other clients, that of a run whose results are bad too."""
        try:
            self._note_end(gang, error)
        except Exception as unexpected:
            with self._lock:
                self._record.status = "failed"
                self._record.error = f"its results cannot be read: {unexpected!r}"
            raise
        finally:
            self._posting.end(self._record)

    def _note_end(self, gang: Gang, error: Exception | None) -> None:
        """Complete the record from what the ranks returned, or from why they could not."""
        with self._lock:
            record = self._record
            if gang.progress.started_s is not None and not record.restarts:
                record.startup_s["ranks"] = gang.progress.started_s - gang.placed_s
            if error is None:
                results = gang.results()
                self._complete(results)
                record.status = "stopped" if any(r.stopped for r in results) else "done"
                if record.status == "done":
                    remove_passing(self.job.checkpoints)
            else:
                from labkit.errors import RunStopped

                record.status = "stopped" if isinstance(error, RunStopped) else "failed"
                record.error = str(error)
            if record.steps and "first_step" not in record.startup_s:
                record.startup_s["first_step"] = record.steps[0].end_s

    def _complete(self, results: list[RankResult]) -> None:
        complete(self._record, self.job, results, self._device_s)
        self._weights, self._gradients = results[0].weights, results[0].gradients
