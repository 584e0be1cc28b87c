"""Counts between edges, over parts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labkit.preprocess.parts import map_parts, parts_of
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.statistics.histogram import count_missing, count_values, merge
from labkit.preprocess.tasks import InThisProcess

NUMBERS = (Column(name="mass"), Column(name="length"))
KINDS = Column(name="kind", kind="category", names=("round", "long"))
LABELLED = Schema(columns=(*NUMBERS, KINDS), label="kind")
EDGES = [-1.0, 0.0, 0.5, 1.0]


def frame(rows: int = 900) -> pd.DataFrame:
    random = np.random.default_rng(0)
    found = pd.DataFrame(
        {
            "mass": random.normal(0, 1, rows),
            "length": random.normal(0, 1, rows),
            "kind": random.integers(-1, 2, rows).astype(np.int32),
        }
    )
    found.loc[:50, "mass"] = np.nan
    return found


def test_counts_by_class_with_what_lies_outside() -> None:
    rows = frame()
    counted = map_parts(
        InThisProcess(), count_values, parts_of(rows, 3),
        schema=LABELLED, columns=["mass", "length"], edges=EDGES,
    )  # fmt: skip
    for column in ("mass", "length"):
        found = merge(counted, column)
        for code, name in enumerate(KINDS.names):
            values = rows.loc[rows["kind"] == code, column].dropna()
            assert found["counts"][name] == np.histogram(values[values < 1.0], EDGES)[0].tolist()
        known = rows[rows["kind"] >= 0]
        assert found["below"] == (known[column] < -1).sum()
        assert found["above"] == (known[column] >= 1).sum()


def test_without_a_label_all_rows_are_counted_together() -> None:
    rows = frame()
    counted = count_values(rows, schema=Schema(columns=NUMBERS), columns=["mass"], edges=EDGES)
    found = merge([counted, counted], "mass")
    assert list(found["counts"]) == ["all"]
    total = sum(found["counts"]["all"]) + found["below"] + found["above"]
    assert total == 2 * rows["mass"].notna().sum()


def test_no_rows_and_no_parts() -> None:
    counted = count_values(frame().iloc[:0], schema=LABELLED, columns=["mass"], edges=EDGES)
    nothing = {"round": [0, 0, 0], "long": [0, 0, 0]}
    assert merge([counted], "mass") == {"counts": nothing, "below": 0, "above": 0}
    assert merge([], "mass") == {"counts": {}, "below": 0, "above": 0}


def test_gaps_are_counted_by_column_of_every_kind() -> None:
    rows = pd.DataFrame({"mass": [1.0, np.nan], "kind": [-1, -1], "note": ["a", None]})
    schema = Schema(columns=(NUMBERS[0], KINDS, Column(name="note", kind="text")))
    assert count_missing(rows, schema=schema) == {"mass": 1, "kind": 2, "note": 1}
