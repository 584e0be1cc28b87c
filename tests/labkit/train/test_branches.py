"""Branches on ranks of their own do the same training as the whole model in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from labkit.emulate.pacer import RealTime
from labkit.errors import PlanError, WorkloadError
from labkit.plan import Plan
from labkit.runs.attribution import attribute
from labkit.train.job import RankResult
from labkit.train.models.branches import Branches
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.branches import apply_branches, branches_of_ranks
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.shapes import empty_microbatch
from labkit.workload import WORKLOADS

Compare = Callable[..., Any]
Train = Callable[..., list[RankResult]]


@pytest.mark.parametrize(
    ("num_ranks", "wanted"),
    [
        (2, ((0, 2), (1, 3))),
        (3, ((0, 3), (1,), (2,))),
        (4, ((0,), (1,), (2,), (3,))),
        (5, ((), (0,), (1,), (2,), (3,))),
    ],
)
def test_every_branch_has_one_rank(num_ranks: int, wanted: tuple[tuple[int, ...], ...]) -> None:
    assert branches_of_ranks(4, num_ranks) == wanted


@pytest.mark.parametrize(
    "plan",
    [
        Plan(pp=2, placement="branches"),
        Plan(pp=3, placement="branches", microbatches=4),
        Plan(pp=4, placement="branches"),
        Plan(pp=2, placement="branches", checkpoint_activations=True),
    ],
    ids=["2", "3-accumulated", "4", "2-checkpoint"],
)
def test_placed_branches_equal_one_process(compare: Compare, plan: Plan) -> None:
    found = compare("branches", plan)
    assert found.loss <= 1e-5
    assert found.weights <= 1e-4
    assert found.gradients <= 1e-3
    for result in found.results:
        assert result.comm_bytes == result.comm_bytes_formula


def three_branches(input_shape: Any, num_classes: int) -> nn.Sequential:
    """A fork right at the data, whose trunk has no weights before it."""
    (columns,) = input_shape
    branches = [nn.Linear(columns, 8), nn.Sequential(nn.Linear(columns, 8), nn.Tanh())]
    branches.append(nn.Linear(columns, 8, bias=False))
    return nn.Sequential(Branches(branches), nn.Linear(8, num_classes))


def test_a_trunk_without_a_branch_and_a_fork_without_a_gradient(compare: Compare) -> None:
    workload = WORKLOADS["fruit"].with_settings(
        name="three", model=three_branches, num_layers=2, num_branches=3, global_batch=8
    )
    found = compare(workload, Plan(pp=4, placement="branches"))
    assert found.loss <= 1e-5
    assert found.weights <= 1e-4
    output = 20 * 8 * 8 * 4  # steps, samples, width and bytes of float32
    inputs = 20 * 8 * 4 * 4
    assert found.results[0].comm_bytes == {"comm_pp": 3 * (inputs + output)}
    assert [r.comm_bytes for r in found.results[1:]] == 3 * [{"comm_pp": output}]


def test_the_bytes_are_an_activation_and_a_gradient_each_way(train_small: Train) -> None:
    trunk, branch = train_small("branches", Plan(pp=2, placement="branches"), num_steps=3)
    activation = 8 * 16 * 8 * 8 * 4  # samples, channels, height, width, bytes of float32
    assert trunk.comm_bytes == branch.comm_bytes == {"comm_pp": 3 * 2 * activation}


def test_waiting_for_the_trunk_is_a_bubble(train_small: Train) -> None:
    results = train_small("branches", Plan(pp=2, placement="branches"), num_steps=5)
    kinds = {span.kind for span in results[1].spans}
    assert kinds >= {"forward", "backward", "comm_pp", "optimizer"}
    assert not any(span.kind == "data" for span in results[1].spans)
    shares, wall_s = attribute(results)
    assert shares["bubble"] > 0
    assert sum(shares.values()) == pytest.approx(wall_s)


def given_branches(num_branches: int) -> Given:
    plan = Plan(pp=2, placement="branches")
    return Given(
        workload=WORKLOADS["branches"].with_settings(num_branches=num_branches),
        plan=plan,
        place=Place.of(0, plan),
        example=empty_microbatch((4,), "float32", 2),
        stages=(range(2),),
        device=torch.device("cpu"),
        recorder=SpanRecorder(lambda: 0.0, rank=0),
        pace=RealTime(lambda: 0.0),
    )


def test_a_model_that_does_not_fork_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    with pytest.raises(PlanError, match="one layer of the type Branches, but the model has 0"):
        apply_branches(model, given_branches(4))


def test_another_number_of_branches_than_declared_is_refused() -> None:
    with pytest.raises(WorkloadError, match=r"num_branches=4 but its model has 3"):
        apply_branches(three_branches((4,), 2), given_branches(4))
