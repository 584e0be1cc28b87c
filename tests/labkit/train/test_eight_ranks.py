"""Eight ranks: all three degrees at once, and as many slices as a model has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labkit.cluster.cluster import Cluster
from labkit.plan import Plan
from labkit.runs.parity import greatest_difference
from labkit.train.job import RankResult, TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

Train = Callable[..., list[RankResult]]
NUM_STEPS = 20
TIMEOUT_S = 60.0


@pytest.mark.parametrize("schedule", ["1f1b", "zero_bubble"])
def test_three_degrees_at_once_equal_one_process(
    cluster8: Cluster, train_small: Train, dataset_folders: dict[str, str], schedule: Any
) -> None:
    (single,) = train_small("digits", Plan(), num_steps=NUM_STEPS)
    job = TrainJob(
        workload=WORKLOADS["digits"].with_settings(global_batch=8),
        plan=Plan(dp=2, pp=2, tp=2, schedule=schedule, microbatches=2),
        dataset_folder=dataset_folders["digits"],
        num_steps=NUM_STEPS,
        evaluate=False,
        keep_weights=True,
    )
    results = cluster8.run_ranks(train_rank, 8, job, timeout_s=TIMEOUT_S)
    losses = [np.array([step.loss for step in r.steps]) for r in (results[0], single)]
    assert np.abs(losses[0] / losses[1] - 1).max() <= 1e-5
    assert greatest_difference(results[0].weights, single.weights) <= 1e-4
    assert greatest_difference(results[0].gradients, single.gradients) <= 1e-3
    for result in results:
        assert result.comm_bytes == result.comm_bytes_formula
        assert set(result.comm_bytes) == {"comm_dp", "comm_tp", "comm_pp"}


def test_eight_ranks_with_eight_tokens_each_equal_one_process(
    cluster8: Cluster, dataset_folders: dict[str, str]
) -> None:
    plan = Plan(tp=8, sequence_parallel=True)
    workload = WORKLOADS["text"].with_settings(global_batch=4)
    plan.validate(workload)
    found, wanted = (
        cluster8.run_ranks(
            train_rank,
            each.world_size,
            TrainJob(
                workload=workload,
                plan=each,
                dataset_folder=dataset_folders["text"],
                num_steps=4,
                evaluate=False,
            ),
            timeout_s=TIMEOUT_S,
        )
        for each in (plan, Plan())
    )
    losses = [step.loss for step in wanted[0].steps]
    assert [step.loss for step in found[0].steps] == pytest.approx(losses, rel=1e-5)
    assert all(result.comm_bytes == result.comm_bytes_formula for result in found)
