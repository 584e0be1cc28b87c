"""Cleaning, scored against the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SourceError
from labkit.preprocess.clean import (
    ALL,
    FENCED,
    FILLED,
    QUARTILES,
    CleaningRules,
    clean,
    fit,
    repair,
    training_values,
)
from labkit.preprocess.integrate import resolve
from labkit.preprocess.quantiles import exact_quantiles
from labkit.preprocess.schema import FRUITS, Partition
from labkit.preprocess.shuffle import by_identifier
from labkit.preprocess.split import is_test
from labkit.preprocess.tasks import InThisProcess


@pytest.fixture(scope="module")
def integrated(read_partitions: list[Partition]) -> list[Partition]:
    pieces = by_identifier(InThisProcess(), read_partitions, 3)
    return [resolve(each) for each in pieces]


@pytest.fixture(scope="module")
def rules(integrated: list[Partition]) -> CleaningRules:
    return fit(exact_quantiles(InThisProcess(), integrated, training_values, QUARTILES))


def together(partitions: list[Partition]) -> pd.DataFrame:
    return pd.concat([p.frame for p in partitions]).set_index("fruit_id").sort_index()


def test_fences_and_medians_are_those_of_the_training_rows(
    integrated: list[Partition], rules: CleaningRules
) -> None:
    rows = together(integrated)
    train = rows[~is_test(rows.index.to_numpy())]
    for code, name in enumerate(FRUITS):
        values = train.loc[train["fruit"] == code, "weight_g"].to_numpy()
        low, middle, high = np.nanquantile(values[~(values <= 0)], QUARTILES)
        assert rules.medians["weight_g"][name] == middle
        fence = np.exp(
            [np.log(low) - 3 * np.log(high / low), np.log(high) + 3 * np.log(high / low)]
        )
        np.testing.assert_allclose(rules.fences["weight_g"][name], fence, rtol=1e-12)
        values = train.loc[train["fruit"] == code, "sweetness_brix"].to_numpy()
        low, _, high = np.nanquantile(values, QUARTILES)
        expected = (low - 3 * (high - low), high + 3 * (high - low))
        assert rules.fences["sweetness_brix"][name] == pytest.approx(expected)


@pytest.mark.parametrize("column", FENCED)
def test_wrong_values_are_found_and_right_ones_left(
    integrated: list[Partition], rules: CleaningRules, truth: pd.DataFrame, column: str
) -> None:
    before = together(integrated)
    after = together([clean(partition, rules=rules) for partition in integrated])
    true = truth.loc[before.index, column]
    value = before[column]
    # answers are rounded: wrong is what is off by far more than that
    wrong = value.notna() & ((value - true).abs() > 0.1 * true.abs() + 0.05)
    removed = value.notna() & (after[column] != value)
    hits = int((wrong & removed).sum())
    if column == "price_eur":  # no source errs in it: only false alarms are possible
        assert wrong.sum() == 0
        assert removed.mean() < 0.001
        return
    precision, recall = hits / removed.sum(), hits / wrong.sum()
    print(f"{column}: precision {precision:.3f}, recall {recall:.3f} of {wrong.sum()} wrong values")
    assert wrong.sum() > 10
    assert precision > 0.9
    assert recall > 0.95


def test_wrong_training_labels_are_put_right_and_test_labels_never_touched(
    integrated: list[Partition], rules: CleaningRules, truth: pd.DataFrame
) -> None:
    before = together(integrated)["fruit"]
    after = together([clean(partition, rules=rules) for partition in integrated])["fruit"]
    true = truth.loc[before.index, "fruit"]
    test = is_test(before.index.to_numpy())
    assert (before[test] == after[test]).all()
    wrong, changed = (before != true)[~test], (before != after)[~test]
    precision, recall = (
        (wrong & changed).sum() / changed.sum(),
        (wrong & changed).sum() / wrong.sum(),
    )
    print(f"labels: precision {precision:.3f}, recall {recall:.3f} of {wrong.sum()} wrong labels")
    assert wrong.sum() > 20
    assert precision > 0.95
    assert recall > 0.75  # a label stays doubtful where size or weight is missing or ordinary


def test_nothing_is_missing_afterwards_and_counts_say_what_was_done(
    integrated: list[Partition], rules: CleaningRules
) -> None:
    for partition in integrated:
        cleaned = clean(partition, rules=rules)
        assert cleaned.frame[list(FILLED)].notna().all(axis=None)
        pd.testing.assert_series_equal(cleaned.frame["fruit_id"], partition.frame["fruit_id"])
        for column in FILLED:
            gaps = int(partition.frame[column].isna().sum())
            outliers = cleaned.counts[f"outliers: {column}"]
            assert cleaned.counts[f"filled: {column}"] == gaps + outliers
        assert partition.frame["weight_g"].isna().any(), "the input is not changed"


def test_known_classes_fill_with_their_median_and_unknown_ones_with_that_of_all() -> None:
    rules = CleaningRules(
        fences={"weight_g": {"orange": (100.0, 300.0), "watermelon": (2000.0, 9000.0)}},
        medians={column: {ALL: 1.0, "orange": 2.0, "watermelon": 3.0} for column in FILLED},
    )
    frame = pd.DataFrame({column: [150.0, np.nan, 2500.0, 2500.0, 500.0] for column in FILLED})
    label = np.array([0, 1, 0, -1, -1])
    repaired = repair(frame, label, rules)
    assert repaired["weight_g"].tolist() == [150.0, 3.0, 2.0, 2500.0, 1.0]
    assert repaired["red"].tolist() == [150.0, 3.0, 2500.0, 2500.0, 500.0]


def test_rules_survive_the_manifest(rules: CleaningRules) -> None:
    import json

    again = CleaningRules.from_dict(json.loads(json.dumps(rules.to_dict())))
    assert again.to_dict() == rules.to_dict()


def test_a_column_without_any_value_is_refused() -> None:
    nothing = dict.fromkeys(QUARTILES, float("nan"))
    quartiles = {(column, name): nothing for column in FILLED for name in (ALL, *FRUITS)}
    with pytest.raises(SourceError, match="column diameter_cm has no value in any training row"):
        fit(quartiles)


def test_a_class_that_never_occurs_has_no_fences_and_borrows_the_median_of_all() -> None:
    ones = {0.25: 1.0, 0.5: 2.0, 0.75: 3.0}
    nothing = dict.fromkeys(QUARTILES, float("nan"))
    quartiles = {
        (column, name): nothing if name == "watermelon" else ones
        for column in FILLED
        for name in (ALL, *FRUITS)
    }
    rules = fit(quartiles)
    assert list(rules.fences["weight_g"]) == ["orange"]
    assert rules.medians["weight_g"]["watermelon"] == 2.0
