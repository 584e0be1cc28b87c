"""Moments of parts, merged, are those of the whole column, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labkit.preprocess.statistics.moments import Moments, merge_all, merge_columns, moments_of


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_any_cut_gives_the_moments_of_the_whole(seed: int, offset: float) -> None:
    random = np.random.default_rng(seed)
    column = offset + random.normal(size=2000)
    column[random.random(2000) < 0.1] = np.nan
    cuts = np.sort(random.integers(0, 2001, 7))  # equal cuts give empty parts
    parts = [{"x": moments_of(part)} for part in np.split(random.permutation(column), cuts)]
    moments = merge_columns(parts)["x"]
    assert moments == moments_of(column)
    assert moments.num_values == np.isfinite(column).sum()
    assert moments.missing == np.isnan(column).sum()
    assert moments.minimum == np.nanmin(column)
    assert moments.maximum == np.nanmax(column)
    assert moments.mean == pytest.approx(np.nanmean(column), rel=1e-13)
    assert moments.variance == pytest.approx(np.nanvar(column, ddof=1), rel=1e-9)
    assert moments.std == pytest.approx(np.nanstd(column, ddof=1), rel=1e-9)


def test_a_column_of_gaps_has_no_figures_but_its_gaps() -> None:
    moments = merge_columns([{"x": moments_of(np.full(3, np.nan))}] * 2)["x"]
    assert moments == Moments(missing=6)
    assert math.isnan(moments.mean)
    assert math.isnan(moments.variance)


def test_nothing_at_all() -> None:
    assert merge_all([]) == moments_of(np.array([])) == Moments()


def test_one_value_has_no_variance() -> None:
    moments = moments_of(np.array([4.0]))
    assert moments.mean == 4.0
    assert math.isnan(moments.variance)
    assert math.isnan(moments.std)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([math.inf, 1.0], math.inf),
        ([-math.inf, 1.0, math.nan], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([-math.inf], -math.inf),
    ],
)
def test_infinite_values_give_what_numpy_gives(values: list[float], mean: float) -> None:
    moments = moments_of(np.array(values))
    assert moments.mean == mean or (math.isnan(moments.mean) and math.isnan(mean))
    assert math.isnan(moments.variance)


def test_which_zero_is_met_first_does_not_show() -> None:
    found = [moments_of(np.array(zeros)) for zeros in ([0.0, -0.0], [-0.0, 0.0])]
    assert all(math.copysign(1, each.minimum) == 1 for each in found)
    assert all(math.copysign(1, each.maximum) == 1 for each in found)
