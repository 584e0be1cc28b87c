"""Models that no plan can train are refused as soon as they are given, in one clear line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import WorkloadError
from labkit.workload import Workload


class Odd(nn.Module):
    """A linear model that does one thing more, given as a function."""

    def __init__(self, odd: Callable[[Odd, Tensor], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 2)
        self.odd = odd
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        return self.odd(self, self.linear(x))


def count_up(model: Odd, y: Tensor) -> Tensor:
    model.count += 1
    return y


def with_(odd: Callable[[Odd, Tensor], Any]) -> Callable[..., nn.Module]:
    return lambda *_: Odd(odd)


def linear_and(*layers: nn.Module) -> Callable[..., nn.Module]:
    return lambda *_: nn.Sequential(nn.Linear(5, 2), *layers)


def frozen(*_: Any) -> nn.Module:
    return nn.Linear(5, 2).requires_grad_(False)


def unseeded(*_: Any) -> nn.Module:
    model = nn.Linear(5, 2)
    nn.init.constant_(model.bias, float(np.random.default_rng().standard_normal()))
    return model


def unused(*_: Any) -> nn.Module:
    model = Odd(lambda _, y: y)
    model.more = nn.Linear(3, 3)
    return model


def locked(*_: Any) -> nn.Module:
    model = nn.Linear(5, 2)
    model.lock = threading.Lock()  # type: ignore[assignment]
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (linear_and(nn.BatchNorm1d(2)), r"'1' is BatchNorm1d.*choose nn.GroupNorm or nn.LayerNorm"),
        (linear_and(nn.Dropout(0.1)), r"'1' is dropout, which would be drawn differently"),
        (with_(lambda _, y: F.dropout(y, 0.5)), "its forward draws random numbers"),
        (with_(count_up), "its forward changes the buffer 'count'"),
        (lambda *_: nn.LazyLinear(2), "'weight' has no size yet"),
        (lambda *_: nn.Flatten(), "has no parameters to learn"),
        (frozen, "'weight' is frozen"),
        (unseeded, "'bias' is not the same when the model is built again with the same seed"),
        (unused, "the loss does not depend on 'more.weight'"),
        (with_(lambda _, y: (y, y)), "gives tuple; return one tensor of scores"),
        (with_(lambda _, y: y[:, :1]), r"of shape \(4, 1\) .* give float scores of shape \(4, 2\)"),
        (with_(lambda _, y: y.argmax(dim=1)), r"gives int64 of shape \(4,\)"),
        (with_(lambda _, y: y.detach()), "has no backward: RuntimeError"),
        (lambda *_: nn.Linear(7, 2), r"does not run in float32 on float32 samples of shape \(5,\)"),
        (lambda *_: [nn.Linear(5, 2)], "its function gives list; return an nn.Module"),
        (lambda shape: nn.Linear(5, 2), "cannot be built for samples of shape .* TypeError"),
        (locked(), "cannot be sent to ranks: TypeError: cannot pickle"),
        (nn.Linear, "is no model; give an nn.Module, or a function"),
        ("a name", "is no model; give an nn.Module, or a function"),
    ],
)
def test_a_model_that_no_plan_can_train_is_refused_at_once(model: Any, message: str) -> None:
    with pytest.raises(WorkloadError, match=message) as refused:
        Workload.of(model, name="odd")
    assert "\n" not in str(refused.value)
