"""One row a thing, equal to what pandas makes of all rows on one machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.integrate.keys import content_keys
from labkit.preprocess.integrate.resolve import Resolved, resolve
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.parts import map_parts, parts_of
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema, add_counts
from labkit.preprocess.tasks import InThisProcess

SOURCES = ("orchard", "market", "questionnaire")
COLUMNS = (
    Column(name="fruit_id"),
    Column(name="weight_g"),
    Column(name="grower", kind="text"),
    Column(name="fruit", kind="category", names=("orange", "watermelon")),
    Column(name="city", kind="category", names=("Faro", "Fresno", "Daxing")),
)
SCHEMA = Schema(columns=COLUMNS, key=("fruit_id",), label="fruit")
KEYLESS = Schema(columns=COLUMNS[1:])
CATEGORIES = ["fruit", "city"]


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    empty = {"weight_g": np.nan, "grower": None, "fruit": -1, "city": -1}
    full = [{KEY: 0, SOURCE: 0, "fruit_id": each.get(KEY, 0), **empty, **each} for each in rows]
    frame = pd.DataFrame(full, columns=[KEY, SOURCE, *(column.name for column in COLUMNS)])
    frame["grower"] = pd.Series([row["grower"] for row in full], dtype=object)
    kinds = {KEY: "int64", SOURCE: "int8", "fruit_id": "float64", "weight_g": "float64"}
    return frame.astype(kinds | dict.fromkeys(CATEGORIES, "int32"))


def random_rows(num_rows: int = 3000, seed: int = 1) -> pd.DataFrame:
    """Rows of about a third as many things, in the order of the sources, full of gaps."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, num_rows // 3, num_rows)
    frame = pd.DataFrame(
        {
            KEY: keys,
            SOURCE: np.sort(rng.integers(0, 3, num_rows)).astype("int8"),
            "fruit_id": keys.astype(float),
            "weight_g": np.where(rng.random(num_rows) < 0.4, np.nan, rng.normal(size=num_rows)),
            "grower": pd.Series(rng.choice(["Ana", "Bo", "Cy"], num_rows), dtype=object),
            "fruit": rng.integers(-1, 2, num_rows).astype("int32"),
            "city": rng.integers(-1, 3, num_rows).astype("int32"),
        }
    )
    frame.loc[rng.random(num_rows) < 0.3, "grower"] = None
    return frame


def resolved(
    frame: pd.DataFrame, schema: Schema = SCHEMA, settings: IntegrationSettings | None = None
) -> Resolved:
    settings = settings or IntegrationSettings()
    return resolve(frame, schema=schema, settings=settings, sources=SOURCES)


def by_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """The same by pandas' own grouping: the first value that is there."""
    rows = frame.sort_values([KEY, SOURCE], kind="stable")
    rows[CATEGORIES] = rows[CATEGORIES].astype(float).replace(-1, np.nan)
    first = rows.groupby(KEY, as_index=False).first()
    first = first[first["fruit"].notna()].reset_index(drop=True)
    first[CATEGORIES] = first[CATEGORIES].fillna(-1).astype("int32")
    return first


def test_integration_equals_pandas_cell_by_cell() -> None:
    frame = random_rows()
    found, expected = resolved(frame).frame, by_pandas(frame)
    texts = {"grower": "str"}
    pd.testing.assert_frame_equal(found.astype(texts), expected[found.columns].astype(texts))


