"""A stage computes microbatches, and keeps of each only what is still needed."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from labkit.train.models.layers import Attention, ConvPair, FeedForward, Residual, TokenEmbedding
from labkit.train.strategies.stage import Stage

TRANSFORMER = (
    Residual(Attention(8, 2), nn.LayerNorm(8)),
    Residual(FeedForward(8, 16), nn.LayerNorm(8)),
)


def rows() -> tuple[nn.Sequential, Tensor]:
    blocks = (Residual(FeedForward(6, 12)), nn.Linear(6, 4))
    return nn.Sequential(nn.Linear(6, 6), *blocks), torch.randn(5, 6)


def images() -> tuple[nn.Sequential, Tensor]:
    blocks = (Residual(ConvPair(4, 8), nn.GroupNorm(1, 4)), nn.Flatten(), nn.Linear(4 * 36, 3))
    return nn.Sequential(*blocks), torch.randn(2, 4, 6, 6)


def tokens() -> tuple[nn.Sequential, Tensor]:
    return nn.Sequential(*copy.deepcopy(TRANSFORMER)), torch.randn(2, 7, 8)


MODELS = pytest.mark.parametrize("make", [rows, images, tokens])
Make = Callable[[], tuple[nn.Sequential, Tensor]]


def gradients(module: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


@MODELS
def test_both_halves_of_a_backward_are_the_whole(make: Make) -> None:
    torch.manual_seed(0)
    module, x = make()
    module, x = module.double(), x.double()
    whole, halves = Stage(module, range(1)), Stage(copy.deepcopy(module), range(1))
    for microbatch in range(2):
        one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        output_grad = torch.randn_like(whole.forward(microbatch, one))
        wanted = whole.backward(microbatch, output_grad)
        halves.forward(microbatch, other)
        found = halves.backward_input(microbatch, output_grad)
        assert found is not None
        torch.testing.assert_close(found, wanted)
        halves.backward_weight(microbatch)
    assert len(gradients(module)) == len(list(module.parameters()))
    torch.testing.assert_close(gradients(halves.module), gradients(module))


@MODELS
def test_the_first_half_leaves_the_weights_alone(make: Make) -> None:
    module, x = make()
    stage = Stage(module, range(1))
    y = stage.forward(0, x.requires_grad_())
    stage.backward_input(0, torch.ones_like(y))
    assert gradients(module) == []


def test_halves_may_be_microbatches_apart() -> None:
    torch.manual_seed(0)
    module, x = rows()
    stage, late = Stage(copy.deepcopy(module), range(3)), Stage(module, range(3))
    for microbatch in range(3):
        for each in (stage, late):
            y = each.forward(microbatch, (x + microbatch).requires_grad_())
        stage.backward(microbatch, torch.ones_like(y))
        late.backward_input(microbatch, torch.ones_like(y))
    for microbatch in range(3):
        late.backward_weight(microbatch)
    torch.testing.assert_close(gradients(late.module), gradients(stage.module))


def test_a_first_stage_leaves_everything_to_the_second_half() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(TokenEmbedding(11, 7, 8), *copy.deepcopy(TRANSFORMER))
    whole, halves = Stage(copy.deepcopy(module), range(3)), Stage(module, range(3))
    x = torch.randint(0, 11, (2, 7))
    y = whole.forward(0, x)
    assert whole.backward(0, torch.ones_like(y)) is None
    halves.forward(0, x)
    assert halves.backward_input(0, torch.ones_like(y)) is None
    assert gradients(module) == []
    halves.backward_weight(0)
    torch.testing.assert_close(gradients(module), gradients(whole.module))


def test_the_last_stage_begins_its_backward_at_the_loss() -> None:
    torch.manual_seed(0)
    module, x = rows()
    targets = torch.tensor([0, 1, 2, 3, 0])
    wanted = nn.functional.cross_entropy(module(x), targets)
    wanted.backward()  # type: ignore[no-untyped-call]
    found = gradients(module)
    module.zero_grad()
    stage = Stage(module, range(3))
    loss = stage.forward(0, x.requires_grad_(), targets, 1 / 5)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, wanted.detach())
    stage.backward(0, None)
    torch.testing.assert_close(gradients(module), found)


class Saved:
    """An activation that autograd keeps for the backward."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("is_split", [False, True])
@MODELS
def test_activations_are_let_go_when_the_backward_is_done(make: Make, is_split: bool) -> None:
    module, x = make()
    stage = Stage(module, range(1))
    kept: list[weakref.WeakSet[Saved]] = []

    def keep(tensor: Tensor) -> Saved:
        saved = Saved(tensor.detach())  # with its node it would keep itself alive
        kept[-1].add(saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved.tensor):
        for microbatch in range(2):
            kept.append(weakref.WeakSet())
            grad = torch.ones_like(stage.forward(microbatch, x.clone().requires_grad_()))
    assert all(len(of_microbatch) > 2 for of_microbatch in kept)
    if is_split:
        stage.backward_input(0, grad)
        stage.backward_weight(0)
    else:
        stage.backward(0, grad)
    assert len(kept[0]) == 0
    assert len(kept[1]) > 2
