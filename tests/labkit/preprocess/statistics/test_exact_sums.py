"""Sums are those of exact fractions, whatever the numbers, the cuts and the order."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from labkit.preprocess.statistics.exact_sums import (
    CHUNK,
    MAX_CHUNKS,
    ExactSums,
    exact_sums,
    mean_of,
    variance_of,
)

TINY, GREAT = 5e-324, 1.7976931348623157e308


def numbers(kind: str, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Columns that rounding sums get wrong."""
    if kind == "any bits":  # every finite double is as likely
        values = random.integers(0, 2**64, size, dtype=np.uint64).view(np.float64)
        return np.where(np.isfinite(values), values, 1.0)
    mixed = {
        "cancelling": [1e16, -1e16, 1e-8, 1.0, 3.5e-8],
        "denormal": [TINY, -TINY, 3 * TINY, 1.0, 0.0],
        "denormal only": [TINY, 7 * TINY, -3 * TINY],
        "great": [GREAT, -GREAT, 1.0, 1e-300],
        "sentinels": [1e30, 0.1, 0.2, 0.3, -0.7],
        "whole": [1.0, 2.0, 3.0, 1e6],
        "zeros": [0.0, -0.0],
    }
    if kind in mixed:
        return random.choice(np.array(mixed[kind]), size)
    return random.lognormal(0, 4, size) * random.choice([-1, 1], size)


KINDS = (
    "any bits", "cancelling", "denormal", "denormal only", "great", "sentinels", "whole", "zeros",
    "wide",
)  # fmt: skip


def by_fractions(values: NDArray[np.float64]) -> ExactSums:
    exact = [Fraction(value) for value in values.tolist()]
    total = sum(exact) * 2**1074
    squares = sum(value * value for value in exact) * 2**2148
    assert Fraction(total).denominator == Fraction(squares).denominator == 1
    return ExactSums(int(total), int(squares))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 2, 700])
def test_sums_are_those_of_exact_fractions(kind: str, size: int) -> None:
    for seed in range(4):
        values = numbers(kind, size, np.random.default_rng(seed))
        assert exact_sums(values) == by_fractions(values)


@pytest.mark.parametrize("kind", ["cancelling", "sentinels", "wide", "whole"])
def test_any_order_and_any_cuts_give_the_same_sums(kind: str) -> None:
    random = np.random.default_rng(1)
    values = numbers(kind, 3 * CHUNK + 17, random)
    whole = exact_sums(values)
    for _ in range(3):
        cuts = np.sort(random.integers(0, len(values) + 1, 6))
        parts = [exact_sums(part) for part in np.split(random.permutation(values), cuts)]
        assert sum(part.total for part in parts) == whole.total
        assert sum(part.squares for part in parts) == whole.squares


def test_the_greatest_limbs_of_a_full_chunk_do_not_round() -> None:
    one = Fraction(np.nextafter(1.0, 0.0))
    for number in (CHUNK, 2 * MAX_CHUNKS * CHUNK + 1):  # as many chunks as overflow 64 bits, too
        found = exact_sums(np.full(number, float(one)))
        assert found == (int(number * one * 2**1074), int(number * one * one * 2**2148))


def test_numbers_that_are_far_smaller_than_the_others_count_to_the_last_bit() -> None:
    random = np.random.default_rng(3)
    for few in (0.001, 0.5):  # they wait for each other, or take more limbs
        scale = np.where(random.random(2 * CHUNK + 9) < few, 2.0**-70, 1.0)
        values = random.normal(size=len(scale)) * scale
        assert exact_sums(values) == by_fractions(values)


def test_values_that_are_not_side_by_side_in_memory() -> None:
    table = np.random.default_rng(0).normal(size=(500, 3))
    assert exact_sums(table[:, 1]) == exact_sums(table[:, 1].copy())


@pytest.mark.parametrize("kind", ["any bits", "cancelling", "wide"])
def test_the_mean_is_rounded_once(kind: str) -> None:
    values = numbers(kind, 501, np.random.default_rng(5))
    mean = sum(map(Fraction, values.tolist())) / len(values)
    assert mean_of(exact_sums(values), len(values)) == float(mean)


def test_a_sum_that_floats_lose() -> None:
    values = np.array([1e16, 1.0, -1e16, 1e-8])
    assert mean_of(exact_sums(values), 4) == math.fsum(values) / 4 == (1.0 + 1e-8) / 4


def test_the_variance_is_rounded_once_and_no_offset_spoils_it() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=900)
    exact = [Fraction(value) for value in values.tolist()]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / (len(exact) - 1)
    assert variance_of(exact_sums(values), len(values)) == float(variance)


def test_equal_values_vary_by_nothing_at_all() -> None:
    assert variance_of(exact_sums(np.full(1000, 0.1)), 1000) == 0.0


def test_a_variance_beyond_the_doubles_is_infinite() -> None:
    assert variance_of(exact_sums(np.array([GREAT, -GREAT])), 2) == math.inf
