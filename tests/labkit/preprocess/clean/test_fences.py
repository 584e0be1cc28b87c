"""Fences as Tukey drew them, on either scale, by class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from labkit.preprocess.clean.fences import (
    FRACTIONS,
    Fences,
    log_fits,
    no_fences,
    robust_z,
    tukey,
)


def quantiles(values: NDArray[np.float64]) -> dict[float, float]:
    return dict(zip(FRACTIONS, np.quantile(values, FRACTIONS).tolist(), strict=True))


NOTHING = dict.fromkeys(FRACTIONS, np.nan)
NORMAL = np.random.default_rng(0).normal(10, 2, 20_000)
OTHER = NORMAL + 100
BOTH = np.concatenate([NORMAL, OTHER])


def test_plain_fences_lie_so_many_interquartile_ranges_beyond_the_quartiles() -> None:
    fences = tukey([quantiles(NORMAL), quantiles(BOTH)], log=False, factor=3.0)
    low, middle, high = np.quantile(NORMAL, [0.25, 0.5, 0.75])
    assert fences.low[0] == pytest.approx(low - 3 * (high - low))
    assert fences.near_high[0] == pytest.approx(high + 1.5 * (high - low))
    assert fences.middle[0] == middle
    assert fences.sigma[0] == pytest.approx(2, rel=0.03)


def test_logarithmic_fences_are_ratios_and_nothing_below_zero_is_believed() -> None:
    values = np.exp(NORMAL / 2)
    fences = tukey([quantiles(values)], log=True, factor=3.0)
    low, high = np.log(np.quantile(values, [0.25, 0.75]))
    assert fences.high[0] == pytest.approx(np.exp(high + 3 * (high - low)))
    assert fences.low[0] == pytest.approx(np.exp(low - 3 * (high - low)))
    own = np.full(3, -1, dtype=np.int32)
    assert fences.believed(np.array([-5.0, 0.0, np.exp(5)]), own).tolist() == [False, False, True]
    assert fences.middle_of_all == pytest.approx(np.median(values))


def test_robust_z_measures_by_the_median_distance_from_the_median() -> None:
    deviations = np.abs(NORMAL - np.median(NORMAL))
    fences = robust_z([quantiles(NORMAL)], [quantiles(deviations)], threshold=5.0)
    assert fences.sigma[0] == pytest.approx(2, rel=0.03)
    assert fences.high[0] == pytest.approx(20, rel=0.03)


def test_a_row_is_judged_by_its_own_class_or_by_every_class_where_it_is_not_known() -> None:
    fences = tukey([quantiles(NORMAL), quantiles(OTHER), quantiles(BOTH)], log=False, factor=3.0)
    values = np.array([10.0, 110.0, 60.0, np.nan])
    for own, expected in ((0, [True, False, False]), (1, [False, True, False])):
        codes = np.full(4, own, dtype=np.int32)
        assert fences.believed(values, codes).tolist() == [*expected, False]
    unknown = np.full(4, -1, dtype=np.int32)
    assert fences.believed(values, unknown).tolist() == [True, True, False, False], (
        "between the classes nothing is believed"
    )


def test_a_class_without_spread_believes_everything_and_one_without_values_nothing() -> None:
    constant = quantiles(np.full(10, 5.0))
    fences = tukey([constant, NOTHING, quantiles(NORMAL)], log=False, factor=3.0)
    assert fences.inside(np.array([-1e9]), 0).all()
    assert not fences.inside(np.array([5.0]), 1).any()
    own = np.array([1], dtype=np.int32)
    assert fences.believed(np.array([1e9]), own).all(), "there is nothing to go by"


def test_a_logarithmic_scale_is_chosen_for_what_grows_by_factors() -> None:
    assert log_fits([quantiles(np.exp(NORMAL / 4))])
    assert not log_fits([quantiles(NORMAL)]), "even as it is"
    assert not log_fits([quantiles(-np.exp(NORMAL / 4))]), "negative"
    assert not log_fits([quantiles(40 - np.exp(NORMAL / 10))]), "skewed to the left"
    bent = np.clip(np.exp(NORMAL / 4) - 6, 0.01, None)
    assert not log_fits([quantiles(bent)]), "its logarithm has a far longer tail to the left"
    assert not log_fits([NOTHING, quantiles(np.full(9, 3.0))]), "no spread"
    spoilt = np.exp(NORMAL / 4)
    spoilt[:100] = -999.0
    assert log_fits([quantiles(spoilt)]), "a few sentinels do not hide it"


def test_fences_survive_the_manifest() -> None:
    fences = tukey([quantiles(NORMAL), NOTHING, quantiles(np.full(9, 1.0))], log=False, factor=3.0)
    for each in (fences, no_fences(fences)):
        again = Fences.from_dict(json.loads(json.dumps(each.to_dict(), allow_nan=False)))
        np.testing.assert_array_equal(again.middle, each.middle)
        np.testing.assert_array_equal(again.sigma, each.sigma)
        assert (again.low, again.high, again.near_low) == (each.low, each.high, each.near_low)
