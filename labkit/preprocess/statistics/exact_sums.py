"""Sums of numbers and of their squares without any rounding, fast.

Rounded sums depend on where the rows are cut and in which order they are added. These do not: each
double is split into short whole numbers on common grids ("limbs"), whose sums and products fit a
double without rounding, and the sums of limbs are added as Python's whole numbers. Any partitioning
and any order give the same sum, and a figure made of it is rounded once, at its very end.

Source: Rump, Ogita & Oishi 2008, "Accurate floating-point summation", doi:10.1137/050645671 (the
splitting by adding and subtracting a large number).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 1074  # every double is a multiple of 2**-1074
CHUNK = 1 << 13  # numbers at a time: their limbs stay in the cache, and BLAS starts no threads
LIMB_BITS = 21  # CHUNK products of two limbs, each up to 2**40, add up to at most 2**53
MAX_CHUNKS = 1 << 9  # whose sums are added as whole numbers of 64 bits
MAX_LIMBS = 6
ENOUGH_LIMBS = 3  # hold each of the 53 bits of the greatest number
FEW = 1 / 16  # of a chunk: so many small numbers wait for others of their size
SAFE_EXPONENT = 300  # products of limbs of numbers beyond 2**300 could leave the doubles' range


class ExactSums(NamedTuple):
    """Sum of numbers in units of 2**-1074, and of their squares in units of 2**-2148."""

    total: int = 0
    squares: int = 0


def exact_sums(values: NDArray[np.float64]) -> ExactSums:
    """Sums of (rows,) finite numbers; of none, zeros."""
    step = MAX_CHUNKS * CHUNK
    found = [_sums_of(values[start : start + step]) for start in range(0, len(values), step)]
    return _add(found)


def mean_of(sums: ExactSums, num_values: int) -> float:
    """The mean, rounded once; ``num_values`` > 0."""
    return sums.total / (num_values << UNIT_BITS)


def variance_of(sums: ExactSums, num_values: int) -> float:
    """Of the sample (ddof = 1), rounded once; infinite beyond the doubles; ``num_values`` > 1."""
    apart = num_values * sums.squares - sums.total**2
    try:
        return apart / (num_values * (num_values - 1) << 2 * UNIT_BITS)
    except OverflowError:
        return math.inf


def _sums_of(values: NDArray[np.float64]) -> ExactSums:
    """Sums of up to MAX_CHUNKS * CHUNK numbers."""
    found = []
    while len(values):
        greatest = max(float(values.max()), -float(values.min()))
        if greatest == 0:
            break
        exponent = math.frexp(greatest)[1]  # every |value| <= 2**exponent
        if exponent < -SAFE_EXPONENT:
            sums, values = _sums_one_by_one(values), values[:0]
        elif exponent > SAFE_EXPONENT:
            huge = np.abs(values) >= 2.0 ** (SAFE_EXPONENT - 1)
            sums, values = _sums_one_by_one(values[huge]), values[~huge]
        else:
            # the greatest value always fits, so each round has fewer values
            sums, values = _sums_on_grids(values, exponent)
        found.append(sums)
    return _add(found)


def _sums_on_grids(
    values: NDArray[np.float64], exponent: int
) -> tuple[ExactSums, NDArray[np.float64]]:
    """Sums of those values that fit the grids below 2**exponent, and the values that do not."""
    size = min(len(values), CHUNK)
    table, rests = np.empty((1 + MAX_LIMBS, size)), np.empty(size)
    table[0] = 1.0  # times a limb: its sum
    products = np.zeros((-(-len(values) // CHUNK), MAX_LIMBS, 1 + MAX_LIMBS))
    waiting = [np.empty(0)]
    num_limbs = 1
    for place, start in enumerate(range(0, len(values), CHUNK)):
        chunk = values[start : start + CHUNK]
        ones_and_limbs, rest = table[:, : len(chunk)], rests[: len(chunk)]
        limbs = ones_and_limbs[1:]
        num_limbs, left = _split(chunk, exponent, limbs, rest, num_limbs)
        waiting.append(chunk[left])
        limbs[:num_limbs, left] = 0
        for row in range(num_limbs):  # all with all: BLAS takes four rows in the time of two
            np.matmul(
                ones_and_limbs[: num_limbs + 1],
                limbs[row],
                out=products[place, row, : num_limbs + 1],
            )
    return _add_up(products, exponent), np.concatenate(waiting)


def _split(
    chunk: NDArray[np.float64],
    exponent: int,
    limbs: NDArray[np.float64],
    rest: NDArray[np.float64],
    expected: int,
) -> tuple[int, NDArray[np.intp]]:
    """Fill ``limbs`` and ``rest`` so that together they add up to the chunk.

    Each limb is a multiple of its grid, at most 2**(LIMB_BITS - 1) times.

    Args:
        chunk: (rows,) numbers up to 2**exponent.
        exponent: of the highest grid.
        limbs: (MAX_LIMBS, rows) to be filled.
        rest: (rows,) to be filled.
        expected: limbs that the last chunk took; with fewer it is not looked whether they do.
    Returns:
        How many limbs are filled, as many as most numbers need, and the places of those numbers
        that have a rest: few that are far smaller than the greatest.
    """
    remaining = chunk
    for row, limb in enumerate(limbs):
        large = math.ldexp(1.5, _grid(exponent, row) + 52)  # its last bit is 2**grid:
        np.add(remaining, large, out=limb)  # the sum is rounded to it
        np.subtract(limb, large, out=limb)
        np.subtract(remaining, limb, out=rest)
        remaining = rest
        num_limbs = row + 1
        if num_limbs >= expected:
            left = (rest != 0).nonzero()[0]
            if not len(left) or (num_limbs >= ENOUGH_LIMBS and len(left) <= FEW * len(rest)):
                break
    return num_limbs, left


def _grid(exponent: int, row: int) -> int:
    """Exponent of the grid of a limb."""
    return exponent - (LIMB_BITS - 1) - LIMB_BITS * row


def _add_up(products: NDArray[np.float64], exponent: int) -> ExactSums:
    """No product was rounded: each is a whole number up to 2**53 times a power of two.

    Args:
        products: (chunks, limbs, 1 + limbs): of a limb with ones, and with each limb.
        exponent: of the highest grid.
    """
    grids = np.array([_grid(exponent, row) for row in range(MAX_LIMBS)])
    units = grids[:, None] + np.concatenate(([0], grids))
    whole = np.ldexp(products, -units).astype(np.int64).sum(axis=0).tolist()
    total = squares = 0
    for row, (of_limb, *with_others) in enumerate(whole):
        total += of_limb << int(grids[row]) + UNIT_BITS
        for other, product in enumerate(with_others):
            squares += product << int(grids[row] + grids[other]) + 2 * UNIT_BITS
    return ExactSums(total, squares)


def _sums_one_by_one(values: NDArray[np.float64]) -> ExactSums:
    """The slow way, for the few numbers that are very large or very small."""
    total = squares = 0
    for value in values.tolist():
        over, under = value.as_integer_ratio()
        whole = over << UNIT_BITS - (under.bit_length() - 1)
        total += whole
        squares += whole * whole
    return ExactSums(total, squares)


def _add(found: Sequence[ExactSums]) -> ExactSums:
    return ExactSums(sum(each.total for each in found), sum(each.squares for each in found))
