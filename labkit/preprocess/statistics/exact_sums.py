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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 1074  # every double is a multiple of 2**-1074
CHUNK = 1 << 13  # numbers at a time: their limbs stay in the cache, and BLAS starts no threads
LIMB_BITS = 21  # CHUNK products of two limbs, each up to 2**40, add up to at most 2**53
MAX_LIMBS = 6
SAFE_EXPONENT = 300  # products of limbs of numbers beyond 2**300 could leave the doubles' range


class ExactSums(NamedTuple):
    """Sum of numbers in units of 2**-1074, and of their squares in units of 2**-2148."""

    total: int = 0
    squares: int = 0


def exact_sums(values: NDArray[np.float64]) -> ExactSums:
    """Sums of (rows,) finite numbers; of none, zeros."""
    size = min(len(values), CHUNK)
    limbs = np.empty((MAX_LIMBS, size))
    rest = np.empty(size)
    total = squares = 0
    for start in range(0, len(values), CHUNK):
        sums = _sums_of_chunk(values[start : start + CHUNK], limbs, rest)
        total += sums.total
        squares += sums.squares
    return ExactSums(total, squares)


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


def _sums_of_chunk(
    chunk: NDArray[np.float64], limbs: NDArray[np.float64], rest: NDArray[np.float64]
) -> ExactSums:
    greatest = max(float(chunk.max()), -float(chunk.min()))
    if greatest == 0:
        return ExactSums()
    exponent = math.frexp(greatest)[1]  # every |value| <= 2**exponent
    if exponent < -SAFE_EXPONENT:
        return _sums_one_by_one(chunk)
    if exponent > SAFE_EXPONENT:
        huge = np.abs(chunk) >= 2.0 ** (SAFE_EXPONENT - 1)
        sums = _sums_one_by_one(chunk[huge])
        return _add(sums, _sums_of_chunk(np.where(huge, 0.0, chunk), limbs, rest))
    grids, left = _split(chunk, exponent, limbs, rest[: len(chunk)])
    sums = _sums_of_limbs(limbs[: len(grids), : len(chunk)], grids)
    # the greatest value always fits, so each round has fewer values, of a lower exponent
    return sums if left is None else _add(sums, _sums_of_chunk(chunk[left], limbs, rest))


def _split(
    chunk: NDArray[np.float64],
    exponent: int,
    limbs: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> tuple[list[int], NDArray[np.bool_] | None]:
    """Fill ``limbs`` so that they add up to the chunk.

    Returns:
        Each limb is a multiple of 2**grid, at most 2**(LIMB_BITS - 1) of them; and which values did
        not fit, because they are far smaller than the greatest: their limbs are zero.
    """
    grids: list[int] = []
    grid = exponent - (LIMB_BITS - 1)
    remaining = chunk
    for row in limbs:
        limb = row[: len(chunk)]
        large = math.ldexp(1.5, grid + 52)  # its last bit is 2**grid: the sum is rounded to it
        np.add(remaining, large, out=limb)
        np.subtract(limb, large, out=limb)
        np.subtract(remaining, limb, out=rest)
        remaining = rest
        grids.append(grid)
        grid -= LIMB_BITS
        if len(grids) > 1 and not rest.any():
            return grids, None
    left = rest != 0
    if not left.any():
        return grids, None
    limbs[:, : len(chunk)][:, left] = 0
    return grids, left


def _sums_of_limbs(limbs: NDArray[np.float64], grids: list[int]) -> ExactSums:
    """No sum here is rounded: each is a whole number up to 2**53 times a power of two."""
    total = squares = 0
    for row, grid in enumerate(grids):
        whole = int(math.ldexp(float(limbs[row].sum()), -grid))
        total += whole << grid + UNIT_BITS
        for other in range(row + 1):
            both = grid + grids[other]
            whole = int(math.ldexp(float(limbs[row] @ limbs[other]), -both))
            squares += whole << both + (2 * UNIT_BITS if other == row else 2 * UNIT_BITS + 1)
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


def _add(left: ExactSums, right: ExactSums) -> ExactSums:
    return ExactSums(left.total + right.total, left.squares + right.squares)
