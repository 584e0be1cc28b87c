"""Exact covariance of columns that lie in parts: the same bits however the rows are cut.

Sums of floating-point products depend on their order. So each value is written as a whole number
on a fine grid of its column (54 bits of the column's reach), cut into three slices of 18 bits.
Products of slices of 32,768 rows add up to less than 2^53, which a float64 holds exactly: one
matrix product per block of rows gives exact sums whatever the order and the number of threads. The
sums of the parts are whole numbers, added exactly; rounding happens once, at the end.

A gap counts as its column's mean, so it adds nothing: the covariance is that of the filled columns.

Source: Ozaki, Ogita, Oishi & Rump 2012, doi:10.1007/s11075-011-9478-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SLICE_BITS = 18
NUM_SLICES = 3
NUM_LEVELS = 2 * NUM_SLICES - 1  # products of slice a and slice b weigh alike where a + b is equal
GRID_BITS = SLICE_BITS * NUM_SLICES
BLOCK_ROWS = 2**15  # 2 * SLICE_BITS + 15 < 53


class Grid(NamedTuple):
    """Where each column's whole numbers lie: value = centre + number * 2^(exponent - GRID_BITS)."""

    centre: NDArray[np.float64]  # (columns,)
    exponent: NDArray[np.int32]  # (columns,): no value is farther than 2^exponent from the centre


class Gram(NamedTuple):
    """One part's exact sums, or those of all parts, in whole numbers of the grid."""

    levels: NDArray[Any]  # (NUM_LEVELS, columns, columns) sums of products of slices
    sums: NDArray[Any]  # (NUM_SLICES, columns, 1 + gaps) sums over all rows, where present...
    pairs: NDArray[Any]  # (1 + gaps, 1 + gaps) rows, those where present, where both are


class Covariance(NamedTuple):
    """Of columns whose gaps count as the mean."""

    num_rows: int
    mean: NDArray[np.float64]  # (columns,) of the values that are there
    products: NDArray[np.float64]  # (columns, columns) sums of products of distances to the mean

    @property
    def std(self) -> NDArray[np.float64]:
        """(columns,) sample standard deviation, ddof = 1."""
        deviation: NDArray[np.float64] = np.sqrt(np.diag(self.products) / (self.num_rows - 1))
        return deviation

    @property
    def correlation(self) -> NDArray[np.float64]:
        """(columns, columns) Pearson's r; 0 for a constant column, its own included."""
        spread = np.sqrt(np.diag(self.products))
        scale = np.outer(spread, spread)
        r: NDArray[np.float64] = np.divide(
            self.products, scale, out=np.zeros_like(scale), where=scale > 0
        )
        np.fill_diagonal(r, np.where(spread > 0, 1.0, 0.0))
        return np.clip(r, -1.0, 1.0)


def grid_of(least: ArrayLike, greatest: ArrayLike) -> Grid:
    """The grid of columns with these extremes over all parts."""
    low, high = np.asarray(least, dtype=np.float64), np.asarray(greatest, dtype=np.float64)
    centre = low / 2 + high / 2
    _, exponent = np.frexp(np.maximum(high - centre, centre - low))
    return Grid(centre, exponent.astype(np.int32))


def slices_of(values: NDArray[np.float64], grid: Grid) -> list[NDArray[np.float64]]:
    """``NUM_SLICES`` of (rows, columns) whole numbers, of falling weight; gaps are 0."""
    distance = values - grid.centre
    distance[~np.isfinite(distance)] = 0.0
    rest = np.ldexp(distance, SLICE_BITS - grid.exponent)
    slices = []
    for _ in range(NUM_SLICES):
        whole = np.rint(rest)
        rest = (rest - whole) * 2.0**SLICE_BITS
        slices.append(whole)
    return slices


def gram_of(values: NDArray[np.float64], grid: Grid, gaps: Sequence[int] = ()) -> Gram:
    """One part's sums.

    Args:
        values: (rows, columns), NaN where missing; infinite counts as missing.
        grid: of the columns.
        gaps: places of the columns that have a gap in any part.
    """
    columns = values.shape[1]
    total = np.zeros((NUM_SLICES * columns + 1 + len(gaps),) * 2, dtype=np.int64)
    for start in range(0, len(values), BLOCK_ROWS):
        block = values[start : start + BLOCK_ROWS]
        present = np.isfinite(block[:, list(gaps)]).astype(np.float64)
        wide = np.concatenate([*slices_of(block, grid), np.ones((len(block), 1)), present], axis=1)
        total += (wide.T @ wide).astype(np.int64)
    edge = NUM_SLICES * columns
    levels = np.zeros((NUM_LEVELS, columns, columns), dtype=np.int64)
    square = total[:edge, :edge].reshape(NUM_SLICES, columns, NUM_SLICES, columns)
    for left in range(NUM_SLICES):
        for right in range(NUM_SLICES):
            levels[left + right] += square[left, :, right]
    sums = total[:edge, edge:].reshape(NUM_SLICES, columns, 1 + len(gaps))
    return Gram(levels, sums, total[edge:, edge:])


def merge_grams(parts: Sequence[Gram]) -> Gram:
    """The sums of all parts, as Python's unbounded whole numbers; the order does not matter."""
    levels, sums, pairs = (add_whole(arrays) for arrays in zip(*parts, strict=True))
    return Gram(levels, sums, pairs)


def add_whole(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Sum of arrays of whole numbers that may outgrow 64 bits."""
    total = arrays[0].astype(object)
    for array in arrays[1:]:
        total = total + array
    return total


def weigh(levels: NDArray[Any]) -> Any:
    """Sums of slices, the first axis the heaviest first, as whole numbers of the grid."""
    total = levels[0].astype(object)
    for level in levels[1:]:
        total = total * 2**SLICE_BITS + level
    return total


def covariance_of(gram: Gram, grid: Grid, gaps: Sequence[int] = ()) -> Covariance:
    """The covariance that the sums of all parts hold; every entry is rounded once."""
    columns = gram.levels.shape[1]
    place = np.zeros(columns, dtype=np.int64)
    place[list(gaps)] = np.arange(1, 1 + len(gaps))
    products, sums = weigh(gram.levels), weigh(gram.sums)
    pairs = gram.pairs.astype(object)
    count = np.maximum(pairs[place, place], 1)
    total = sums[np.arange(columns), place]
    where = sums[:, place]  # of column i over the rows where column j is present
    # sum of (x_i - m_i)(x_j - m_j) over the rows where both are present, times count_i * count_j
    apart = (
        np.outer(count, count) * products
        - np.outer(count, total) * where
        - np.outer(total, count) * where.T
        + np.outer(total, total) * pairs[np.ix_(place, place)]
    )
    shift = grid.exponent - GRID_BITS
    exact = (apart / np.outer(count, count)).astype(np.float64)
    mean = grid.centre + np.ldexp((total / count).astype(np.float64), shift)
    return Covariance(int(pairs[0, 0]), mean, np.ldexp(exact, np.add.outer(shift, shift)))
