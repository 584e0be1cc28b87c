"""A training that goes on from a checkpoint takes the course that it would have taken anyway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from labkit.cluster.cluster import Cluster
from labkit.plan import Plan
from labkit.train.checkpoint_files import Checkpoints, read
from labkit.train.job import RankResult, TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

NUM_STEPS = 8
SAVED = 4
TIMEOUT_S = 60.0


def build_with_dropout(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """A model that draws random numbers in every forward."""
    width = 16
    first, last = nn.Linear(input_shape[0], width), nn.Linear(width, num_classes)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), last)


DROPOUT = replace(WORKLOADS["fruit"], name="dropout", model=build_with_dropout, num_layers=4)

SAME_PLAN = {
    "single": ("fruit", Plan(), {}),
    "data2": ("fruit", Plan(dp=2), {}),
    "data4-accumulated": ("text", Plan(dp=4, microbatches=2), {}),
    "bfloat16": ("fruit", Plan(dp=2), {"precision": "bfloat16"}),
    "without-momentum": ("fruit", Plan(dp=2), {"momentum": 0.0}),
    "clipped-warming-up": ("fruit", Plan(dp=2), {"clip_norm": 0.5, "warmup_steps": 6}),
    "ring4": ("fruit", Plan(dp=4, sync="ring"), {}),
    "average2": ("fruit", Plan(dp=2, sync="average", sync_every=2), {}),
    "server4": ("fruit", Plan(dp=4, sync="parameter_server"), {}),
    "fp16": ("digits", Plan(dp=2, compression="fp16"), {}),
    "powersgd4": ("text", Plan(dp=4, compression="powersgd"), {}),
    "zero1-4": ("text", Plan(dp=4, shard="optimizer"), {}),
    "zero1-bfloat16": ("fruit", Plan(dp=4, shard="optimizer"), {"precision": "bfloat16"}),
    "zero2-2": ("digits", Plan(dp=2, shard="gradients"), {}),
    "fsdp4": ("fruit", Plan(dp=4, shard="parameters"), {}),
    "fsdp-bfloat16": ("fruit", Plan(dp=2, shard="parameters"), {"precision": "bfloat16"}),
    "features2": ("fruit", Plan(dp=2, split="features"), {}),
    "gpipe4": ("fruit", Plan(pp=4, schedule="gpipe", microbatches=2), {}),
    "1f1b2": ("digits", Plan(pp=2, microbatches=4), {}),
    "interleaved2": ("fruit", Plan(pp=2, schedule="interleaved1f1b", microbatches=4), {}),
    "zero-bubble2": ("fruit", Plan(pp=2, schedule="zero_bubble", microbatches=4), {}),
    "branches3": ("branches", Plan(pp=3, placement="branches"), {}),
    "tensor2": ("digits", Plan(tp=2), {}),
    "dtensor2": ("fruit", Plan(tp=2, tensor_style="dtensor"), {}),
    "sequence2": ("text", Plan(tp=2, sequence_parallel=True), {}),
    "hybrid-data-pipeline": ("fruit", Plan(dp=2, pp=2, microbatches=4), {}),
    "hybrid-pipeline-tensor": ("text", Plan(pp=2, tp=2, microbatches=2), {}),
    "dropout": ("dropout", Plan(dp=2), {}),
    "forgetting": ("fruit", Plan(dp=2, checkpoint_activations=True), {}),
}

OTHER_PLAN = {
    "data2-to-data4": ("fruit", Plan(dp=2), Plan(dp=4)),
    "data2-to-single": ("fruit", Plan(dp=2), Plan()),
    "data2-to-fsdp4": ("fruit", Plan(dp=2), Plan(dp=4, shard="parameters")),
    "fsdp4-to-fsdp2": ("fruit", Plan(dp=4, shard="parameters"), Plan(dp=2, shard="parameters")),
    "zero1-4-to-zero1-2": ("text", Plan(dp=4, shard="optimizer"), Plan(dp=2, shard="optimizer")),
    "zero1-4-to-tensor2": ("text", Plan(dp=4, shard="optimizer"), Plan(tp=2)),
    "tensor2-to-tensor4": ("digits", Plan(tp=2), Plan(tp=4)),
    "tensor2-to-fsdp2": ("digits", Plan(tp=2), Plan(dp=2, shard="parameters")),
    "fsdp2-to-tensor2": ("digits", Plan(dp=2, shard="parameters"), Plan(tp=2)),
    "tensor2-to-dtensor4": ("text", Plan(tp=2), Plan(tp=4, tensor_style="dtensor")),
    "pipeline4-to-pipeline2": (
        "fruit", Plan(pp=4, microbatches=4), Plan(pp=2, microbatches=4),
    ),
    "interleaved2-to-1f1b4": (
        "fruit", Plan(pp=2, schedule="interleaved1f1b", microbatches=4), Plan(pp=4, microbatches=4),
    ),
    "data2-to-pipeline2": ("fruit", Plan(dp=2), Plan(pp=2, microbatches=4)),
    "hybrid-to-data4": ("fruit", Plan(dp=2, pp=2, microbatches=4), Plan(dp=4)),
    "features2-to-data2": ("fruit", Plan(dp=2, split="features"), Plan(dp=2)),
    "data2-to-features4": ("fruit", Plan(dp=2), Plan(dp=4, split="features")),
    "server2-to-average2": (
        "fruit", Plan(dp=2, sync="parameter_server"), Plan(dp=2, sync="average", sync_every=1),
    ),
    "sequence2-to-hybrid": ("text", Plan(tp=2, sequence_parallel=True), Plan(dp=2, tp=2)),
}  # fmt: skip

Train = Callable[..., list[RankResult]]


@pytest.fixture(scope="module")
def train(
    cluster4: Cluster, dataset_folders: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Train:
    """Train a small workload under a plan; with ``resume_from`` from a checkpoint on.

    Without, each training is done once, saves after steps 4 and 8, and says where.
    """
    done: dict[Any, tuple[list[RankResult], Path]] = {}

    def run(
        name: str,
        plan: Plan,
        settings: dict[str, Any],
        *,
        resume_from: Path | None = None,
    ) -> Any:
        workload = {**WORKLOADS, "dropout": DROPOUT}[name]
        workload = workload.with_settings(**{"global_batch": 8, **settings})
        plan.validate(workload, 4)
        values = {
            "workload": workload,
            "plan": plan,
            "dataset_folder": dataset_folders[workload.dataset],
            "num_steps": NUM_STEPS,
            "evaluate": False,
            "keep_weights": True,
        }
        if resume_from is not None:
            job = TrainJob(**values, resume_from=str(resume_from), start_step=SAVED)
            return cluster4.run_ranks(train_rank, plan.world_size, job, timeout_s=TIMEOUT_S)
        key = (name, plan, *settings.items())
        if key not in done:
            folder = tmp_path_factory.mktemp("run") / "checkpoints"
            checkpoints = Checkpoints(folder=str(folder), every_steps=SAVED)
            job = TrainJob(**values, checkpoints=checkpoints)
            results = cluster4.run_ranks(train_rank, plan.world_size, job, timeout_s=TIMEOUT_S)
            done[key] = results, folder / f"step-{SAVED:06d}"
        return done[key]

    return run


def losses(results: list[RankResult]) -> np.ndarray:
    return np.array([step.loss for step in results[0].steps])


def assert_equal(found: dict[str, np.ndarray] | None, wanted: dict[str, np.ndarray] | None) -> None:
    assert found
    assert wanted
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(("name", "plan", "settings"), SAME_PLAN.values(), ids=SAME_PLAN.keys())
def test_on_the_same_plan_training_goes_on_bit_by_bit(
    train: Train, name: str, plan: Plan, settings: dict[str, Any]
) -> None:
    straight, checkpoint = train(name, plan, settings)
    resumed = train(name, plan, settings, resume_from=checkpoint)
    np.testing.assert_array_equal(losses(resumed), losses(straight)[SAVED:])
    assert [step.step for step in resumed[0].steps] == list(range(SAVED, NUM_STEPS))
    assert_equal(resumed[0].weights, straight[0].weights)
    assert_equal(resumed[0].gradients, straight[0].gradients)
    assert all(result.comm_bytes == result.comm_bytes_formula for result in resumed)
    assert read(checkpoint).plan["dp"] == plan.dp


@pytest.mark.parametrize(("name", "before", "after"), OTHER_PLAN.values(), ids=OTHER_PLAN.keys())
def test_under_another_plan_it_goes_on_within_rounding(
    train: Train, name: str, before: Plan, after: Plan
) -> None:
    single, _ = train(name, Plan(), {})
    straight, checkpoint = train(name, before, {})
    resumed = train(name, after, {}, resume_from=checkpoint)
    wanted = losses(single)
    assert np.abs(losses(straight) / wanted - 1).max() <= 1e-5
    assert np.abs(losses(resumed) / wanted[SAVED:] - 1).max() <= 1e-5
    assert np.abs(losses(resumed) - wanted[SAVED:]).max() <= 1e-6
    assert all(result.comm_bytes == result.comm_bytes_formula for result in resumed)
