"""The parity badge: the same training again in one process, and how far apart the two are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from labkit.errors import RunStopped, SettingError
from labkit.plan import Plan
from labkit.runs.repeat import relative_differences, steps_before
from labkit.runs.stop_asked import wait_unless_asked
from labkit.train.train import train
from labkit.workload import Workload

if TYPE_CHECKING:
    import numpy as np

    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset
    from labkit.runs.run import Run

# Greatest relative difference of a loss that rounding explains over 20 to 100 steps.
ROUNDING = {"float32": 1e-5, "float64": 1e-10, "bfloat16": 2e-2}
WAIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How a split run differs from the same training in one process.

    Attributes:
        run, single: the two runs.
        steps: that were compared.
        loss: greatest relative difference of a step's loss.
        weights, gradients: greatest difference of an element, relative to the greatest element
            of its array, over all arrays at the end; ``None`` where they were not kept.
        limit: what rounding explains; ``None`` where the plan is approximate by nature.
        why: what the limit is, or why there is none.
    """

    run: str
    single: str
    steps: int
    loss: float
    weights: float | None
    gradients: float | None
    limit: float | None
    why: str

    @property
    def holds(self) -> bool | None:
        """Whether the losses agree within the limit; ``None`` where there is none."""
        return None if self.limit is None else self.loss <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "holds": self.holds}


def check_parity(
    run: Run,
    cluster: Cluster,
    *,
    dataset: Dataset | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Parity:
    """Repeat a finished run in one process and compare.

    One that went on from a checkpoint is repeated from the very beginning; its own steps are
    compared.

    Args:
        run: ended, with at least one step; with ``keep_weights=True`` weights and gradients are
            compared too.
        cluster: one free worker is enough.
        dataset: that the run trained on; ``None`` takes the workload's bundled one.
        should_stop: asked while it goes on; once true, that ends.
    Returns:
        The differences.
    Raises:
        SettingError: the run has no step to compare.
        RankFailed: the repetition failed.
        RunStopped: ``should_stop`` said so, or another client stopped the repetition.
    """
    record = run.wait()
    if not record.steps:
        raise SettingError(f"run {record.run} did no step; choose a run that trained")
    workload, plan, before = run.job.workload, run.job.plan, steps_before(record)
    single = train(
        workload,
        Plan(),
        cluster,
        steps=before + len(record.steps),
        dataset=dataset,
        evaluate=False,
        keep_weights=run.job.keep_weights,
        should_stop=should_stop,
    )
    again = wait_unless_asked(single, should_stop, timeout_s=WAIT_S)
    if again is None:
        raise RunStopped("the check against one process was stopped")
    differences = relative_differences(record.losses, again.losses[before:])
    if not differences:
        raise RunStopped(f"the repetition {again.run} was stopped before it had done a step")
    limit, why = expected_difference(plan, workload)
    kept = run.job.keep_weights
    return Parity(
        run=record.run,
        single=again.run,
        steps=len(differences),
        loss=max(differences),
        weights=greatest_difference(run.weights, single.weights) if kept else None,
        gradients=greatest_difference(run.gradients, single.gradients) if kept else None,
        limit=limit,
        why=why,
    )


def expected_difference(plan: Plan, workload: Workload) -> tuple[float | None, str]:
    """How far a plan's losses may be from those of one process.

    Returns:
        The limit, and what it is; ``None`` and the reason where the plan computes something else
        than one process would.
    """
    if plan.dp > 1:
        if plan.sync == "average" and plan.sync_every != 1:
            return None, (
                f"parameters are averaged every {plan.sync_every} steps; between two averages each "
                "replica follows its own samples"
            )
        if plan.sync == "average" and workload.clip_norm is not None:
            return None, "each replica clips the gradient of its own samples"
        if plan.sync == "async_parameter_server" and plan.max_staleness > 0:
            return None, f"gradients may be stale by {plan.max_staleness} steps"
        if plan.compression != "none":
            return None, f"gradients travel compressed to {plan.compression}"
    limit = ROUNDING[workload.precision]
    return limit, f"equal in mathematics; {limit:g} is what {workload.precision} rounding explains"


def greatest_difference(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> float:
    """The greatest difference of two sets of arrays, relative to each array's greatest element.

    Raises:
        SettingError: the two do not have the same names.
    """
    import numpy as np

    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())
        raise SettingError(f"the runs hold different parameters: {', '.join(odd[:5])}")
    differences = [
        np.abs(found[name] - array).max(initial=0.0) / max(np.abs(array).max(initial=0.0), 1e-30)
        for name, array in wanted.items()
    ]
    return float(max(differences, default=0.0))
