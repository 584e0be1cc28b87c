"""Stages cover the layers once, and a stage sends what the formula says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.plan import Plan
from labkit.train.strategies.parallel_model import Place
from labkit.train.strategies.pipeline import (
    layers_of_stage,
    pipeline_bytes_per_step,
    take_layers,
)
from labkit.train.strategies.shapes import empty_microbatch, trace_shapes


@pytest.mark.parametrize(("num_layers", "num_stages"), [(8, 2), (8, 3), (6, 4), (8, 8), (5, 1)])
def test_stages_cover_every_layer_once_in_order(num_layers: int, num_stages: int) -> None:
    stages = [layers_of_stage(num_layers, num_stages, stage) for stage in range(num_stages)]
    assert [layer for stage in stages for layer in stage] == list(range(num_layers))
    sizes = [len(stage) for stage in stages]
    assert max(sizes) - min(sizes) <= 1


def test_layers_keep_their_global_names() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(5)))
    part = take_layers(model, range(2, 4))
    assert list(part.state_dict()) == ["2.weight", "3.weight"]
    assert part.get_submodule("3") is model[3]


def test_bytes_are_the_activations_at_both_ends() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5), nn.Linear(5, 7))
    shapes = trace_shapes(model, empty_microbatch((2,), "float32", 10))
    plan = Plan(pp=3, microbatches=4)
    sent = [
        pipeline_bytes_per_step(plan, Place(replica=0, stage=stage, tensor_rank=0), shapes)
        for stage in range(3)
    ]
    first, second = 10 * 3 * 4, 10 * 5 * 4  # samples * width * bytes of float32
    assert sent == [4 * first, 4 * (first + second), 4 * second]


def test_tracing_shapes_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))
    shapes = trace_shapes(model, empty_microbatch((6,), "int64", 2))
    assert [tuple(x.shape) for x in shapes.inputs] == [(2, 6), (2, 6, 4), (2, 6, 9)]
    assert [x.requires_grad for x in shapes.inputs] == [False, True, True]
    assert all(p.device == torch.device("cpu") and p.grad is None for p in model.parameters())
