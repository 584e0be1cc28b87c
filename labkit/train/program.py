"""The program of one rank, as the client names it: importing this loads no torch."""

from __future__ import annotations

from labkit.cluster.rank_context import RankContext
from labkit.train.job import RankResult, TrainJob


def train_rank(ctx: RankContext, job: TrainJob) -> RankResult:
    """Train one rank's part of a job. A collective of all ranks of the plan.

    Args:
        ctx: this rank; the default process group is initialised.
        job: the same on every rank; its plan is validated against its workload.
    Returns:
        What this rank measured; rank 0 adds losses, accuracy and, if kept, weights.
    Raises:
        WorkloadError: the dataset does not fit the workload.
        PlanError: a layer cannot be cut as the plan wants.
        SourceError: the shards cannot be read.
    """
    from labkit.train.rank import run_rank

    return run_rank(ctx, job)
