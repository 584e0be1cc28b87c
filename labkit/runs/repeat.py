"""A kept run once more: the stored workload and plan, or the same in one process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.workload import Workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset
    from labkit.runs.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class LossDifferences:
    """How far apart the losses of two runs of the same training are.

    Attributes:
        run: the repetition; ``repeats``: the run that it repeats.
        relative: of each step that both did, ``abs(a - b) / abs(b)``.
        limit: what rounding explains; ``None`` where the plan is approximate by nature.
        why: what the limit is, or why there is none.
    """

    run: str
    repeats: str
    relative: tuple[float, ...]
    limit: float | None
    why: str

    @property
    def greatest(self) -> float:
        """Of all steps; 0.0 when there is none."""
        return max(self.relative, default=0.0)

    @property
    def holds(self) -> bool | None:
        """Whether all are within the limit; ``None`` where there is none."""
        return None if self.limit is None else self.greatest <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "greatest": self.greatest, "holds": self.holds}


def stored_workload(record: RunRecord) -> Workload:
    """The workload that a record describes.

    Raises:
        SettingError: its model is one from a notebook or a script, of which only the name is kept.
    """
    return workload_of_values(record.workload, f"run {record.run}")


def workload_of_values(described: Mapping[str, Any], who: str) -> Workload:
    """The workload that a record or a checkpoint describes.

    Args:
        described: its plain values.
        who: the record or checkpoint, for the message.
    Raises:
        SettingError: as ``stored_workload``.
    """
    known = {f.name for f in fields(Workload)}
    values = {name: value for name, value in described.items() if name in known}
    model = values.get("model")
    if not isinstance(model, str) or ":" not in model:
        raise SettingError(
            f"{who} trained the custom model {model!r}, of which only the name is kept; call "
            "labkit.train(...) with its workload where the model is defined"
        )
    try:
        return Workload(**values)
    except TypeError as error:
        raise SettingError(
            f"{who} does not hold its whole workload ({error}); train it anew"
        ) from error


def stored_plan(record: RunRecord, *, single: bool = False) -> Plan:
    """The plan of a record, or of one device."""
    return Plan() if single else Plan.from_dict(record.plan)


def check_dataset(record: RunRecord, dataset: Dataset) -> None:
    """Raise a SettingError unless a dataset is as large as the one that a run trained on."""
    if record.num_samples and record.num_samples != dataset.num_samples:
        raise SettingError(
            f"run {record.run} trained on {record.num_samples:,} samples of {record.dataset!r}, "
            f"but {dataset.name!r} has {dataset.num_samples:,} here; repeat it with its own "
            "dataset, from Python"
        )


def repeat(record: RunRecord, cluster: Cluster, *, single: bool = False) -> Run:
    """Train what a record describes once more, with as many steps; returns a live run.

    An emulated run is repeated on the same declared device; in one process it is measured, since
    only its losses are of interest there. One that went on from a checkpoint is repeated from the
    very beginning.

    Args:
        record: of a run that was kept.
        cluster: with as many workers as the plan needs.
        single: train on one device instead.
    Raises:
        SettingError: a custom model, another dataset, or a device that is no longer declared.
        PlanError: the plan does not fit the cluster.
    """
    from labkit.train.train import bundled_dataset, train

    workload = stored_workload(record)
    dataset = bundled_dataset(workload, cluster)
    check_dataset(record, dataset)
    paced = {} if single else record.emulation
    return train(
        workload,
        stored_plan(record, single=single),
        cluster,
        steps=steps_before(record) + (len(record.steps) or record.planned_steps),
        dataset=dataset,
        evaluate=bool(record.accuracy),
        emulate=paced.get("device"),
        time_scale=paced.get("time_scale"),
    )


def steps_before(record: RunRecord) -> int:
    """Steps of the checkpoint that a run went on from; 0 of one that began anew."""
    return int(record.resumed.get("step", 0))


def loss_differences(record: RunRecord, again: RunRecord) -> LossDifferences:
    """How far a repetition's losses are from those of the run that it repeats."""
    from labkit.runs.parity import expected_difference

    limit, why = expected_difference(stored_plan(record), stored_workload(record))
    return LossDifferences(
        run=again.run,
        repeats=record.run,
        relative=tuple(relative_differences(again.losses[steps_before(record) :], record.losses)),
        limit=limit,
        why=why,
    )


def relative_differences(losses: Sequence[float], wanted: Sequence[float]) -> list[float]:
    """Step by step, as far as both go; infinite where one run diverged and the other did not."""
    differences = []
    for loss, other in zip(losses, wanted, strict=False):
        if loss == other or (math.isnan(loss) and math.isnan(other)):
            differences.append(0.0)
        elif math.isfinite(loss) and math.isfinite(other):
            differences.append(abs(loss - other) / (abs(other) or 1.0))
        else:
            differences.append(math.inf)
    return differences
