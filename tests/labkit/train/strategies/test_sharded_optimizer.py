"""ZeRO's first stage by hand: the optimiser is shared out, the training stays the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from labkit.plan import Plan
from labkit.train.strategies.flat import flatten_gradients, flatten_parameters
from labkit.train.strategies.sharded_optimizer import pieces_between


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))  # 12 + 4 + 8 + 2 numbers


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4, 8])
def test_the_pieces_of_all_ranks_cover_each_parameter_once(num_ranks: int) -> None:
    model = make_model()
    flat = flatten_parameters(model, multiple_of=num_ranks)
    size = flat.numel() // num_ranks
    pieces = [
        piece
        for rank in range(num_ranks)
        for piece in pieces_between(model, rank * size, (rank + 1) * size)
    ]
    for piece in pieces:
        piece.weights.add_(1)
    fresh = make_model()
    for found, before in zip(model.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(found.detach(), before.detach() + 1)
    assert sum(piece.weights.numel() for piece in pieces) == 26


def test_what_is_written_into_the_flat_tensors_is_written_into_the_model() -> None:
    model = make_model()
    model(torch.ones(1, 3)).sum().backward()
    parameters, gradient = flatten_parameters(model, multiple_of=4), flatten_gradients(model)
    assert parameters.shape == (28,)
    assert gradient.shape == (26,)
    parameters.fill_(2.0)
    gradient.fill_(3.0)
    for parameter in model.parameters():
        assert bool((parameter == 2.0).all())
        assert bool((parameter.grad == 3.0).all())


def test_a_parameter_without_gradient_is_flattened_as_zeros() -> None:
    model = make_model()
    model[0](torch.ones(1, 3)).sum().backward()
    assert flatten_gradients(model)[16:].tolist() == [0.0] * 10


def test_a_clipped_gradient_is_clipped_in_its_pieces() -> None:
    model = make_model()
    model(torch.ones(1, 3)).sum().backward()
    [*_, last] = pieces_between(model, 0, 26)
    last.take_gradient()
    model[1].bias.grad.mul_(0.25)
    assert last.weights.grad.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(("workload", "dp"), [("digits", 2), ("digits", 4), ("text", 2)])
def test_a_sharded_optimizer_equals_one_process(compare: Any, workload: str, dp: int) -> None:
    both = compare(workload, Plan(dp=dp, shard="optimizer"))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    assert both.gradients <= 1e-3
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula
