"""Bits that a column tells about the label."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mutual_info_score

from labkit.preprocess.parts import parts_of
from labkit.preprocess.reduce.importance import (
    NUM_BINS,
    bin_edges,
    count_bins,
    count_codes,
    entropy,
    exact_edges,
    mutual_information,
)
from labkit.preprocess.schema import KEY
from labkit.preprocess.split import is_test
from labkit.preprocess.tasks import InThisProcess


def test_a_column_that_is_the_label_tells_all_of_it() -> None:
    labels = (np.arange(4000) % 4).astype(np.int32)
    values = labels * 10.0
    counts = count_bins(values, bin_edges(values), labels, 4)
    assert entropy(counts.sum(axis=0)) == pytest.approx(2)
    assert mutual_information(counts) == pytest.approx(2, abs=0.01)


def test_chance_tells_nothing_whatever_the_number_of_rows() -> None:
    random = np.random.default_rng(0)
    for rows in (500, 20_000):
        bits = []
        for _ in range(20):
            values = random.normal(size=rows)
            labels = random.integers(0, 3, rows).astype(np.int32)
            bits.append(mutual_information(count_bins(values, bin_edges(values), labels, 3)))
        chance = (NUM_BINS - 1) * 2 / (2 * rows * math.log(2))
        assert np.mean(bits) < 0.2 * chance


def test_it_is_scikit_learns_but_for_the_share_of_chance() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 5000).astype(np.int32)
    values = labels + random.normal(size=5000)
    edges = bin_edges(values)
    counts = count_bins(values, edges, labels, 3)
    expected = mutual_info_score(np.searchsorted(edges, values, side="right"), labels)
    bins = np.count_nonzero(counts.sum(axis=1))
    chance = (bins - 1) * 2 / (2 * 5000 * math.log(2))
    assert mutual_information(counts) == pytest.approx(expected / math.log(2) - chance, abs=1e-12)


def test_bins_hold_equally_many() -> None:
    values = np.random.default_rng(2).exponential(size=3200)
    counts = count_bins(values, bin_edges(values), np.zeros(3200, dtype=np.int32), 1)
    filled = counts[counts > 0]
    assert len(filled) == NUM_BINS
    assert filled.max() - filled.min() <= 2


def test_a_column_of_few_values_has_a_bin_for_each() -> None:
    values = np.repeat([0.0, 1.0, 5.0], 100)
    counts = count_bins(values, bin_edges(values), np.zeros(300, dtype=np.int32), 1)
    assert sorted(counts.ravel().tolist(), reverse=True)[:3] == [100, 100, 100]


def test_gaps_have_a_bin_of_their_own_and_unknown_labels_do_not_count() -> None:
    values = np.array([1.0, np.nan, np.inf, 2.0])
    labels = np.array([0, 1, 1, -1], dtype=np.int32)
    counts = count_bins(values, np.array([1.5]), labels, 2)
    assert counts.tolist() == [[1, 0], [0, 0], [0, 2]]


def test_a_category_is_counted_by_its_codes() -> None:
    codes = np.array([0, 2, -1, 2], dtype=np.int32)
    labels = np.array([0, 1, 1, -1], dtype=np.int32)
    assert count_codes(codes, 3, labels, 2).tolist() == [[1, 0], [0, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("num_parts", [1, 4])
def test_exact_edges_are_numpys_quantiles_of_the_training_rows(num_parts: int) -> None:
    random = np.random.default_rng(3)
    frame = pd.DataFrame({KEY: np.arange(5000), "x": random.exponential(size=5000), "y": np.nan})
    frame.loc[::9, "x"] = np.nan
    edges = exact_edges(InThisProcess(), parts_of(frame, num_parts), ["x", "y"])
    train = frame.loc[~is_test(frame[KEY].to_numpy()), "x"].to_numpy()
    expected = np.nanquantile(train, np.arange(1, NUM_BINS) / NUM_BINS)
    assert edges["x"].tobytes() == expected.tobytes()
    assert edges["y"].tolist() == []


def test_no_rows_tell_nothing() -> None:
    assert bin_edges(np.full(3, np.nan)).tolist() == []
    assert mutual_information(np.zeros((3, 2), dtype=np.int64)) == 0
    assert entropy(np.zeros(2, dtype=np.int64)) == 0
