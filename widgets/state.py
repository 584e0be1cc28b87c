"""What the panels share: the engine, and what was made with it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.figures.style import LIGHT, Theme
from labkit.runs.curve import Curve
from labkit.runs.curve_store import CurveStore
from labkit.runs.store import RunStore
from labkit.workload import Workload
from widgets.engine import Engine
from widgets.jobs import Job, Log


@dataclass(slots=True, kw_only=True)
class LabState:
    """Shared by the panels; replaced piece by piece, never changed in place.

    Attributes:
        engine: ``labkit``, or a fake one.
        log: lines for people.
        store: where every run that has ended is kept.
        cluster, dataset, run, curve: the newest of each, ``None`` before the first.
        planned_workers: what the Workers slider says, for plans made before the launch.
        theme: colours of the pictures, from the page's own theme.
        jobs: every panel's job.
        background: short jobs beside those of the panels; some begin by themselves, some by a
            button, such as an attack. A panel's job may begin meanwhile, and waits for their end.
        watches: jobs that go on beside those of the panels, until they are stopped.
        num_stored: goes up whenever something was kept or removed.
    """

    engine: Engine
    log: Log
    store: RunStore
    cluster: Cluster | None = None
    dataset: Any = None
    run: Any = None
    curve: Curve | None = None
    planned_workers: int = 4
    theme: Theme = LIGHT
    jobs: list[Job] = field(default_factory=list)
    background: list[Job] = field(default_factory=list)
    watches: list[Job] = field(default_factory=list)
    num_stored: int = 0

    @property
    def num_devices(self) -> int:
        """Devices that a plan may use: of the cluster, or of the one about to be launched.

        A worker that was killed comes back, and the plan stays what it was meanwhile; somebody's
        cluster may have become smaller for good.
        """
        if self.cluster is None:
            return self.planned_workers
        there = len(self.cluster.workers)
        return there if self.cluster.kind == "existing" else max(there, self.cluster.most_workers)

    @property
    def active_job(self) -> Job | None:
        """The job at work, if any."""
        return next((job for job in self.jobs if job.active), None)

    @property
    def curves(self) -> CurveStore:
        """The sweeps that are kept beside the runs."""
        return CurveStore(self.store.folder)

    def cores_beyond(self, num_devices: int) -> int | None:
        """The processor cores, if so many ranks would share them; else ``None``."""
        cluster = self.cluster
        if cluster is None or cluster.kind != "cpu" or not cluster.num_cores:
            return None
        return cluster.num_cores if cluster.num_cores < num_devices else None

    def dataset_of(self, workload: Workload) -> Any:
        """What was preprocessed here if the workload trains on it, else ``None``."""
        made = self.dataset
        return made if made is not None and made.name == workload.dataset else None
