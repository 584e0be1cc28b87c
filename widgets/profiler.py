"""What the layers of a model cost: found once by a rank, without anybody waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.project.profile import ModelProfile
from labkit.workload import Workload
from widgets.jobs import Job
from widgets.state import LabState

Key = tuple[Any, ...]  # model, precision, dataset


class Profiler:
    """Layer profiles of the workloads whose data are prepared.

    ``follow`` begins a quiet job as soon as nothing else is at work, so a forecast is there
    before the reader asks for it. Where the data are not prepared yet, ``find`` prepares them.

    Attributes:
        job: the quiet one.
    """

    def __init__(self, state: LabState, poke: Callable[[], None]) -> None:
        self._state = state
        self.job = Job("profile", state.log, poke, quiet=True)
        state.background.append(self.job)
        self._cluster = state.cluster  # whose devices the profiles are of
        self._found: dict[Key, ModelProfile] = {}
        self._tried: set[Key] = set()

    def of(self, workload: Workload) -> ModelProfile | None:
        """The profile, if it was found already."""
        self._follow_cluster()
        return self._found.get(self._key(workload))

    def follow(self, workload: Workload) -> None:
        """Begin to find the profile if nothing stands in the way; on the pump's thread."""
        self._follow_cluster()
        state, key = self._state, self._key(workload)
        if state.cluster is None or state.active_job is not None or self.job.active:
            return
        if key in self._found or key in self._tried or not self._has_data(workload):
            return
        self._tried.add(key)
        self.job.start(lambda: self.find(workload, self.job.stop_event.is_set))

    def find(self, workload: Workload, should_stop: Callable[[], bool]) -> None:
        """Find the profile, and prepare the workload's data before if need be; blocks.

        Raises:
            LabError: the cluster is gone, or the model does not fit the data.
        """
        key, cluster = self._key(workload), self._state.cluster
        if cluster is None:
            return
        dataset = self._state.dataset_of(workload)
        self._found[key] = self._state.engine.profile(
            workload, dataset, cluster, should_stop=should_stop
        )

    def _has_data(self, workload: Workload) -> bool:
        assert self._state.cluster is not None
        own = self._state.dataset_of(workload)
        return own is not None or self._state.engine.has_data(workload, self._state.cluster)

    def _follow_cluster(self) -> None:
        """Another cluster has other devices, and its data are its own."""
        if self._cluster is not self._state.cluster:
            self._cluster = self._state.cluster
            self._found, self._tried = {}, set()

    def _key(self, workload: Workload) -> Key:
        dataset = self._state.dataset_of(workload)
        return workload.model, workload.precision, str(dataset.folder) if dataset else ""
