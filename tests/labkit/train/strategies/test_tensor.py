"""A tensor group's formula for bytes, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.errors import PlanError, RankFailed
from labkit.plan import Plan
from labkit.train.models.layers import FeedForward, Residual
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import Place
from labkit.train.strategies.shapes import empty_microbatch, trace_shapes
from labkit.train.strategies.tensor import apply_tensor, tensor_bytes_per_step


def make_model(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), Residual(FeedForward(6, hidden)), nn.Linear(6, 2))


def test_each_region_sums_its_output_and_its_input_s_gradient() -> None:
    shapes = trace_shapes(make_model(8), empty_microbatch((4,), "float32", 10))
    assert list(shapes.regions) == ["1.branch"]
    activation = 10 * 6 * 4  # samples * width * bytes of float32
    assert tensor_bytes_per_step(shapes, range(3), 5) == 5 * 2 * activation
    assert tensor_bytes_per_step(shapes, range(2, 3), 5) == 0  # a stage without the region


def test_a_region_on_the_data_itself_has_no_gradient_to_sum() -> None:
    shapes = trace_shapes(nn.Sequential(FeedForward(4, 8)), empty_microbatch((4,), "float32", 10))
    assert tensor_bytes_per_step(shapes, range(1), 1) == 10 * 4 * 4


def test_a_model_without_regions_is_refused() -> None:
    with pytest.raises(PlanError, match=r"tp\(2\): no layer of the model carries `tensor_split`"):
        apply_tensor(
            model=nn.Sequential(nn.Linear(4, 2)),
            plan=Plan(tp=2),
            place=Place(replica=0, stage=0, tensor_rank=0),
            example=empty_microbatch((4,), "float32", 2),
            device=torch.device("cpu"),
            recorder=SpanRecorder(lambda: 0.0, rank=0),
        )


def cut_unevenly(ctx: RankContext) -> None:
    """Apply a plan whose degree does not divide the layer."""
    apply_tensor(
        model=make_model(7),
        plan=Plan(tp=2),
        place=Place(replica=0, stage=0, tensor_rank=ctx.rank),
        example=empty_microbatch((4,), "float32", 2),
        device=torch.device("cpu"),
        recorder=SpanRecorder(ctx.now, rank=ctx.rank),
    )


def test_a_layer_that_does_not_divide_is_refused_with_its_shape(cluster4: Cluster) -> None:
    with pytest.raises(RankFailed, match=r"tp\(2\) does not divide dimension 0 of a weight"):
        cluster4.run_ranks(cut_unevenly, 2, timeout_s=60.0)
