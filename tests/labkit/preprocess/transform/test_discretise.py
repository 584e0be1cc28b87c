"""Bins equal the reference's; entropy cuts where the classes change, and only if it pays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.preprocessing import KBinsDiscretizer

from labkit.errors import SettingError
from labkit.preprocess.schema import MISSING, Schema
from labkit.preprocess.statistics.moments import moments_of
from labkit.preprocess.transform.discretise import (
    count_classes,
    entropy_bins,
    equal_frequency,
    equal_width,
    fine_cuts,
    make_bins,
)
from labkit.preprocess.transform.settings import Discretise


@pytest.mark.parametrize(
    ("method", "strategy"), [("equal_width", "uniform"), ("equal_frequency", "quantile")]
)
@pytest.mark.parametrize("bins", [2, 5, 16])
def test_bins_are_those_of_the_reference(run, table, method: str, strategy: str, bins: int) -> None:
    result = run(discretise={"mass_g": {"method": method, "bins": bins}})
    values = table.frame[["mass_g"]].to_numpy()
    more = {"quantile_method": "linear"} if strategy == "quantile" else {}
    reference = KBinsDiscretizer(
        bins, encode="ordinal", strategy=strategy, subsample=None, dtype=np.float64, **more
    ).fit(values[table.train])
    np.testing.assert_array_equal(
        result.details["bins"]["mass_g"]["cuts"], reference.bin_edges_[0][1:-1]
    )
    after = np.concatenate([part.load()["mass_g"] for part in result.parts])
    np.testing.assert_array_equal(after, reference.transform(values)[:, 0])


def test_equal_frequency_puts_the_same_number_of_training_rows_in_each_bin(run, table) -> None:
    result = run(discretise={"size_cm": {"method": "equal_frequency", "bins": 4}})
    after = np.concatenate([part.load()["size_cm"] for part in result.parts])[table.train]
    counts = np.bincount(after[after >= 0].astype(int))
    assert len(counts) == 4
    assert np.ptp(counts) <= 1


def test_bins_may_have_names_and_a_column_each(run, table) -> None:
    result = run(discretise={"size_cm": {"names": ["low", "mid", "high"], "output": "one_hot"}})
    names = ["size_cm=low", "size_cm=mid", "size_cm=high"]
    assert list(result.fitted.names[:3]) == names
    sums = np.concatenate([part.load()[names].sum(axis=1) for part in result.parts])
    np.testing.assert_array_equal(sums, ~table.frame["size_cm"].isna())


def test_a_value_at_a_cut_belongs_above_and_a_gap_nowhere() -> None:
    bins = make_bins([1.0, 2.0], ["a", "b", "c"])
    codes = bins.codes(np.array([0.9, 1.0, 2.0, 1e9, -1e9, np.nan]))
    assert codes.tolist() == [0, 1, 2, 2, 0, MISSING]
    assert codes.dtype == np.int32


def test_ties_make_fewer_bins_which_keep_their_names() -> None:
    settings = Discretise(method="equal_frequency", names=("a", "b", "c", "d"))
    bins = equal_frequency({0.25: 1.0, 0.5: 1.0, 0.75: 3.0}, settings)
    assert bins.cuts == (1.0, 3.0)
    assert bins.names == ("a", "c", "d")


def test_a_column_that_does_not_vary_or_is_empty_makes_one_bin() -> None:
    for values in (np.full(3, 2.0), np.full(3, np.nan)):
        assert equal_width(moments_of(values), Discretise()).cuts == ()
    nothing = dict.fromkeys((0.2, 0.4, 0.6, 0.8), math.nan)
    bins = equal_frequency(nothing, Discretise(method="equal_frequency"))
    assert bins.names == ("any",)


def test_bins_are_named_by_their_ends_with_digits_enough() -> None:
    assert make_bins([0.5, 2.0]).names == ("below 0.5", "0.5 to 2", "from 2")
    assert make_bins([1.0001, 1.0002]).names[1] == "1.0001 to 1.0002"


def test_entropy_cuts_where_the_classes_change() -> None:
    values = np.arange(300.0)
    labels = np.digitize(values, [100, 220]).astype(np.int32)
    cuts = fine_cuts(np.unique(values), {})
    bins = entropy_bins(cuts, count_classes(values, labels, cuts, 3))
    assert bins.cuts == (99.5, 219.5)
    assert len(entropy_bins(cuts, count_classes(values, labels, cuts, 3), max_bins=2).cuts) == 1


def test_entropy_makes_no_cut_that_does_not_pay() -> None:
    random = np.random.default_rng(0)
    values, labels = random.random(500), random.integers(0, 2, 500).astype(np.int32)
    cuts = fine_cuts(np.unique(values), {})
    assert entropy_bins(cuts, count_classes(values, labels, cuts, 2)).cuts == ()


def test_entropy_agrees_with_the_formula_written_out_row_by_row() -> None:
    random = np.random.default_rng(3)
    values = random.integers(0, 40, 400).astype(float)
    labels = ((values > 12) ^ (random.random(400) < 0.1)).astype(np.int32)
    labels[values > 30] = 2
    cuts = fine_cuts(np.unique(values), {})
    found = entropy_bins(cuts, count_classes(values, labels, cuts, 3))
    assert list(found.cuts) == sorted(_cuts_row_by_row(values, labels))


def _cuts_row_by_row(values: np.ndarray, labels: np.ndarray) -> list[float]:
    """Fayyad & Irani 1993, sections 2 and 4, without any summary."""

    def entropy(of: np.ndarray) -> float:
        shares = np.unique(of, return_counts=True)[1] / len(of)
        return float(-(shares * np.log2(shares)).sum())

    best, n = (math.inf, 0.0), len(values)
    different = np.unique(values)
    for cut in (different[:-1] + different[1:]) / 2:
        left, right = labels[values < cut], labels[values >= cut]
        mixed = (len(left) * entropy(left) + len(right) * entropy(right)) / n
        best = min(best, (mixed, float(cut)))
    if math.isinf(best[0]):
        return []
    cut = best[1]
    left, right = labels[values < cut], labels[values >= cut]
    k, k1, k2 = (len(np.unique(of)) for of in (labels, left, right))
    delta = math.log2(3**k - 2) - (k * entropy(labels) - k1 * entropy(left) - k2 * entropy(right))
    if entropy(labels) - best[0] <= (math.log2(n - 1) + delta) / n:
        return []
    below = values < cut
    return [
        *_cuts_row_by_row(values[below], left), cut, *_cuts_row_by_row(values[~below], right)
    ]  # fmt: skip


def test_entropy_finds_the_size_that_divides_the_classes(run, table) -> None:
    result = run(discretise={"size_cm": {"method": "entropy"}})
    cuts = result.details["bins"]["size_cm"]["cuts"]
    assert min(abs(cut - 8) for cut in cuts) < 0.2


def test_entropy_without_a_label_is_refused(run, table) -> None:
    bare = type(table)(table.frame, Schema(columns=table.schema.columns))
    with pytest.raises(SettingError, match="size_cm: method entropy needs classes, but"):
        run(of=bare, discretise={"size_cm": {"method": "entropy"}})
