"""What is done to each value, in which order, and that test rows are treated as new data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.clean.fences import FRACTIONS, tukey
from labkit.preprocess.clean.kinds import FILLED, KEPT, LABEL, NOISE, RULE, SENTINEL, SLIP
from labkit.preprocess.clean.missing import Fill
from labkit.preprocess.clean.rules import CleaningRules, ColumnRule
from labkit.preprocess.clean.settings import Rule
from labkit.preprocess.schema import KEY
from labkit.preprocess.split import is_test

KEYS = np.arange(200, dtype=np.int64)
TRAIN, TEST = KEYS[~is_test(KEYS)], KEYS[is_test(KEYS)]
RANDOM = np.random.default_rng(5)
SMALL, LARGE = RANDOM.normal(10, 1, 4000), RANDOM.normal(100, 5, 4000)


def column_rule(**more: Any) -> ColumnRule:
    groups = (SMALL, LARGE, np.concatenate([SMALL, LARGE]))
    fences = tukey(
        [dict(zip(FRACTIONS, np.quantile(g, FRACTIONS).tolist(), strict=True)) for g in groups],
        log=False,
        factor=3.0,
    )
    return ColumnRule(fences=fences, scale=fences, **more)


def clean(
    rules: CleaningRules, *rows: tuple[float, int], keys: Any = TRAIN
) -> tuple[list[float], list[int], list[int]]:
    """Values, kinds and labels of rows of a value and a label each."""
    frame = pd.DataFrame(
        {
            KEY: keys[: len(rows)],
            "size": np.array([value for value, _ in rows]),
            "kind": np.array([label for _, label in rows], dtype=np.int32),
        }
    )
    given = frame.copy()
    after, kinds = rules.repair(frame)
    pd.testing.assert_frame_equal(frame, given)
    assert after.dtypes.equals(frame.dtypes)
    return after["size"].tolist(), kinds["size"].tolist(), after["kind"].tolist()


def rules_of(evidence: tuple[str, ...] = (), **more: Any) -> CleaningRules:
    fill = Fill(method="group_median", values=(1.0, 2.0, 3.0))
    return CleaningRules(
        label="kind",
        columns={"size": column_rule(**more)},
        evidence=evidence,
        fills={"size": fill},
    )


def test_training_rows_are_judged_and_filled_by_their_own_class() -> None:
    values, kinds, _ = clean(
        rules_of(), (10.0, 0), (100.0, 0), (10.0, 1), (100.0, 1), (math.nan, 1), (100.0, -1)
    )
    assert values == [10.0, 1.0, 2.0, 100.0, 2.0, 100.0]
    assert kinds == [KEPT, NOISE, NOISE, KEPT, FILLED, KEPT]


def test_test_rows_are_judged_by_every_class_and_filled_by_the_value_over_all() -> None:
    rows = ((10.0, 0), (100.0, 0), (10.0, 1), (50.0, 1), (math.nan, 1))
    values, kinds, labels = clean(rules_of(("size",)), *rows, keys=TEST)
    assert values == [10.0, 100.0, 10.0, 3.0, 3.0]
    assert kinds == [KEPT, KEPT, KEPT, NOISE, FILLED]
    assert labels == [0, 0, 1, 1, 1]
    flipped = tuple((value, 1 - label) for value, label in rows)
    again = clean(rules_of(("size",)), *flipped, keys=TEST)
    np.testing.assert_array_equal(again[0], values)  # whatever their labels say


def test_a_wrong_label_is_put_right_before_values_are_judged() -> None:
    values, kinds, labels = clean(rules_of(("size",)), (100.0, 0), (10.0, 1), (55.0, 0))
    assert values == [100.0, 10.0, 1.0]
    assert kinds == [KEPT, KEPT, NOISE]
    assert labels == [1, 0, 0]
    frame = pd.DataFrame({KEY: TRAIN[:1], "size": [100.0], "kind": np.array([0], dtype=np.int32)})
    assert rules_of(("size",)).repair(frame)[1]["kind"].tolist() == [LABEL]
    assert clean(rules_of(), (100.0, 0))[2] == [0], "without evidence labels are kept"


def test_sentinels_slips_and_bounds_each_have_their_kind() -> None:
    rules = rules_of(sentinels=(-9.0,), slips=(12.0,), least=0.0, greatest=1000.0)
    values, kinds, _ = clean(
        rules, (-9.0, 0), (120.0, 0), (100.0 / 12, 1), (-8.0, 0), (2000.0, 1), (40.0, 0)
    )
    assert values == [1.0, 10.0, pytest.approx(100.0), 1.0, 2.0, 1.0]
    assert kinds == [SENTINEL, SLIP, SLIP, RULE, RULE, NOISE]
    _, kinds, _ = clean(rules_of(), (math.inf, 0), (-math.inf, 1))
    assert kinds == [NOISE, NOISE]


def test_a_rule_between_columns_removes_what_it_blames() -> None:
    frame = pd.DataFrame(
        {
            KEY: TRAIN[:3],
            "size": [10.0, 10.0, 10.0],
            "kind": np.zeros(3, dtype=np.int32),
            "weight": [10.0, 5.0, np.nan],
        }
    )
    for blame, kinds in (((), (RULE, RULE)), (("weight",), (KEPT, RULE))):
        rule = Rule(expression="weight / size", least=0.9, greatest=1.5, blame=blame)
        rules = CleaningRules(
            label="kind",
            columns={"size": column_rule(), "weight": column_rule()},
            rules=(rule,),
            fills={},
        )
        frame["weight"] = [10.0, 8.0, np.nan]
        _, found = rules.repair(frame)
        assert (found["size"][1], found["weight"][1]) == kinds
        assert found["weight"].tolist()[::2] == [KEPT, KEPT]
