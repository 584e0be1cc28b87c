"""Whether and how a run that failed is started again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from labkit.cluster.supervision import OnFailure
from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.workload import Workload

MAX_RESTARTS = 3
REPLACE_S = 30.0  # for the workers that replace lost ones


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """What follows when a rank dies, is lost with its worker, or hangs.

    Attributes:
        max_restarts: after so many, the next failure is the run's; 0 never starts it again.
        on_failure: ``replace`` goes on with as many ranks, and waits for replaced workers;
            ``shrink`` goes on at once with the replicas that the ranks which are left make up.
    Raises:
        SettingError: a count below 0, or another way.
    """

    max_restarts: int = MAX_RESTARTS
    on_failure: OnFailure = "replace"

    def __post_init__(self) -> None:
        if not isinstance(self.max_restarts, int) or self.max_restarts < 0:
            raise SettingError(
                f"max_restarts={self.max_restarts!r} is not a count; choose a number >= 0"
            )
        if self.on_failure not in get_args(OnFailure):
            raise SettingError(
                f"on_failure={self.on_failure!r} is not available; choose "
                f"{' or '.join(get_args(OnFailure))}"
            )


def smaller_plan(plan: Plan, workload: Workload, num_ranks: int) -> Plan:
    """The plan with as many of its replicas as the ranks that are left make up.

    Raises:
        PlanError: they do not hold the model once, or the batch cannot be shared out again.
    """
    per_replica = plan.pp * plan.tp
    for dp in range(min(plan.dp, num_ranks // per_replica), 0, -1):
        try:
            smaller = replace(plan, dp=dp)
            smaller.validate(workload, num_ranks)
        except PlanError:
            continue
        return smaller
    raise PlanError(
        f"dp({plan.dp}) * pp({plan.pp}) * tp({plan.tp}) cannot go on with {num_ranks} of its "
        f"{plan.world_size} ranks: one replica of the model needs {per_replica}, and the global "
        f"batch of {workload.global_batch} must be shared out; choose on_failure='replace'"
    )
