"""A model of one's own as layers in a row, where it is such a row."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.train.custom_layers import Path, as_layers, find_layers, shared_names
from labkit.train.models.layers import FeedForward


class Row(nn.Module):
    """Its forward is its children in order."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.act(self.first(x)))
        return y


class Functional(Row):
    """Something happens between its children."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(F.silu(self.first(x)) + self.act(self.first(x)))
        return y


class OwnParameter(Row):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Bilinear(4, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(x, self.a(x))
        return y


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.rnn(x)[0])
        return y


TWICE = nn.Linear(4, 4)
NAMED = nn.Sequential(OrderedDict(a=nn.Linear(4, 8), b=nn.ReLU(), c=nn.Linear(8, 2)))


@pytest.mark.parametrize(
    ("model", "path", "num_layers"),
    [
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (), 3),
        (NAMED, (), 3),
        (Row(), (), 3),
        (Wrapped(NAMED), ("inner",), 3),
        (Wrapped(Wrapped(Row())), ("inner", "inner"), 3),
        (Functional(), None, 1),
        (OwnParameter(), None, 1),
        (Wrapped(Functional()), (), 1),
        (TwoInputs(), None, 1),
        (Recurrent(), None, 1),
        (nn.Sequential(TWICE, nn.ReLU(), TWICE), None, 1),
        (FeedForward(4, 8), None, 1),
        (nn.Linear(4, 2), None, 1),
    ],
)
def test_layers_are_found_where_the_children_in_order_are_the_model(
    model: nn.Module, path: Path | None, num_layers: int
) -> None:
    x = torch.randn(3, 4)
    assert find_layers(model, x) == path
    layers = as_layers(model, path)
    assert [name for name, _ in layers.named_children()] == [str(i) for i in range(num_layers)]
    assert torch.equal(layers(x), model(x))
    assert [id(p) for p in layers.parameters()] == [id(p) for p in model.parameters()]


def test_layers_leave_their_inputs_alone() -> None:
    layers = as_layers(Row(), ())
    x = torch.randn(3, 8, requires_grad=True)  # as a stage receives it
    layers[1](x).sum().backward()
    assert x.grad is not None


def test_weights_that_layers_share_are_loaded_under_their_first_name() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    assert shared_names(as_layers(model, ())) is None
    model[1].weight = model[0].weight
    layers = as_layers(model, ())
    assert shared_names(layers) == ("0.weight", "1.weight")
    layers.load_state_dict({name: torch.ones_like(p) for name, p in layers.named_parameters()})
    assert torch.equal(layers[1].weight, torch.ones(4, 4))


def test_constants_do_not_travel_with_the_weights() -> None:
    model = Row()
    model.last.register_buffer("mask", torch.ones(2))
    layers = as_layers(model, ())
    assert "2.mask" in dict(layers.named_buffers())
    assert layers.state_dict().keys() == dict(layers.named_parameters()).keys()
