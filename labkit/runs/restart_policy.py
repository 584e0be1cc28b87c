"""Whether and how a run that failed is started again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from labkit.cluster.supervision import OnFailure
from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.workload import Workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.cluster.gang import Progress
    from labkit.train.checkpoint_files import Saved
    from labkit.train.job import TrainJob

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


def next_num_ranks(
    world_size: int, on_failure: OnFailure, progress: Progress, cluster: Cluster
) -> int:
    """Ranks that the next attempt may have: as the leader said, else by the same rule here.

    Args:
        world_size: ranks of the attempt that failed.
        on_failure: see ``RestartPolicy``.
        progress: of its gang: the leader's decision, if any, and the ranks that were lost.
        cluster: its workers are what is left to a run that has lost all its ranks.
    """
    if progress.decision is not None:
        return int(progress.decision["num_ranks"])
    if on_failure == "replace":
        return world_size
    return min(world_size - len(progress.lost) or world_size, cluster.num_workers)


def next_job(job: TrainJob, num_ranks: int, saved: Saved | None) -> TrainJob:
    """The job of the next attempt.

    Args:
        job: of the attempt that failed.
        num_ranks: see ``next_num_ranks``.
        saved: checkpoint to go on from; ``None``, or one from before this job's own start, has it
            begin where this one began.
    Raises:
        PlanError: its plan cannot go on with so few ranks.
    """
    plan = smaller_plan(job.plan, job.workload, num_ranks)
    if saved is None or saved.step <= job.start_step:
        return replace(job, plan=plan)
    return replace(job, plan=plan, resume_from=saved.folder, start_step=saved.step)


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
