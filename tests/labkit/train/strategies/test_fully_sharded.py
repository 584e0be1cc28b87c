"""FSDP2 in its two forms: the same training, a fraction of the parameters on each rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.fully_sharded import apply_fully_sharded, sharded_bytes
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.shapes import empty_microbatch
from labkit.workload import WORKLOADS


@pytest.mark.parametrize("dp", [2, 4])
@pytest.mark.parametrize("shard", ["gradients", "parameters"])
def test_fully_sharded_training_equals_one_process(compare: Any, shard: str, dp: int) -> None:
    both = compare("digits", Plan(dp=dp, shard=shard))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    assert both.gradients <= 1e-3
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


def test_a_transformer_can_be_fully_sharded(compare: Any) -> None:
    both = compare("text", Plan(dp=2, shard="parameters"), num_steps=5)
    assert both.loss <= 1e-5
    assert both.gradients <= 1e-3


@pytest.mark.parametrize("shard", ["gradients", "parameters"])
def test_every_microbatch_gathers_and_scatters(compare: Any, shard: str) -> None:
    both = compare("fruit", Plan(dp=2, shard=shard, microbatches=2), num_steps=5)
    assert both.loss <= 1e-5
    gathers = [s for s in both.results[0].spans if s.name == "gather parameters"]
    scatters = [s for s in both.results[0].spans if s.name == "scatter gradients"]
    num_layers = WORKLOADS["fruit"].num_layers
    assert len(scatters) == 5 * 2 * num_layers
    assert len(gathers) == len(scatters) * (2 if shard == "parameters" else 1)
    assert both.results[0].comm_bytes == both.results[0].comm_bytes_formula


def test_parts_are_padded_to_whole_rows() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 3))
    part = (2 * 5 + 2) + (1 * 6 + 1)  # of 6 rows a rank of 4 has 2 or none, of 3 one or none
    assert sharded_bytes(model, 4, 1, 1) == 4 * part * (1 + 4)
    assert sharded_bytes(model, 4, 3, 2) == 4 * 3 * part * (2 + 4)


def make_given(ctx: RankContext, shard: str) -> Given:
    return Given(
        workload=WORKLOADS["fruit"],
        plan=Plan(dp=ctx.world_size, shard=shard),
        place=Place(replica=ctx.rank, stage=0, tensor_rank=0),
        example=empty_microbatch((5,), "float32", 8),
        stages=(range(2),),
        device=torch.device("cpu"),
        recorder=SpanRecorder(ctx.now, rank=ctx.rank),
        pace=RealTime(ctx.now),
    )


def numbers_kept(ctx: RankContext) -> tuple[int, int]:
    """Numbers that a rank keeps of a model, between two steps; and of which its parts are."""
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 8))
    part = apply_fully_sharded(model, make_given(ctx, "parameters"))
    part.module(torch.ones(2, 16)).sum().backward()
    local = [p.to_local().numel() for p in part.module.parameters()]
    grads = [p.grad.to_local().numel() for p in part.module.parameters()]
    return sum(local), sum(grads)


def test_a_rank_keeps_its_share_of_parameters_and_gradients(cluster4: Cluster) -> None:
    whole = 16 * 64 + 64 + 64 * 8 + 8
    assert cluster4.run_ranks(numbers_kept, 4, timeout_s=60.0) == [(whole // 4, whole // 4)] * 4


def test_a_parameter_without_dimension_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(PlanError, match=r"0\.scale is a single number"):
        sharded_bytes(model, 2, 1, 1)
