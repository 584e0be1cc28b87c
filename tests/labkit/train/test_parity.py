"""Every strategy does the same training as one process: losses, gradients and weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from labkit.cluster.cluster import Cluster
from labkit.plan import Plan
from labkit.train.job import RankResult, TrainJob, merge_steps
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

WORKLOAD_NAMES = ("fruit", "digits", "text")
NUM_STEPS = 10
GLOBAL_BATCH = 8
TIMEOUT_S = 60.0

PLANS = {
    "data2": Plan(dp=2),
    "data4": Plan(dp=4),
    "data2-accumulated": Plan(dp=2, microbatches=4),
    "gpipe2": Plan(pp=2, schedule="gpipe", microbatches=4),
    "gpipe4": Plan(pp=4, schedule="gpipe", microbatches=2),
    "1f1b2": Plan(pp=2, schedule="1f1b", microbatches=4),
    "1f1b4": Plan(pp=4, schedule="1f1b", microbatches=8),
    "tensor2": Plan(tp=2),
    "tensor4": Plan(tp=4),
    "tensor2-accumulated": Plan(tp=2, microbatches=2),
    "data-pipeline": Plan(dp=2, pp=2, microbatches=4),
    "data-tensor": Plan(dp=2, tp=2),
    "pipeline-tensor": Plan(pp=2, tp=2, microbatches=2),
}

Train = Callable[[Cluster, str, Plan], list[RankResult]]


@pytest.fixture(scope="module")
def train(dataset_folders: dict[str, str]) -> Train:
    """Train a workload with a small batch under a plan, and return what the ranks measured."""

    def run(cluster: Cluster, name: str, plan: Plan) -> list[RankResult]:
        workload = WORKLOADS[name].with_settings(global_batch=GLOBAL_BATCH)
        plan.validate(workload, cluster.num_workers)
        job = TrainJob(
            workload=workload,
            plan=plan,
            dataset_folder=dataset_folders[name],
            num_steps=NUM_STEPS,
            keep_weights=True,
        )
        return cluster.run_ranks(train_rank, plan.world_size, job, timeout_s=TIMEOUT_S)

    return run


@pytest.fixture(scope="module")
def baselines(cluster4: Cluster, train: Train) -> dict[str, RankResult]:
    """The same training in one process, by workload."""
    return {name: train(cluster4, name, Plan())[0] for name in WORKLOAD_NAMES}


def losses(result: RankResult) -> np.ndarray:
    return np.array([step.loss for step in result.steps])


def assert_close(found: dict[str, np.ndarray] | None, wanted: dict[str, np.ndarray] | None) -> None:
    """Arrays of the whole model agree within float32 rounding that the steps have amplified."""
    assert found is not None
    assert wanted is not None
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        scale = np.abs(array).max()
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-3 * scale + 1e-7)


def assert_same_training(results: list[RankResult], baseline: RankResult) -> None:
    first = results[0]
    relative = np.abs(losses(first) - losses(baseline)) / np.abs(losses(baseline))
    assert len(relative) == NUM_STEPS
    assert relative.max() <= 1e-5
    assert_close(first.weights, baseline.weights)
    assert_close(first.gradients, baseline.gradients)
    assert first.accuracy["before"] == baseline.accuracy["before"]
    assert first.accuracy["correct"] == pytest.approx(baseline.accuracy["correct"], abs=0.01)


def assert_records_agree(results: list[RankResult], plan: Plan) -> None:
    """Bytes as by formula on every rank; spans and steps cover what was done."""
    for result in results:
        assert result.comm_bytes == result.comm_bytes_formula
        assert len(result.step_ends_s) == NUM_STEPS
        forwards = [s for s in result.spans if s.kind == "forward" and s.name == "forward"]
        assert len(forwards) == NUM_STEPS * plan.num_microbatches
        assert {s.step for s in result.spans} == set(range(NUM_STEPS))
    steps = merge_steps(results)
    slowest_s = max(result.step_ends_s[-1] for result in results)
    assert steps[-1].end_s == slowest_s
    assert [r.rank for r in results] == list(range(plan.world_size))


@pytest.mark.parametrize("workload", WORKLOAD_NAMES)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_split_training_equals_one_process(
    cluster4: Cluster, train: Train, baselines: dict[str, RankResult], workload: str, plan: Plan
) -> None:
    results = train(cluster4, workload, plan)
    assert_same_training(results, baselines[workload])
    assert_records_agree(results, plan)
