"""The trials of ``step_effect``: prepare a variant, train on it, judge what was learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from labkit.errors import LabError, RankFailed, SettingError, SourceError, WorkloadError
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.report import Report
from labkit.runs.step_effect_result import Trial
from labkit.workload import Workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.choose import Planned
    from labkit.preprocess.tasks import OnCluster
    from labkit.runs.step_judge import Judged


class Begun(NamedTuple):
    """One variant with one seed, before all are judged on the same things."""

    dataset: Dataset | None
    train_s: float
    judged: Judged | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepLab:
    """What all trials of one call share."""

    executor: OnCluster
    cluster: Cluster
    workload: Workload
    steps: int
    base: str  # folder of everything that is written

    def new_folder(self, name: str) -> str:
        """An empty folder of that name; the one before it is gone."""
        from labkit.preprocess import folders

        folder = f"{self.base}/{name}"
        self.executor.call(folders.discard, folder)
        self.executor.call(folders.make_draft, folder, folder)
        return folder

    def prepare_all(
        self, variants: Mapping[str, Sequence[str]], planned: Planned
    ) -> dict[str, Dataset | LabError]:
        """By variant its dataset, or what kept it from being made."""
        prepared: dict[str, Dataset | LabError] = {}
        for number, (name, steps) in enumerate(variants.items()):
            try:
                prepared[name] = self._prepare(f"variant-{number}", steps, planned)
            except (SourceError, SettingError) as error:
                prepared[name] = error
        return prepared

    def try_all(
        self, prepared: Mapping[str, Dataset | LabError], planned: Planned, seed: int
    ) -> dict[str, Trial]:
        """Every variant once; those that were trained are judged on the same things.

        Raises:
            LabError: what kept every variant from being trained.
        """
        begun: dict[str, Begun] = {}
        errors: list[LabError] = []
        for name, dataset in prepared.items():
            try:
                if isinstance(dataset, LabError):
                    raise dataset
                begun[name] = self._train(dataset, planned, seed)
            except (SourceError, WorkloadError, SettingError, RankFailed) as error:
                errors.append(error)
                found = None if isinstance(dataset, LabError) else dataset
                begun[name] = Begun(found, 0.0, None, str(error).strip().splitlines()[0])
        if len(errors) == len(prepared):
            raise errors[0]
        return judged_trials(begun, seed)

    def _prepare(self, name: str, steps: Sequence[str], planned: Planned) -> Dataset:
        """Sources to shards by these steps, in a folder that keeps the rows between them."""
        from labkit.preprocess.dataset import Dataset
        from labkit.preprocess.pipeline import run_pipeline

        folder, report = self.new_folder(name), Report()
        manifest = run_pipeline(
            self.executor,
            planned.parts,
            planned.spec,
            folder,
            report,
            origin=planned.origin,
            lookups=planned.lookups,
            steps=steps,
        )
        return Dataset(
            name=planned.spec.name, folder=folder, manifest=manifest, report=report.values
        )

    def _train(self, dataset: Dataset, planned: Planned, seed: int) -> Begun:
        """Train on it and judge what was learned, or say why there is nothing to judge."""
        from labkit.runs.step_judge import judge_rank, largest_input
        from labkit.train.train import train

        if not dataset.num_test_samples:
            raise SourceError("no row is held out, so nothing can be judged; give more rows")
        workload = self.workload.with_settings(seed=seed)
        run = train(
            workload, None, self.cluster, steps=self.steps, dataset=dataset, evaluate=False,
            keep_weights=True, checkpoint_every=0,  # they would be measured as well
        )  # fmt: skip
        record = run.wait()
        seconds = sum(step.seconds for step in record.steps)
        lost = next((s.step for s in record.steps if not math.isfinite(s.loss)), None)
        if lost is None and not all(np.isfinite(array).all() for array in run.weights.values()):
            lost = self.steps
        if lost is not None:
            largest = self.executor.call(largest_input, dataset.folder)
            why = (
                f"diverged by step {lost}: inputs reach {largest:.1e}, too much for a learning "
                f"rate of {workload.learning_rate:g}"
            )
            return Begun(dataset, seconds, None, why)
        (judged,) = self.cluster.run_ranks(
            judge_rank, 1, workload, dataset.folder, run.weights, planned.spec.schema,
            f"{self.base}/data",
        )  # fmt: skip
        return Begun(dataset, seconds, judged)

    def forget(self, discard: Callable[[str], Any]) -> None:
        """Leave nothing behind: neither files nor the profiles of models on them."""
        for key in [key for key in self.cluster.profiles if key[2].startswith(self.base)]:
            del self.cluster.profiles[key]
        discard(self.base)


def judged_trials(begun: Mapping[str, Begun], seed: int) -> dict[str, Trial]:
    """What is known of each variant, over the things that every judged one was asked about."""
    keys = [each.judged.keys for each in begun.values() if each.judged is not None]
    common = reduce(np.intersect1d, keys) if keys else np.empty(0, dtype=np.int64)
    trials = {}
    for name, (dataset, train_s, judged, reason) in begun.items():
        accuracy = recorded = None
        by_truth = False
        if judged is not None and len(common):
            these = np.isin(judged.keys, common)
            true = float(judged.true[these].mean())  # NaN if one of them is not known
            recorded = float(judged.recorded[these].mean())
            by_truth = not math.isnan(true)
            accuracy = true if by_truth else recorded
        trials[name] = Trial(
            seed=seed,
            accuracy=accuracy,
            accuracy_recorded=recorded,
            judged_by_truth=by_truth,
            things=len(common),
            preprocess_s=0.0 if dataset is None else dataset.report["seconds"],
            train_s=train_s,
            rows=0 if dataset is None else dataset.num_samples,
            inputs=0 if dataset is None else len(dataset.manifest["columns"]),
            reason=reason,
        )
    return trials
