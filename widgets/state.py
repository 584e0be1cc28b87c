"""What the panels share: the engine, and what was made with it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from labkit.cluster.cluster import Cluster
from labkit.figures.style import LIGHT, Theme
from labkit.plan import Plan
from labkit.runs.curve import Curve
from labkit.workload import Workload
from widgets.jobs import Job, Log


class Engine(Protocol):
    """The part of ``labkit`` that the panels call; tests pass a fake one."""

    def launch(self, num_workers: int) -> Cluster:
        """Workers, started."""

    def preprocess(
        self,
        sources: None,
        *,
        cluster: Cluster,
        rows: int,
        on_progress: Callable[..., None],
        should_stop: Callable[[], bool],
    ) -> Any:
        """A dataset, from the raw sources."""

    def train(
        self,
        workload: Workload,
        plan: Plan,
        cluster: Cluster,
        *,
        steps: int,
        dataset: Any,
        should_stop: Callable[[], bool],
    ) -> Any:
        """A live run."""

    def sweep(
        self,
        workload: Workload,
        *,
        cluster: Cluster,
        strategies: tuple[str, ...],
        devices: tuple[int, ...],
        steps: int,
        repeats: int,
        scaling: Any,
        dataset: Any,
        on_update: Callable[[Curve], None],
        should_stop: Callable[[], bool],
    ) -> Curve:
        """A curve, measured."""


@dataclass(slots=True, kw_only=True)
class LabState:
    """Shared by the panels; replaced piece by piece, never changed in place.

    Attributes:
        engine: ``labkit``, or a fake one.
        log: lines for people.
        cluster, dataset, run, curve: the newest of each, ``None`` before the first.
        planned_workers: what the Workers slider says, for plans made before the launch.
        theme: colours of the pictures, from the page's own theme.
        jobs: every panel's job.
    """

    engine: Engine
    log: Log
    cluster: Cluster | None = None
    dataset: Any = None
    run: Any = None
    curve: Curve | None = None
    planned_workers: int = 4
    theme: Theme = LIGHT
    jobs: list[Job] = field(default_factory=list)

    @property
    def num_devices(self) -> int:
        """Devices that a plan may use: of the cluster, or of the one about to be launched."""
        return self.planned_workers if self.cluster is None else len(self.cluster.workers)

    @property
    def active_job(self) -> Job | None:
        """The job at work, if any."""
        return next((job for job in self.jobs if job.active), None)

    def dataset_of(self, workload: Workload) -> Any:
        """What was preprocessed here if the workload trains on it, else ``None``."""
        made = self.dataset
        return made if made is not None and made.name == workload.dataset else None
