"""Updates and clipping on one rank; what they are on many is in the recipe tests."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.train.optimizer import Optimizer, clip_gradients
from labkit.train.strategies.parallel_model import ParallelModel, Place
from labkit.workload import WORKLOADS, Workload

WORKLOAD = WORKLOADS["fruit"]


def with_gradients(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).to(dtype)
    for parameter in layer.parameters():
        parameter.grad = torch.randn_like(parameter)
    return layer


def test_an_update_is_that_of_torch_s_sgd_at_the_rate_of_the_step() -> None:
    ours, theirs = with_gradients(), with_gradients()
    optimizer = Optimizer(ours.parameters(), WORKLOAD)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=WORKLOAD.momentum)
    for rate in (0.1, 0.05):
        optimizer.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=0, atol=0)
    assert [m.shape for m in optimizer.momenta()] == [(2, 3), (2,)]
    assert optimizer.num_bytes == 8 * 4


def test_coarse_weights_do_not_lose_small_updates() -> None:
    layer = with_gradients(torch.bfloat16)
    before = layer.weight.detach().clone()
    optimizer = Optimizer(layer.parameters(), WORKLOAD.with_settings(momentum=0.0))
    for _ in range(1_000):  # each far below the spacing of bfloat16
        optimizer.step(1e-5)
    assert layer.weight.grad is not None
    moved = before.float() - 1e-2 * layer.weight.grad.float()
    torch.testing.assert_close(layer.weight.float(), moved, rtol=0.01, atol=1e-3)


def test_a_rank_that_updates_nothing_does_nothing() -> None:
    optimizer = Optimizer([], WORKLOAD)
    optimizer.step(0.1)
    assert optimizer.momenta() == []
    assert optimizer.num_bytes == 0


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_is_torch_s(max_norm: float) -> None:
    ours, theirs = with_gradients(), with_gradients()
    part = ParallelModel(
        module=ours,
        place=Place(replica=0, stage=0, tensor_rank=0),
        device=torch.device("cpu"),
        forward_backward=lambda batch: torch.zeros(()),
    )
    norm = clip_gradients(part, max_norm)
    wanted = nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
    assert norm == pytest.approx(float(wanted), rel=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad, other.grad)


def test_the_rate_rises_over_the_warm_up_and_grows_with_the_batch() -> None:
    workload: Workload = WORKLOAD.with_settings(
        learning_rate=0.1, warmup_steps=4, reference_batch=512, global_batch=2048
    )
    rates = [workload.learning_rate_at(step) for step in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
