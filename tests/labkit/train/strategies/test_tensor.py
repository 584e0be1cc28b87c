"""A tensor group's training, its formula for bytes, and what it refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.errors import PlanError, RankFailed
from labkit.plan import Plan
from labkit.train.models.layers import FeedForward, Residual
from labkit.train.rank import forget_activations
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.shapes import empty_microbatch, trace_shapes
from labkit.train.strategies.tensor import (
    apply_tensor,
    cut_dims,
    output_sums,
    tensor_bytes_per_step,
)
from labkit.workload import WORKLOADS


def make_model(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), Residual(FeedForward(6, hidden)), nn.Linear(6, 2))


def make_given(plan: Plan, rank: int = 0) -> Given:
    """What a rank of a tensor group is given, for two samples of four columns."""
    return Given(
        workload=WORKLOADS["fruit"],
        plan=plan,
        place=Place(replica=0, stage=0, tensor_rank=rank),
        example=empty_microbatch((4,), "float32", 2),
        stages=(range(3),),
        device=torch.device("cpu"),
        recorder=SpanRecorder(time.perf_counter, rank=rank),
        pace=RealTime(time.perf_counter),
    )


def test_sliced_training_in_float64_equals_one_process_to_its_rounding(compare: Any) -> None:
    both = compare("digits", Plan(tp=2), num_steps=8, precision="float64")
    assert max(both.loss, both.weights, both.gradients) <= 1e-10


def test_each_region_sums_its_output_and_its_input_s_gradient() -> None:
    shapes = trace_shapes(make_model(8), empty_microbatch((4,), "float32", 10))
    assert list(shapes.regions) == ["1.branch"]
    activation = 10 * 6 * 4  # samples * width * bytes of float32
    assert tensor_bytes_per_step(shapes, range(3), 5) == 5 * 2 * activation
    assert tensor_bytes_per_step(shapes, range(2, 3), 5) == 0  # a stage without the region


def test_a_region_on_the_data_itself_has_no_gradient_to_sum() -> None:
    shapes = trace_shapes(nn.Sequential(FeedForward(4, 8)), empty_microbatch((4,), "float32", 10))
    assert tensor_bytes_per_step(shapes, range(1), 1) == 10 * 4 * 4


def test_regions_are_cut_along_what_the_way_of_splitting_says() -> None:
    assert cut_dims(make_model(8)) == {
        "1.branch.w1.weight": 0,
        "1.branch.w1.bias": 0,
        "1.branch.w2.weight": 1,
    }


class Twice(nn.Module):
    """Two regions in one layer; what follows the last one keeps nothing, or its output."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.one, self.two, self.last = FeedForward(4, 8), FeedForward(4, 8), last

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.two(self.one(x)))
        return y


@pytest.mark.parametrize(
    ("last", "sums"), [(nn.Identity(), {"one": 2, "two": 1}), (nn.Tanh(), {"one": 2, "two": 2})]
)
def test_a_layer_that_forgets_sums_again_what_it_has_to_compute_again(
    last: nn.Module, sums: dict[str, int]
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Twice(last))
    assert output_sums(model, make_given(Plan(tp=2))) == {}
    forget_activations(model)
    found = output_sums(model, make_given(Plan(tp=2, checkpoint_activations=True)))
    assert found == {f"1.{name}": count for name, count in sums.items()}


def test_forgetting_activations_costs_the_bytes_of_the_formula(compare: Any) -> None:
    kept = compare("text", Plan(tp=2), num_steps=4)
    forgotten = compare("text", Plan(tp=2, checkpoint_activations=True), num_steps=4)
    assert forgotten.loss <= 1e-5
    attention_outputs = 4 * 6 * 8 * 64 * 64 * 4  # steps, blocks, samples, tokens, width, float32
    for one, other in zip(kept.results, forgotten.results, strict=True):
        assert other.comm_bytes == other.comm_bytes_formula
        assert other.comm_bytes["comm_tp"] - one.comm_bytes["comm_tp"] == attention_outputs


def test_a_model_without_regions_is_refused() -> None:
    with pytest.raises(PlanError, match=r"tp\(2\): no layer of the model carries `tensor_split`"):
        apply_tensor(nn.Sequential(nn.Linear(4, 2)), make_given(Plan(tp=2)))


def cut_unevenly(ctx: RankContext) -> None:
    """Apply a plan whose degree does not divide the layer."""
    apply_tensor(make_model(7), make_given(Plan(tp=2), ctx.rank))


def test_a_layer_that_does_not_divide_is_refused_with_its_shape(cluster4: Cluster) -> None:
    with pytest.raises(RankFailed, match=r"tp\(2\) does not divide dimension 0 of a weight"):
        cluster4.run_ranks(cut_unevenly, 2, timeout_s=60.0)
