"""Moments of parts, merged, are those of the whole column."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labkit.preprocess.moments import Moments, merge_columns, moments_of


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_any_cut_gives_the_moments_of_the_whole(seed: int, offset: float) -> None:
    random = np.random.default_rng(seed)
    column = offset + random.normal(size=2000)
    column[random.random(2000) < 0.1] = np.nan
    cuts = np.sort(random.integers(0, 2001, 7))  # equal cuts give empty parts
    parts = [{"x": moments_of(part)} for part in np.split(column, cuts)]
    moments = merge_columns(parts)["x"]
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
    assert math.isnan(moments.variance)


def test_one_value_has_no_variance() -> None:
    assert math.isnan(moments_of(np.array([4.0])).variance)
