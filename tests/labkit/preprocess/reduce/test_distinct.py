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


def sketch(values: NDArray[np.int64], *, whole: bool = True) -> Distinct:
    return distinct_of(hash_ids(values), whole=whole)


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


def test_the_share_of_values_that_occur_once_is_found() -> None:
    values = np.concatenate([np.arange(6000), np.arange(4000), np.full(5000, 7)])
    assert sketch(values).once == pytest.approx(1 / 3, abs=0.05)
    assert sketch(np.array([1, 2, 2, 3])).once == pytest.approx(2 / 3)
    assert sketch(np.arange(0)).once == 0


def test_whole_numbers_are_told_from_measurements() -> None:
    whole, measured = sketch(np.arange(2)), sketch(np.arange(2), whole=False)
    assert merge_distinct([whole, whole]).whole
    assert not merge_distinct([whole, measured]).whole
