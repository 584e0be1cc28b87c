"""Cuts: as good as the best that trying all of them finds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest

from labkit.errors import PlanError
from labkit.project.stage_cuts import balance, stage_ranges


def stage_costs(costs: Sequence[float], cuts: Sequence[int]) -> list[float]:
    """Cost of each stage."""
    return [sum(costs[a:b]) for a, b in pairwise([0, *cuts, len(costs)])]


def test_no_other_cuts_make_the_slowest_stage_faster() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        num_layers = int(generator.integers(1, 9))
        num_stages = int(generator.integers(1, num_layers + 1))
        costs = generator.integers(0, 6, num_layers).tolist()
        every_way = combinations(range(1, num_layers), num_stages - 1)
        best = min(max(stage_costs(costs, cuts)) for cuts in every_way)
        found = balance(costs, num_stages)
        assert max(stage_costs(costs, found)) == best
        assert len(found) == num_stages - 1
        assert all(stage_ranges(num_layers, num_stages, found))


def test_the_stages_behind_the_slowest_are_balanced_too() -> None:
    assert stage_costs([5, 1, 1, 1, 1, 1, 1], balance([5, 1, 1, 1, 1, 1, 1], 3)) == [5, 3, 3]


@pytest.mark.parametrize("cost", [0.0, 1.0, 0.1])
def test_equal_costs_make_equal_counts_the_first_stages_one_more(cost: float) -> None:
    assert stage_ranges(8, 3, balance([cost] * 8, 3)) == stage_ranges(8, 3)
    assert [len(stage) for stage in stage_ranges(8, 3)] == [3, 3, 2]


def test_given_cuts_are_the_first_layers_of_the_stages() -> None:
    assert stage_ranges(8, 3, (1, 5)) == (range(0, 1), range(1, 5), range(5, 8))


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(PlanError, match="2 layers cannot make 3 stages; choose from 1 to 2"):
        balance([1.0, 1.0], 3)
    with pytest.raises(PlanError, match="2 layers cannot make 3 stages"):
        stage_ranges(2, 3)


@pytest.mark.parametrize("cuts", [(3,), (0, 3), (3, 3), (5, 3), (3, 8)])
def test_cuts_that_leave_a_stage_empty_are_refused(cuts: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="give 2 rising cuts from 1 to 7"):
        stage_ranges(8, 3, cuts)
