"""Covariance and distinct values of parts, merged."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from labkit.preprocess.covariance import (
    SKETCH_SIZE,
    covariance_of,
    distinct_of,
    merge,
    merge_distinct,
)


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_gives_the_covariance_of_the_whole(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(1500, 4)) @ random.normal(size=(4, 4)) + 100
    cuts = np.sort(random.integers(0, 1501, 6))
    whole = reduce(merge, [covariance_of(part) for part in np.split(values, cuts)])
    assert whole.num_rows == 1500
    np.testing.assert_allclose(whole.mean, values.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(whole.products / 1499, np.cov(values.T), rtol=1e-9)
    np.testing.assert_allclose(whole.std, values.std(axis=0, ddof=1), rtol=1e-9)


def test_few_distinct_values_are_counted_exactly_across_parts() -> None:
    parts = [
        distinct_of(np.arange(500.0) % 7),
        distinct_of(np.arange(900.0)),
        distinct_of(np.empty(0)),
    ]
    assert merge_distinct(parts).number == 900
    assert merge_distinct(parts[:1] * 3).number == 7


def test_many_distinct_values_are_estimated() -> None:
    values = np.arange(200_000.0)
    parts = [distinct_of(part) for part in np.array_split(np.concatenate([values, values]), 9)]
    merged = merge_distinct(parts)
    assert len(merged.hashes) == SKETCH_SIZE
    assert merged.number == pytest.approx(200_000, rel=0.1)


def test_whole_numbers_are_told_from_measurements() -> None:
    whole, measured = distinct_of(np.array([1.0, 2.0])), distinct_of(np.array([1.5]))
    assert merge_distinct([whole, whole]).whole
    assert not merge_distinct([whole, measured]).whole
