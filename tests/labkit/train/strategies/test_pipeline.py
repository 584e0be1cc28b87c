"""Stages keep their layers' names, and a rank sends what the formula says."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from labkit.emulate.pacer import RealTime
from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.pipeline import (
    layers_of_rank,
    pipeline_bytes_per_step,
    stages_of_rank,
    take_layers,
)
from labkit.train.strategies.shapes import empty_microbatch, trace_shapes
from labkit.workload import WORKLOADS


def given_to(rank: int, plan: Plan, stages: tuple[range, ...]) -> Given:
    return Given(
        workload=WORKLOADS["fruit"],
        plan=plan,
        place=Place.of(rank, plan),
        example=empty_microbatch((2,), "float32", 10),
        stages=stages,
        device=torch.device("cpu"),
        recorder=SpanRecorder(lambda: 0.0, rank=rank),
        pace=RealTime(lambda: 0.0),
    )


def test_layers_keep_their_global_names() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(5)))
    part = take_layers(model, (1, 3))
    assert list(part.state_dict()) == ["1.weight", "3.weight"]
    assert part.get_submodule("3") is model[3]


def test_a_rank_holds_every_pp_th_stage() -> None:
    plan = Plan(pp=2, schedule="interleaved1f1b", microbatches=2)
    stages = (range(1), range(1, 3), range(3, 4), range(4, 6))
    assert [tuple(stages_of_rank(given_to(r, plan, stages))) for r in range(2)] == [(0, 2), (1, 3)]
    assert layers_of_rank(given_to(1, plan, stages)) == (1, 2, 4, 5)


def test_bytes_are_the_activations_at_both_ends() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5), nn.Linear(5, 7))
    shapes = trace_shapes(model, empty_microbatch((2,), "float32", 10))
    plan = Plan(pp=3, microbatches=4)
    stages = (range(1), range(1, 2), range(2, 3))
    sent = [pipeline_bytes_per_step(given_to(rank, plan, stages), shapes) for rank in range(3)]
    first, second = 10 * 3 * 4, 10 * 5 * 4  # samples * width * bytes of float32
    assert sent == [4 * first, 4 * (first + second), 4 * second]


def test_no_gradient_goes_back_to_a_stage_without_weights() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    shapes = trace_shapes(model, empty_microbatch((2,), "float32", 10))
    plan = Plan(pp=2, microbatches=4)
    stages = (range(1), range(1, 2))
    sent = [pipeline_bytes_per_step(given_to(rank, plan, stages), shapes) for rank in range(2)]
    assert sent == [4 * 10 * 2 * 4, 0]


def test_tracing_shapes_leaves_the_model_and_the_random_numbers_alone() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Dropout(), nn.BatchNorm1d(6), nn.Linear(4, 9))
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    shapes = trace_shapes(model, empty_microbatch((6,), "int64", 2))
    assert [tuple(x.shape) for x in shapes.inputs] == [(2, 6), *3 * [(2, 6, 4)], (2, 6, 9)]
    assert [x.requires_grad for x in shapes.inputs] == [False, True, True, True, True]
    assert all(x.is_meta for x in shapes.inputs)
    assert all(p.device == torch.device("cpu") and p.grad is None for p in model.parameters())
    assert all(torch.equal(found, before[name]) for name, found in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_traced_shapes_are_those_of_the_microbatch(size: int) -> None:
    # Tokens first in the middle: the batch need not be the first dimension everywhere.
    model = nn.Sequential(nn.Linear(3, 5), nn.Flatten(1, 1), Swapped(), nn.Linear(5, 2).double())
    model[:3].double()
    x = torch.zeros(size, 4, 3, dtype=torch.float64)
    shapes = trace_shapes(model, empty_microbatch((4, 3), "float64", size, torch.float64))
    for layer, wanted in zip(model, shapes.inputs, strict=False):
        assert (x.shape, x.dtype, x.requires_grad) == (
            wanted.shape, wanted.dtype, wanted.requires_grad
        )  # fmt: skip
        x = layer(x)
    assert x.shape == shapes.inputs[-1].shape == (4, size, 2)


class Swapped(nn.Module):
    """Batch and tokens change places."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1)
