"""Pipelines inside other splits and under every recipe, and the time of an emulated one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labkit.cluster.cluster import Cluster
from labkit.emulate.device import Device, Link
from labkit.plan import Plan
from labkit.project.forecast import forecast
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.train.job import Emulation, RankResult, TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

Compare = Callable[..., Any]
Train = Callable[..., list[RankResult]]

TIMEOUT_S = 60.0


def assert_equal_to_one_process(found: Any, limit: float = 1e-5) -> None:
    assert found.loss <= limit
    assert found.weights <= 10 * limit
    assert found.gradients <= 100 * limit
    for result in found.results:
        assert result.comm_bytes == result.comm_bytes_formula


def test_float64_leaves_no_more_than_its_own_rounding(compare: Compare) -> None:
    plan = Plan(pp=4, schedule="zero_bubble", microbatches=4)
    assert_equal_to_one_process(compare("digits", plan, precision="float64"), 1e-10)


RECIPES: dict[str, tuple[Plan, dict[str, Any]]] = {
    "checkpoint": (Plan(pp=2, microbatches=4, checkpoint_activations=True), {}),
    "clip": (Plan(pp=3, microbatches=4), {"clip_norm": 0.05}),
    "clip-zero_bubble": (Plan(pp=2, schedule="zero_bubble", microbatches=2), {"clip_norm": 0.05}),
    # 700 training samples: steps of 300, 300 and 100, so that 13 of the last 20 microbatches count
    # for nothing and one counts in part.
    "keep_last": (
        Plan(pp=2, schedule="interleaved1f1b", microbatches=20),
        {"keep_last": True, "global_batch": 300, "num_steps": 7},
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_stay_right_in_a_pipeline(compare: Compare, name: str) -> None:
    plan, settings = RECIPES[name]
    assert_equal_to_one_process(compare("fruit", plan, **settings))


def test_bfloat16_crosses_stages(compare: Compare) -> None:
    found = compare("digits", Plan(pp=2, microbatches=2), precision="bfloat16")
    assert found.loss <= 2e-2
    whole = compare("digits", Plan(pp=2, microbatches=2))
    for result, reference in zip(found.results, whole.results, strict=True):
        assert 2 * result.comm_bytes["comm_pp"] == reference.comm_bytes["comm_pp"]


HYBRIDS = {
    "data-pipeline": Plan(dp=2, pp=2, microbatches=4),
    "data-interleaved": Plan(dp=2, pp=2, schedule="interleaved1f1b", microbatches=2),
    "data-zero_bubble": Plan(dp=2, pp=2, schedule="zero_bubble", microbatches=4),
    "data-tensor": Plan(dp=2, tp=2),
    "pipeline-tensor": Plan(pp=2, tp=2, microbatches=4),
    "zero_bubble-tensor": Plan(pp=2, tp=2, schedule="zero_bubble", microbatches=4),
    "interleaved-tensor": Plan(pp=2, tp=2, schedule="interleaved1f1b", microbatches=2),
}


@pytest.mark.parametrize("name", HYBRIDS)
def test_hybrids_equal_one_process(compare: Compare, name: str) -> None:
    assert_equal_to_one_process(compare("digits", HYBRIDS[name]))


@pytest.mark.parametrize("split", [{"dp": 2}, {"pp": 2, "microbatches": 2}], ids=str)
def test_hybrids_that_forget_activations_sum_again_what_the_formula_says(
    compare: Compare, split: dict[str, int]
) -> None:
    kept = compare("text", Plan(tp=2, **split), num_steps=2)
    forgotten = compare("text", Plan(tp=2, **split, checkpoint_activations=True), num_steps=2)
    assert forgotten.loss <= 1e-5
    for one, other in zip(kept.results, forgotten.results, strict=True):
        assert other.comm_bytes == other.comm_bytes_formula
        assert other.comm_bytes["comm_tp"] > one.comm_bytes["comm_tp"]


def made_up_device() -> Device:
    """Compute of a unit a layer and slow links, so that every message shows."""
    return Device(
        name="slow",
        description="for this test",
        flops_per_s=1.0,
        memory_bytes=1.0,
        memory_bytes_per_s=1e30,
        overhead_s=0.0,
        devices_per_host=8,
        inside=Link(bandwidth_bytes_per_s=1e3, latency_s=0.1),
        across=Link(bandwidth_bytes_per_s=1e3, latency_s=0.1),
        sources={},
    )


@pytest.mark.parametrize(
    "plan",
    [
        Plan(pp=2, schedule="gpipe", microbatches=4),
        Plan(pp=3, microbatches=4),
        Plan(pp=2, schedule="interleaved1f1b", microbatches=4),
        Plan(pp=3, schedule="zero_bubble", microbatches=4),
    ],
    ids=lambda plan: plan.schedule,
)
def test_an_emulated_pipeline_keeps_the_declared_time_and_the_losses(
    cluster4: Cluster, train_small: Train, dataset_folders: dict[str, str], plan: Plan
) -> None:
    workload = WORKLOADS["fruit"].with_settings(global_batch=8)
    width_bytes = 192 * 4
    layers = tuple(
        LayerProfile(name=str(i), forward_flops=0.5, parameter_bytes=(4,), output_bytes=width_bytes)
        for i in range(8)
    )
    profile = ModelProfile(layers=layers, input_bytes=16)
    device = made_up_device()
    expected = forecast(plan, profile, workload, device=device)
    assert expected.ideal is not None
    job = TrainJob(
        workload=workload,
        plan=plan,
        dataset_folder=dataset_folders["fruit"],
        num_steps=4,
        evaluate=False,
        stages=tuple((stage.start, stage.stop) for stage in expected.stages),
        emulation=Emulation(device=device, profile=profile, time_scale=0.003),
    )
    results = cluster4.run_ranks(train_rank, plan.world_size, job, timeout_s=TIMEOUT_S)
    # The nominal clock does not depend on how busy this machine is.
    ends_s = np.array([result.nominal_ends_s for result in results]).max(axis=0)
    assert ends_s[3] - ends_s[2] == pytest.approx(expected.ideal.step_s, rel=1e-6)
    measured = train_small(workload, plan, num_steps=4)
    assert [s.loss for s in results[0].steps] == [s.loss for s in measured[0].steps]
    assert all(r.comm_bytes == r.comm_bytes_formula for r in results)
