"""The covariance has the same bits however the rows are cut, shuffled or threaded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from labkit.preprocess.reduce.covariance import (
    BLOCK_ROWS,
    Covariance,
    Gram,
    Grid,
    covariance_of,
    gram_of,
    grid_of,
    merge_grams,
    slices_of,
)


def make_values(seed: int, rows: int = 1500) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    measures = random.normal(size=(rows, 4)) @ random.normal(size=(4, 4)) + 100
    return measures * [1, 1e6, 1e-9, 3]


def grid_for(values: NDArray[np.float64]) -> Grid:
    return grid_of(np.nanmin(values, axis=0), np.nanmax(values, axis=0))


def by_parts(
    values: NDArray[np.float64], cuts: list[int], gaps: tuple[int, ...] = ()
) -> Covariance:
    grid = grid_for(values)
    ends = [0, *sorted(cuts), len(values)]
    grams = [gram_of(values[start:stop], grid, gaps) for start, stop in pairwise(ends)]
    return covariance_of(merge_grams(grams), grid, gaps)


def assert_same_bits(left: Covariance, right: Covariance) -> None:
    assert left.num_rows == right.num_rows
    assert left.mean.tobytes() == right.mean.tobytes()
    assert left.products.tobytes() == right.products.tobytes()


@pytest.mark.parametrize("seed", range(4))
def test_it_is_numpys_covariance(seed: int) -> None:
    values = make_values(seed)
    found = by_parts(values, [7, 900])
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.products / 1499, np.cov(values.T), rtol=1e-10)
    np.testing.assert_allclose(found.std, values.std(axis=0, ddof=1), rtol=1e-11)
    np.testing.assert_allclose(found.correlation, np.corrcoef(values.T), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_gives_the_same_bits(seed: int) -> None:
    values = make_values(seed)
    cuts = np.random.default_rng(seed).integers(0, 1501, 6).tolist()  # some parts may be empty
    assert_same_bits(by_parts(values, []), by_parts(values, cuts))


def test_any_order_of_rows_gives_the_same_bits() -> None:
    values = make_values(5)
    shuffled = np.random.default_rng(0).permutation(values)
    assert_same_bits(by_parts(values, [100]), by_parts(shuffled, [3, 4]))


def test_more_rows_than_a_block_are_summed_exactly() -> None:
    values = make_values(6, rows=2 * BLOCK_ROWS + 5)
    found = by_parts(values, [])
    assert_same_bits(found, by_parts(values, [1000, 40_000]))
    np.testing.assert_allclose(found.products / (len(values) - 1), np.cov(values.T), rtol=1e-10)


def test_small_spread_far_from_zero_loses_nothing() -> None:
    values = 1e9 + make_values(7)[:, :1]
    exact = by_parts(values, [700]).products[0, 0]
    centred = values - 1e9  # exact, as the sum was rounded already
    assert exact == pytest.approx(float(centred.var() * len(values)), rel=1e-12)


def test_gaps_count_as_the_mean() -> None:
    values = make_values(8)
    random = np.random.default_rng(1)
    values[random.random(len(values)) < 0.2, 1] = np.nan
    values[random.random(len(values)) < 0.3, 3] = np.nan
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    found = by_parts(values, [11, 800], gaps=(1, 3))
    assert_same_bits(found, by_parts(values, [], gaps=(1, 3)))
    np.testing.assert_allclose(found.mean, np.nanmean(values, axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.products / 1499, np.cov(filled.T), rtol=1e-10)


def test_infinite_values_are_gaps() -> None:
    values = make_values(9)
    gaps, infinite = values.copy(), values.copy()
    gaps[:5, 0], infinite[:5, 0] = np.nan, np.inf
    grid = grid_for(gaps)
    assert_same_bits(
        covariance_of(gram_of(gaps, grid, [0]), grid, [0]),
        covariance_of(gram_of(infinite, grid, [0]), grid, [0]),
    )


def test_a_constant_and_an_empty_column_have_no_correlation() -> None:
    values = np.stack([np.arange(9.0), np.full(9, 2.0), np.full(9, np.nan)], axis=1)
    grid = grid_of([0, 2, 0], [8, 2, 0])
    found = covariance_of(gram_of(values, grid, [2]), grid, [2])
    assert found.std.tolist()[1:] == [0, 0]
    assert found.correlation.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_slices_are_whole_and_make_up_the_value() -> None:
    values = make_values(10)
    grid = grid_for(values)
    slices = slices_of(values, grid)
    assert all((each == np.rint(each)).all() and np.abs(each).max() <= 2**18 for each in slices)
    heavy, middle, light = slices
    again = np.ldexp(heavy + middle / 2.0**18 + light / 2.0**36, grid.exponent - 18) + grid.centre
    np.testing.assert_allclose(again, values, rtol=3e-16)


def test_no_rows_at_all_sum_to_nothing() -> None:
    gram = gram_of(np.empty((0, 2)), grid_of([0, 0], [1, 1]))
    assert isinstance(gram, Gram)
    assert not gram.levels.any()
    assert gram.pairs.tolist() == [[0]]
