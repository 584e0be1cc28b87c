"""One row a fruit, equal to what pandas makes of all rows on one machine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.preprocess.integrate import resolve, save_set_aside
from labkit.preprocess.schema import CATEGORIES, NUMERIC, Partition, add_counts
from labkit.preprocess.shuffle import by_identifier
from labkit.preprocess.tasks import InThisProcess


def fruit(fruit_id: int, source: int, **values: float) -> pd.DataFrame:
    row = {"fruit_id": fruit_id, "source": source, **dict.fromkeys(NUMERIC, np.nan)}
    row |= dict.fromkeys(CATEGORIES, -1) | values
    frame = pd.DataFrame([row])
    return frame.astype({"source": "int8"} | dict.fromkeys(CATEGORIES, "int8"))


def test_integration_equals_pandas_cell_by_cell(read_partitions: list[Partition]) -> None:
    pieces = by_identifier(InThisProcess(), read_partitions, 3)
    found = pd.concat([resolve(each).frame for each in pieces])
    found = found.sort_values("fruit_id", ignore_index=True)

    rows = pd.concat([partition.frame for partition in read_partitions])
    rows = rows.sort_values(["fruit_id", "source"], kind="stable")
    for column in CATEGORIES:
        rows[column] = rows[column].astype(float).replace(-1, np.nan)
    expected = rows.groupby("fruit_id", as_index=False).first()
    expected = expected[expected["fruit"].notna()].reset_index(drop=True)
    expected[list(CATEGORIES)] = expected[list(CATEGORIES)].fillna(-1).astype("int8")
    expected["source"] = expected["source"].astype("int8")
    pd.testing.assert_frame_equal(found, expected[found.columns])


def test_every_row_is_kept_merged_or_set_aside(read_partitions: list[Partition]) -> None:
    pieces = by_identifier(InThisProcess(), read_partitions, 3)
    resolved = [resolve(each) for each in pieces]
    counts = add_counts(each.counts for each in resolved)
    rows = sum(len(p.frame) for p in read_partitions)
    kept = sum(len(each.frame) + len(each.set_aside) for each in resolved)
    assert rows == kept + counts["duplicates"] + counts["merged"]
    repeats = pd.concat([p.frame for p in read_partitions]).duplicated(["fruit_id", "source"])
    assert counts["duplicates"] == repeats.sum() > 0


def test_the_first_source_that_has_a_value_is_believed() -> None:
    rows = [
        fruit(5, 2, weight_g=3.0, diameter_cm=9.0, fruit=1),
        fruit(5, 0, weight_g=1.0, fruit=0),
        fruit(5, 1, weight_g=2.0, diameter_cm=8.0, city=4),
    ]
    resolved = resolve(rows)
    (row,) = resolved.frame.to_dict("records")
    assert (row["weight_g"], row["diameter_cm"], row["fruit"], row["city"]) == (1.0, 8.0, 0, 4)
    assert np.isnan(row["price_eur"])
    assert resolved.counts["merged"] == 2
    assert resolved.counts["duplicates"] == 0


def test_contradictions_are_counted_and_rounding_is_not() -> None:
    rows = [
        fruit(1, 0, weight_g=100.0, fruit=0),
        fruit(1, 1, weight_g=101.0, fruit=0),
        fruit(2, 0, weight_g=100.0, fruit=0),
        fruit(2, 2, weight_g=150.0, fruit=1),
    ]
    counts = resolve(rows).counts
    assert counts["conflicts: weight_g"] == 1
    assert counts["conflicts: fruit"] == 1
    assert counts["conflicts: city"] == 0


def test_a_fruit_without_class_is_set_aside_and_saved(tmp_path: Path) -> None:
    (tmp_path / "set_aside").mkdir()
    resolved = resolve([fruit(1, 0, fruit=0), fruit(2, 0, weight_g=7.0)])
    assert resolved.frame["fruit_id"].tolist() == [1]
    reasons = save_set_aside(resolved, 4, folder=str(tmp_path), stage="integration")
    assert reasons == {"no source names the class": 1}
    saved = pd.read_parquet(tmp_path / "set_aside" / "integration-00004.parquet")
    assert json.loads(saved["content"][0])["weight_g"] == 7.0


def test_nothing_set_aside_writes_no_file(tmp_path: Path) -> None:
    resolved = resolve([fruit(1, 0, fruit=0)])
    assert save_set_aside(resolved, 0, folder=str(tmp_path), stage="integration") == {}
    assert list(tmp_path.iterdir()) == []


def test_an_empty_bucket_stays_empty(read_partitions: list[Partition]) -> None:
    resolved = resolve([p.frame.iloc[:0] for p in read_partitions])
    assert resolved.frame.empty
    assert set(resolved.frame.columns) == set(read_partitions[0].frame.columns)
