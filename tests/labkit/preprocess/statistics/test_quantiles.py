"""Two passes over parts give the quantiles of the whole column, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from labkit.preprocess.quantiles import SAMPLE_SIZE, count_part, exact_quantiles, sample_part
from labkit.preprocess.tasks import InThisProcess

FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def columns(part: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """A part is its own only column."""
    return {"x": part}


def quantiles(parts: list[NDArray[np.float64]]) -> dict[float, float]:
    return exact_quantiles(InThisProcess(), parts, columns, FRACTIONS)["x"]


def make_column(kind: str, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    if kind == "normal":
        return random.normal(size=size)
    if kind == "ties":
        return random.integers(0, 4, size).astype(float)
    if kind == "sorted":
        return np.sort(random.normal(size=size))
    return np.where(random.random(size) < 0.5, -999.0, random.lognormal(3, 2, size))


@pytest.mark.parametrize("kind", ["normal", "ties", "sorted", "sentinels"])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 501, 5000])
@pytest.mark.parametrize("seed", range(5))
def test_quantiles_equal_numpy_bit_for_bit(kind: str, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    column = make_column(kind, size, random)
    column[1:][random.random(size - 1) < 0.1] = np.nan  # the first stays, so that there is one
    cuts = np.sort(random.integers(0, size + 1, random.integers(0, 9)))
    found = quantiles(np.split(column, cuts))
    assert found[0.5] == np.nanmedian(column)
    for fraction in FRACTIONS:
        if fraction != 0.5:
            assert found[fraction] == np.nanquantile(column, fraction)


def test_the_partitioning_does_not_matter() -> None:
    column = np.random.default_rng(0).normal(size=3000)
    whole = quantiles([column])
    assert all(quantiles(np.array_split(column, n)) == whole for n in (2, 7, 60))


def test_a_column_without_values_has_no_quantiles() -> None:
    found = quantiles([np.full(4, np.nan), np.array([])])
    assert all(math.isnan(value) for value in found.values())


def test_little_travels_however_many_ties_there_are() -> None:
    part = np.zeros(100_000)
    sample = sample_part(part, select=columns)["x"]
    assert len(sample.values) <= SAMPLE_SIZE
    from labkit.preprocess.quantiles import find_brackets

    brackets = find_brackets([{"x": sample}], FRACTIONS)
    insides = count_part(part, select=columns, brackets=brackets)["x"]
    assert all(len(inside.between) == 0 for inside in insides)