def test_what_is_given_is_not_changed() -> None:
    frame = random_rows(300)
    before = frame.copy()
    resolved(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_every_row_is_kept_merged_or_set_aside() -> None:
    frame = random_rows()
    found = resolved(frame)
    counts = found.counts
    assert counts["rows"] == len(frame)
    assert counts["things"] == len(found.frame)
    assert counts["set aside"] == len(found.set_aside) > 0
    assert counts["duplicates"] == frame.duplicated([KEY, SOURCE]).sum() > 0
    parts = ("things", "set aside", "duplicates", "merged")
    assert sum(counts[name] for name in parts) == len(frame)


def test_buckets_together_are_the_whole() -> None:
    frame = random_rows()
    whole = resolved(frame)
    for buckets in (2, 7):
        pieces = [resolved(frame[frame[KEY] % buckets == at]) for at in range(buckets)]
        together = pd.concat([each.frame for each in pieces])
        together = together.sort_values(KEY, ignore_index=True)
        texts = {"grower": "str"}
        pd.testing.assert_frame_equal(together.astype(texts), whole.frame.astype(texts))
        assert add_counts([each.counts for each in pieces]) == whole.counts
        provenance = add_counts([each.provenance for each in pieces])
        assert provenance == whole.provenance


def test_it_runs_as_a_part_function_on_read_only_frames() -> None:
    parts = parts_of(random_rows(900), 3)
    settings = {"schema": SCHEMA, "settings": IntegrationSettings(), "sources": SOURCES}
    pieces: list[Resolved] = map_parts(InThisProcess(), resolve, parts, **settings)
    assert sum(each.counts["rows"] for each in pieces) == 900


def test_the_first_source_that_has_a_value_is_believed() -> None:
    found = resolved(
        frame_of(
            [
                {KEY: 5, SOURCE: 2, "weight_g": 3.0, "grower": "Cy", "fruit": 1},
                {KEY: 5, SOURCE: 0, "weight_g": 1.0, "fruit": 0},
                {KEY: 5, SOURCE: 1, "weight_g": 2.0, "grower": "Bo", "city": 2},
            ]
        )
    )
    (row,) = found.frame.to_dict("records")
    assert (row["weight_g"], row["grower"], row["fruit"], row["city"]) == (1.0, "Bo", 0, 2)
    assert row[SOURCE] == 0
    assert found.counts["merged"] == 2
    assert found.counts["duplicates"] == 0


def test_what_came_from_where_is_counted() -> None:
    found = resolved(
        frame_of(
            [
                {KEY: 1, SOURCE: 0, "fruit": 0},
                {KEY: 1, SOURCE: 1, "fruit": 1, "weight_g": 5.0},
                {KEY: 2, SOURCE: 1, "fruit": 1, "weight_g": 6.0},
                {KEY: 3, SOURCE: 2, "weight_g": 7.0},  # without a class: set aside
            ]
        )
    )
    provenance = found.provenance
    assert [provenance[f"rows: {name}"] for name in SOURCES] == [1, 2, 1]
    assert [provenance[f"from: fruit: {name}"] for name in SOURCES] == [1, 1, 0]
    assert [provenance[f"from: weight_g: {name}"] for name in SOURCES] == [0, 2, 0]
    known_by = {name: n for name, n in provenance.items() if name.startswith("known by")}
    assert known_by == {"known by: orchard, market": 1, "known by: market": 1}


def test_contradictions_are_counted_and_rounding_is_not() -> None:
    rows = frame_of(
        [
            {KEY: 1, SOURCE: 0, "weight_g": 100.0, "fruit": 0, "grower": "Ana"},
            {KEY: 1, SOURCE: 1, "weight_g": 101.0, "fruit": 0, "grower": "Ana"},
            {KEY: 2, SOURCE: 0, "weight_g": 100.0, "fruit": 0, "grower": "Ana"},
            {KEY: 2, SOURCE: 1, "fruit": 0},
            {KEY: 2, SOURCE: 2, "weight_g": 150.0, "fruit": 1, "grower": "Bo"},
        ]
    )
    counts = resolved(rows, settings=IntegrationSettings(tolerance={"weight_g": 0.02})).counts
    assert counts["conflicts: weight_g"] == 1
    assert counts["conflicts: fruit"] == 1
    assert counts["conflicts: grower"] == 1
    assert counts["conflicts: city"] == 0
    assert resolved(rows).counts["conflicts: weight_g"] == 2


def test_repeats_within_a_source_can_be_kept() -> None:
    rows = frame_of(
        [
            {KEY: 1, SOURCE: 0, "fruit": 0, "weight_g": 1.0},
            {KEY: 1, SOURCE: 0, "fruit": 0, "weight_g": 2.0},
            {KEY: 1, SOURCE: 1, "fruit": 1, "city": 2},
            {KEY: 0, SOURCE: 1, "fruit": 1},
        ]
    )
    found = resolved(rows, settings=IntegrationSettings(duplicates="keep"))
    assert found.frame[KEY].tolist() == [0, 1, 1]
    assert found.frame["weight_g"].tolist()[1:] == [1.0, 2.0]
    assert found.frame["city"].tolist() == [-1, 2, -1]  # the first rows were merged
    assert (found.counts["duplicates"], found.counts["repeats kept"]) == (0, 1)
    assert found.counts["things"] + found.counts["merged"] == len(rows)


def test_without_a_key_equal_rows_are_the_same_thing() -> None:
    rows = frame_of([{"weight_g": 1.0, "grower": "Ana"}] * 3 + [{"weight_g": 1.0}] * 2)
    rows[SOURCE] = np.array([0, 0, 1, 0, 2], dtype="int8")
    rows[KEY] = content_keys(rows, KEYLESS)
    found = resolved(rows.drop(columns="fruit_id"), KEYLESS)
    assert len(found.frame) == 2
    assert (found.counts["duplicates"], found.counts["merged"]) == (1, 2)
    kept = resolved(rows.drop(columns="fruit_id"), KEYLESS, IntegrationSettings(duplicates="keep"))
    assert len(kept.frame) == 3


@pytest.mark.parametrize("schema", [KEYLESS, Schema(columns=COLUMNS[1:], key=("grower", "city"))])
def test_rows_whose_hash_is_equal_by_chance_stay_apart(schema: Schema) -> None:
    rows = frame_of(
        [
            {KEY: 9, SOURCE: 0, "grower": "Ana", "city": 0},
            {KEY: 9, SOURCE: 0, "grower": "Bo", "city": 0},
            {KEY: 9, SOURCE: 1, "grower": "Ana", "city": 0},
            {KEY: 9, SOURCE: 1, "grower": "Bo", "city": 1},
            {KEY: 8, SOURCE: 1, "grower": "Bo", "city": 1},
        ]
    ).drop(columns="fruit_id")
    found = resolved(rows, schema)
    things = list(zip(found.frame["grower"], found.frame["city"], strict=True))
    assert things == [("Bo", 1), ("Ana", 0), ("Bo", 0), ("Bo", 1)]
    assert found.frame[KEY].tolist() == [8, 9, 9, 9]
    assert (found.counts["duplicates"], found.counts["merged"]) == (0, 1)


def test_a_row_that_was_matched_agrees_with_the_key_of_its_partner() -> None:
    rows = frame_of(
        [{KEY: 4, SOURCE: 0, "fruit": 0}, {KEY: 4, SOURCE: 1, "fruit_id": np.nan, "city": 1}]
    )
    (row,) = resolved(rows).frame.to_dict("records")
    assert (row["fruit_id"], row["city"]) == (4.0, 1)


def test_a_thing_that_only_the_last_source_knows_is_kept() -> None:
    found = resolved(frame_of([{KEY: 3, SOURCE: 2, "fruit": 1}, {KEY: 1, SOURCE: 0, "fruit": 0}]))
    assert found.frame[KEY].tolist() == [1, 3]
    assert found.frame[SOURCE].tolist() == [0, 2]


def test_without_a_class_rows_are_set_aside_unless_they_may_stay() -> None:
    rows = frame_of([{KEY: 1, "fruit": 0}, {KEY: 2, "weight_g": 7.0}])
    assert resolved(rows).set_aside["row"].tolist() == [2]
    free = resolved(rows, settings=IntegrationSettings(require_label=False))
    assert free.frame[KEY].tolist() == [1, 2]
    assert free.set_aside.empty
    assert len(resolved(rows, Schema(columns=COLUMNS, key=("fruit_id",))).frame) == 2


def test_an_empty_bucket_stays_empty_and_keeps_its_columns() -> None:
    for schema in (SCHEMA, KEYLESS):
        rows = frame_of([])
        found = resolved(rows, schema)
        assert found.frame.empty
        assert found.set_aside.empty
        assert list(found.frame.columns) == [KEY, SOURCE, *(c.name for c in schema.columns)]
        assert found.frame["city"].dtype == np.int32
        assert set(found.counts.values()) == {0}


def test_columns_that_nobody_fills_stay_missing() -> None:
    found = resolved(frame_of([{KEY: 1, "fruit": 0}, {KEY: 1, SOURCE: 1, "fruit": 0}]))
    assert found.frame["weight_g"].isna().all()
    assert found.frame["grower"].isna().all()
    assert found.frame["city"].tolist() == [-1]
