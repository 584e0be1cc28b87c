"""What the panels call: the functions that a cell calls too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.posted_run import FoundRun
from labkit.cluster.supervision import OnFailure
from labkit.plan import Plan
from labkit.project.profile import ModelProfile
from labkit.runs.attack import ATTACKS, why_no_slow_link
from labkit.runs.curve import Curve
from labkit.runs.parity import Parity, check_parity
from labkit.runs.record import RunRecord
from labkit.train.profile import profile_of
from labkit.train.train import bundled_dataset
from labkit.workload import Workload


class Engine(Protocol):
    """The part of ``labkit`` that the panels call; tests pass a fake one."""

    def launch(self, num_workers: int) -> Cluster:
        """Workers, started."""

    def preprocess(
        self,
        sources: list[str] | None,
        *,
        cluster: Cluster,
        spec: str | None,
        label: str | None,
        key: tuple[str, ...],
        rows: int,
        steps: tuple[str, ...],
        settings: Mapping[str, Mapping[str, Any]],
        on_progress: Callable[..., None],
        should_stop: Callable[[], bool],
    ) -> Any:
        """A dataset, from raw sources: the user's own, or those of a bundled specification."""

    def train(
        self,
        workload: Workload,
        plan: Plan,
        cluster: Cluster,
        *,
        steps: int,
        dataset: Any,
        keep_weights: bool,
        emulate: str | None,
        time_scale: float | None,
        max_restarts: int,
        on_failure: OnFailure,
        checkpoint_every: int | None,
        should_stop: Callable[[], bool],
        queue_s: float,
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
        emulate: str | None,
        time_scale: float | None,
        dataset: Any,
        on_record: Callable[[RunRecord], None],
        on_update: Callable[[Curve], None],
        should_stop: Callable[[], bool],
    ) -> Curve:
        """A curve, measured or emulated."""

    def has_data(self, workload: Workload, cluster: Cluster) -> bool:
        """Whether the bundled dataset of a workload is prepared on a cluster."""

    def profile(
        self,
        workload: Workload,
        dataset: Any,
        cluster: Cluster,
        *,
        should_stop: Callable[[], bool],
    ) -> ModelProfile:
        """What each layer costs; prepares the bundled dataset if ``dataset`` is ``None``."""

    def check_parity(
        self, run: Any, cluster: Cluster, *, dataset: Any, should_stop: Callable[[], bool]
    ) -> Parity:
        """A finished run beside the same training in one process."""

    def attack(self, run: Any, what: str, *target: int | str) -> dict[str, Any]:
        """Kill or slow a part of a live run; what its record keeps of that."""

    def why_no_slow_link(self, run: Any) -> str:
        """Why the links of a run cannot be slowed; empty where they can."""

    def runs_on(self, cluster: Cluster) -> list[FoundRun]:
        """The live and waiting runs of all clients of a cluster's scheduler."""

    def follow(self, cluster: Cluster, run: str) -> Any:
        """A run of another client, live."""


class Labkit:
    """The real engine."""

    launch = staticmethod(labkit.launch)
    preprocess = staticmethod(labkit.preprocess)
    train = staticmethod(labkit.train)
    sweep = staticmethod(labkit.sweep)
    check_parity = staticmethod(check_parity)
    why_no_slow_link = staticmethod(why_no_slow_link)
    runs_on = staticmethod(labkit.runs_on)
    follow = staticmethod(labkit.follow)

    def attack(self, run: Any, what: str, *target: int | str) -> dict[str, Any]:
        """By the function of that name in ``labkit.runs.attack``."""
        return ATTACKS[what](run, *target)

    def has_data(self, workload: Workload, cluster: Cluster) -> bool:
        """Whether training would find the bundled dataset ready."""
        return workload.dataset in cluster.datasets

    def profile(
        self,
        workload: Workload,
        dataset: Any,
        cluster: Cluster,
        *,
        should_stop: Callable[[], bool],
    ) -> ModelProfile:
        """By one rank of the cluster, which keeps it."""
        data = dataset or bundled_dataset(workload, cluster, should_stop)
        return profile_of(workload, data, cluster, should_stop=should_stop)
