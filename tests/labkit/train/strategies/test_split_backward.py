"""Both halves of a backward together give what one backward gives, on graphs of any shape."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from labkit.train.strategies.split_backward import SplitBackward

Graph = Callable[[Tensor, Tensor, Tensor], Tensor]

GRAPHS: dict[str, Graph] = {
    "weights on the way": lambda x, u, v: ((x @ u).tanh() @ v).exp(),
    "a weight used twice": lambda x, u, v: (((x @ u).tanh() @ u) * v).sin(),
    "a weight used at once and again": lambda x, u, v: ((x @ u).tanh() @ u).sin() @ v * u,
    "weights of weights": lambda x, u, v: x @ (u @ v.exp()),
    "a weight joined at the end": lambda x, u, v: (x * x).sum(1, keepdim=True) + u @ v,
    "an input used twice": lambda x, u, v: (x @ u).relu() + (x @ v).sigmoid(),
    "two outputs of one node": lambda x, u, v: torch.cat((x @ u).chunk(2, dim=1)[::-1], 1) * v,
    "a view at the end": lambda x, u, v: (x @ u @ v).view(-1),
    "no weight at all": lambda x, u, v: x.exp(),
}


def leaves() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(4, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(3)
    ]


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())
def test_the_halves_are_the_whole(graph: Graph) -> None:
    whole, halves = leaves(), leaves()
    y = graph(*whole)
    output_grad = torch.randn(y.shape, dtype=torch.float64)
    for _ in range(2):  # gradients of the weights add up
        whole[0].grad = None
        torch.autograd.backward(graph(*whole), output_grad)
        split = SplitBackward(graph(*halves), output_grad, halves[0])
        torch.testing.assert_close(split.input_grad, whole[0].grad)
        split.finish()
    for found, wanted in zip(halves[1:], whole[1:], strict=True):
        assert (found.grad is None) == (wanted.grad is None)
        if wanted.grad is not None:
            torch.testing.assert_close(found.grad, wanted.grad)


def test_an_input_that_is_not_used_is_an_error() -> None:
    x, u, v = leaves()
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        SplitBackward(u @ v, torch.ones(4, 4, dtype=torch.float64), x)
