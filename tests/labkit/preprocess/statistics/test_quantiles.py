"""Two passes over parts give the quantiles of the whole column, to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.parts import Part, RowsInMemory, parts_of
from labkit.preprocess.statistics.brackets import (
    MAX_SENT,
    MIN_SAMPLE,
    Bracket,
    find_brackets,
    sample_values,
)
from labkit.preprocess.statistics.quantiles import BLOCK, exact_quantiles, find_ranked, insides_of
from labkit.preprocess.tasks import InThisProcess

FRACTIONS = (0.0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.999, 1.0)
Array = NDArray[np.float64]


def select(frame: pd.DataFrame, columns: tuple[str, ...] = ("x",)) -> Mapping[Any, Array]:
    return {column: frame[column].to_numpy() for column in columns}


def parts_from(arrays: Sequence[Array]) -> list[Part]:
    return [
        Part(place, RowsInMemory(pd.DataFrame({"x": array}))) for place, array in enumerate(arrays)
    ]


def quantiles(
    arrays: Sequence[Array], fractions: Sequence[float] = FRACTIONS
) -> dict[float, float]:
    return exact_quantiles(InThisProcess(), parts_from(arrays), select, fractions)["x"]


class Counting(InThisProcess):
    """Counts the passes over the parts."""

    passes = 0

    def map(self, function: Callable[..., Any], /, *parts: Any, **settings: Any) -> list[Any]:
        self.passes += 1
        return super().map(function, *parts, **settings)


def make_column(kind: str, size: int, random: np.random.Generator) -> Array:
    if kind == "normal":
        return random.normal(size=size)
    if kind == "ties":
        return random.integers(0, 4, size).astype(float)
    if kind == "sorted":
        return np.sort(random.normal(size=size))
    if kind == "wide":
        return random.choice([-1.0, 1.0], size) * np.exp(random.normal(0, 90, size))
    return np.where(random.random(size) < 0.5, -999.0, random.lognormal(3, 2, size))


@pytest.mark.parametrize("kind", ["normal", "ties", "sorted", "sentinels", "wide"])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 501, 5000])
def test_quantiles_equal_numpy_bit_for_bit(kind: str, size: int) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        column = make_column(kind, size, random)
        column[1:][random.random(size - 1) < 0.1] = np.nan  # the first stays: there is one
        fractions = (*FRACTIONS, *random.random(12))
        cuts = np.sort(random.integers(0, size + 1, random.integers(0, 9)))
        found = quantiles(np.split(column, cuts), fractions)
        for fraction in fractions:
            assert found[fraction] == np.nanquantile(column, fraction)


@pytest.mark.parametrize("kind", ["normal", "ties", "sorted", "sentinels", "wide"])
def test_parts_of_which_only_a_sample_is_sorted(kind: str) -> None:
    column = make_column(kind, 30 * MIN_SAMPLE, np.random.default_rng(2))
    column[::7] = np.nan
    found = quantiles(np.array_split(column, 3), (*FRACTIONS, 0.77))
    expected = np.nanquantile(column, (*FRACTIONS, 0.77))
    assert list(found.values()) == expected.tolist()


def test_the_median_is_numpys_where_interpolation_is_not() -> None:
    random = np.random.default_rng(0)
    differ = 0
    for _ in range(200):
        column = random.choice([-1.0, 1.0], 2) * np.exp(random.normal(0, 5, 2))
        parts = parts_from([column])
        samples = {"x": [sample_values(column)]}
        ranked = find_ranked(InThisProcess(), parts, select, samples, (0.5,))["x"]
        assert ranked.median == np.nanmedian(column)
        assert ranked.quantile(0.5) == np.nanquantile(column, 0.5)
        differ += ranked.median != ranked.quantile(0.5)
    assert differ


def test_the_partitioning_does_not_matter() -> None:
    column = np.random.default_rng(0).normal(size=30_000)
    whole = quantiles([column])
    assert all(quantiles(np.array_split(column, n)) == whole for n in (2, 7, 60))


def test_settings_reach_the_selection_and_keys_may_be_several() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0], "y": [5.0, np.nan, 7.0]})
    found = exact_quantiles(InThisProcess(), parts_of(frame, 2), select, (0.5,), columns=("x", "y"))
    assert found == {"x": {0.5: 2.0}, "y": {0.5: 6.0}}


def test_a_column_without_values_has_no_quantiles() -> None:
    found = quantiles([np.full(4, np.nan), np.array([])])
    assert all(math.isnan(value) for value in found.values())
    assert exact_quantiles(InThisProcess(), [], select, (0.5,)) == {}


def test_infinite_values_give_what_numpy_gives() -> None:
    column = np.array([-math.inf, 1.0, 2.0, 3.0, math.inf, math.inf])
    with np.errstate(invalid="ignore"):
        expected = np.nanquantile(column, FRACTIONS)
    np.testing.assert_array_equal(list(quantiles([column[:3], column[3:]]).values()), expected)


def test_two_passes_are_enough() -> None:
    executor = Counting()
    column = np.random.default_rng(3).lognormal(size=40 * MIN_SAMPLE)
    exact_quantiles(executor, parts_from(np.array_split(column, 4)), select, FRACTIONS)
    assert executor.passes == 2


def test_a_bracket_that_missed_is_widened_and_the_result_is_the_same() -> None:
    column = np.random.default_rng(3).normal(size=10_000)
    samples = {"x": [sample_values(column[:5000] - 9)._replace(num_values=10_000)]}
    executor = Counting()
    found = find_ranked(executor, parts_from([column]), select, samples, (0.25, 0.5))["x"]
    assert executor.passes == 3
    assert found.quantile(0.25) == np.quantile(column, 0.25)
    assert found.median == np.median(column)


def test_rows_that_vanish_between_the_passes_are_told() -> None:
    column = np.arange(1000.0)
    samples = {"weight": [sample_values(column)]}
    gone = parts_from([column[:10]])
    with pytest.raises(SourceError, match="values of weight changed while they were read"):
        find_ranked(InThisProcess(), gone, select, samples, (0.5,))


def test_little_travels_however_many_ties_there_are() -> None:
    for part in (np.zeros(100_000), np.random.default_rng(0).integers(0, 3, 100_000) * 1.0):
        sample = sample_values(part)
        assert len(sample.values) <= MAX_SENT
        for bracket in find_brackets([sample], [0, 25_000, 50_000, 99_999]):
            assert len(insides_of([part], [bracket])[0].between) == 0


def test_little_travels_from_large_parts() -> None:
    column = np.random.default_rng(0).normal(size=200_000)
    parts = np.array_split(column, 4)
    brackets = find_brackets([sample_values(part) for part in parts], [50_000, 100_000, 150_000])
    travelling = sum(len(share.between) for share in insides_of(parts, brackets))
    assert len(brackets) == 3
    assert travelling < 0.15 * len(column)


def test_brackets_that_overlap_become_one() -> None:
    sample = sample_values(np.repeat([1.0, 2.0, 3.0], 10))
    assert find_brackets([sample], [3, 4, 15]) == [
        Bracket((3, 4), 1.0, 1.0),
        Bracket((15,), 2.0, 2.0),
    ]


def test_what_lies_below_and_in_each_bracket() -> None:
    random = np.random.default_rng(0)
    values = np.round(random.normal(0, 5, 3 * BLOCK + 5), 1)
    values[random.random(len(values)) < 0.1] = np.nan
    values[:2] = -math.inf, math.inf
    brackets = [Bracket((), *ends) for ends in ((-math.inf, -7), (-2.5, -2.5), (-2.5, 0.1), (3, 9))]
    found = insides_of(np.array_split(values, 4), brackets)
    assert len(found) == len(brackets)
    for (_, low, high), share in zip(brackets, found, strict=True):
        assert share.below == (values < low).sum()
        assert share.at_low == (values == low).sum()
        assert share.at_high == ((values == high).sum() if high > low else 0)
        assert sorted(share.between) == sorted(values[(values > low) & (values < high)])
