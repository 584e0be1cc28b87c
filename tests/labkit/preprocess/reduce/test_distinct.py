"""Counting different values from sketches of parts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from labkit.preprocess.reduce.distinct import (
    SKETCH_SIZE,
    Distinct,
    distinct_of,
    merge_distinct,
)
from labkit.preprocess.split import hash_ids


def sketch(values: NDArray[np.int64]) -> Distinct:
    return distinct_of(values / 2, hash_ids(values))


def test_few_distinct_values_are_counted_exactly_across_parts() -> None:
    parts = [sketch(np.arange(500) % 7), sketch(np.arange(900)), sketch(np.arange(0))]
    assert merge_distinct(parts).number == 900
    assert merge_distinct(parts).exact
    assert merge_distinct(parts[:1] * 3).number == 7


def test_many_distinct_values_are_estimated() -> None:
    values = np.tile(np.arange(200_000), 2)
    merged = merge_distinct([sketch(part) for part in np.array_split(values, 9)])
    assert len(merged.hashes) == SKETCH_SIZE
    assert not merged.exact
    assert merged.number == pytest.approx(200_000, rel=0.1)


@pytest.mark.parametrize("different", [3, 1000, 1500, 100_000])
def test_the_short_cut_finds_what_sorting_everything_finds(different: int) -> None:
    values = np.random.default_rng(different).integers(0, different, 100_000)
    expected, counts = np.unique(hash_ids(values), return_counts=True)
    np.testing.assert_array_equal(sketch(values).hashes, expected[:SKETCH_SIZE])
    np.testing.assert_array_equal(sketch(values).counts, counts[:SKETCH_SIZE])


def test_parts_agree_with_the_whole() -> None:
    values = np.random.default_rng(0).integers(0, 5000, 20_000)
    merged = merge_distinct([sketch(part) for part in np.array_split(values, 7)])
    np.testing.assert_array_equal(merged.hashes, sketch(values).hashes)
    np.testing.assert_array_equal(merged.counts, sketch(values).counts)


def test_the_share_of_whole_values_that_occur_once_is_found() -> None:
    once, twice = np.arange(0, 12_000, 2), np.arange(0, 8000, 2)  # halves of these are whole
    values = np.concatenate([once, twice, np.full(5000, 14), np.arange(1, 3001, 2)])
    assert sketch(values).numbered == pytest.approx(2000 / 7500, abs=0.05)
    parts = [sketch(part) for part in np.array_split(values, 5)]
    assert merge_distinct(parts).numbered == sketch(values).numbered
    assert sketch(np.array([2, 4, 4, 6, 7])).numbered == pytest.approx(2 / 4)
    assert sketch(np.arange(0)).numbered == 0
