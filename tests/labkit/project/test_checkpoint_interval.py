"""The best interval between checkpoints, against failures that are played."""

from __future__ import annotations

from statistics import mean

import pytest

from labkit.project.checkpoint_interval import best_interval_s, lost_share, play_failures

COSTS = (5.0, 20.0, 3600.0)  # save, restart, mean time between failures


def test_the_best_interval_is_where_the_formula_is_lowest() -> None:
    best_s = best_interval_s(5.0, 3600.0)
    assert best_s == pytest.approx(189.7, rel=1e-3)
    lowest = lost_share(best_s, *COSTS)
    assert all(lost_share(best_s * factor, *COSTS) > lowest for factor in (0.8, 1.25))


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_played_failures_cost_what_the_formula_says(factor: float) -> None:
    interval_s = factor * best_interval_s(5.0, 3600.0)
    played = mean(play_failures(interval_s, *COSTS, work_s=4e5, seed=seed) for seed in range(20))
    assert played == pytest.approx(lost_share(interval_s, *COSTS), rel=0.2)


def test_without_failures_only_saving_costs() -> None:
    assert play_failures(100.0, 5.0, 20.0, 1e12, work_s=1000.0, seed=0) == pytest.approx(0.05)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"save_s=0.0, failures_every_s=3600.0; both are above 0"):
        best_interval_s(0.0, 3600.0)
