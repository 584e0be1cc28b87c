"""Rows without a key find their thing among misspelled names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.integrate.match import assign_keys, block_key, match_rows
from labkit.preprocess.integrate.resolve import resolve
from labkit.preprocess.integrate.settings import Compare, IntegrationSettings, MatchSettings
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema, add_counts

CITIES = ("Faro", "Fresno", "Daxing", "Turpan")
COLUMNS = (
    Column(name="id"),
    Column(name="grower", kind="text"),
    Column(name="city", kind="category", names=CITIES),
    Column(name="harvest_day"),
    Column(name="weight_g"),
)
SCHEMA = Schema(columns=COLUMNS, key=("id",))
MATCH = MatchSettings(
    block=("city", "harvest_day"),
    compare={"grower": Compare(weight=2), "weight_g": Compare(tolerance=0.02)},
    threshold=0.85,
)
SETTINGS = IntegrationSettings(match=MATCH)
FIRST = ("Ana", "Bruno", "Carla", "Diego", "Elena", "Felix", "Greta", "Hugo", "Irene", "Nils")
LAST = ("Alvarez", "Bergmann", "Castillo", "Dumont", "Eriksson", "Fontana", "Ivanova", "Jensen")


def misspelled(name: str, rng: np.random.Generator) -> str:
    """The name with one or two letters left out, doubled, swapped or replaced."""
    letters = list(name)
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(1, len(letters) - 1))
        match int(rng.integers(4)):
            case 0:
                del letters[at]
            case 1:
                letters.insert(at, letters[at])
            case 2:
                letters[at - 1], letters[at] = letters[at], letters[at - 1]
            case _:
                letters[at] = str(rng.choice(list("aeiourst")))
    return "".join(letters)


def generated(seed: int, things: int = 1200) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Rows of two sources, the second without keys, and the thing that each truly describes.

    The first source knows four fifths of the things, the second three quarters.
    """
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(
        {
            "thing": np.arange(1, things + 1),
            "grower": [f"{rng.choice(FIRST)} {rng.choice(LAST)}" for _ in range(things)],
            "city": rng.integers(0, len(CITIES), things).astype("int32"),
            "harvest_day": rng.integers(0, 12, things).astype(float),
            "weight_g": np.exp(rng.normal(5.3, 0.6, things)),
        }
    )
    known = truth[rng.random(things) < 0.8]
    asked = truth[rng.random(things) < 0.75].copy()
    asked["grower"] = [misspelled(name, rng) for name in asked["grower"]]
    asked["weight_g"] *= 1 + rng.uniform(-0.01, 0.01, len(asked))
    rows = pd.concat([known, asked], ignore_index=True)
    from_first = np.arange(len(rows)) < len(known)
    rows["grower"] = rows["grower"].astype(object)
    rows["id"] = np.where(from_first, rows["thing"], np.nan)
    rows[KEY] = np.where(from_first, rows["thing"], 0)
    rows[SOURCE] = np.where(from_first, 0, 1).astype("int8")
    thing = rows.pop("thing").to_numpy()
    return rows[[KEY, SOURCE, *(column.name for column in COLUMNS)]], thing


def rows_of(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of one block unless they say otherwise; without ``id`` they have no key."""
    usual = {SOURCE: 0, "id": np.nan, "grower": None, "city": 0, "harvest_day": 1.0}
    frame = pd.DataFrame([{**usual, "weight_g": np.nan, **each} for each in rows])
    frame["grower"] = frame["grower"].astype(object)
    frame[KEY] = frame["id"].fillna(0).astype("int64")
    return frame.astype({SOURCE: "int8", "city": "int32"})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_misspelled_names_are_found(seed: int) -> None:
    frame, thing = generated(seed)
    keys = match_rows(frame, SCHEMA, SETTINGS).frame[KEY].sort_index().to_numpy()
    asked = frame["id"].isna().to_numpy()
    in_first = np.isin(thing, thing[~asked])
    said = asked & (keys > 0)
    right = said & (keys == thing)
    precision, recall = right.sum() / said.sum(), right.sum() / (asked & in_first).sum()
    assert precision >= 0.95, precision
    assert recall >= 0.95, recall


def test_nothing_depends_on_the_order_of_rows() -> None:
    frame, _ = generated(3)
    whole = match_rows(frame, SCHEMA, SETTINGS)
    for seed in (0, 1):
        shuffled = match_rows(frame.sample(frac=1, random_state=seed), SCHEMA, SETTINGS)
        pd.testing.assert_frame_equal(shuffled.frame.sort_index(), whole.frame.sort_index())
        assert shuffled.counts == whole.counts


def test_nothing_depends_on_how_blocks_are_put_into_buckets() -> None:
    frame, _ = generated(4)
    whole = match_rows(frame, SCHEMA, SETTINGS)
    bucket = block_key(frame, SCHEMA, SETTINGS) % 5
    pieces = [match_rows(frame[bucket == at], SCHEMA, SETTINGS) for at in range(5)]
    together = pd.concat([each.frame for each in pieces])
    pd.testing.assert_frame_equal(together.sort_index(), whole.frame.sort_index())
    assert add_counts([each.counts for each in pieces]) == whole.counts


def test_rows_come_by_block_however_the_sources_were_cut_into_parts() -> None:
    frame, _ = generated(7, things=400)
    block = block_key(frame, SCHEMA, SETTINGS)
    whole = assign_keys(frame, SCHEMA, SETTINGS)
    for num_parts in (2, 5):
        # as the shuffle does it: each part ordered by bucket, then the parts of a bucket together
        part = np.arange(len(frame)) * num_parts // len(frame)
        met = frame.iloc[np.lexsort((block, part))]
        pd.testing.assert_frame_equal(assign_keys(met, SCHEMA, SETTINGS), whole)


def test_what_is_given_is_not_changed_and_keys_are_only_added() -> None:
    frame, _ = generated(5, things=200)
    before = frame.copy()
    found = assign_keys(frame, SCHEMA, SETTINGS).sort_index()
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(found.drop(columns=KEY), frame.drop(columns=KEY))
    has_key = frame["id"].notna()
    assert (found[KEY] == frame[KEY])[has_key].all()
    assert (found[KEY] != 0)[~has_key].all()


def test_matched_rows_become_one_thing() -> None:
    frame = assign_keys(
        rows_of(
            {"id": 7, "grower": "Ana Castillo", "weight_g": 100},
            {SOURCE: 1, "grower": "Ana Castilo", "weight_g": 101},
        ),
        SCHEMA,
        SETTINGS,
    )
    found = resolve(frame, schema=SCHEMA, settings=SETTINGS, sources=("a", "b"))
    (row,) = found.frame.to_dict("records")
    assert (row["id"], row["grower"], row["weight_g"]) == (7, "Ana Castillo", 100)


def test_sources_without_any_key_find_each_other() -> None:
    schema = Schema(columns=COLUMNS[1:])
    rows = rows_of(
        {SOURCE: 0, "grower": "Ana Castillo", "weight_g": 100},
        {SOURCE: 1, "grower": "Ana Castilo", "weight_g": 101},
        {SOURCE: 2, "grower": "Anna Castillo", "weight_g": 100},
        {SOURCE: 2, "grower": "Nils Hoffmann", "weight_g": 50},
    )
    found = match_rows(rows.drop(columns="id"), schema, SETTINGS)
    keys = found.frame[KEY].tolist()
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert found.counts["matching: matched"] == 3
    one = resolve(found.frame, schema=schema, settings=SETTINGS, sources=("a", "b", "c"))
    assert sorted(one.frame["grower"]) == ["Ana Castillo", "Nils Hoffmann"]


def test_one_source_does_not_describe_a_thing_twice() -> None:
    keys = assign_keys(
        rows_of(
            {"id": 7, "grower": "Ana Castillo", "weight_g": 100},
            {SOURCE: 1, "grower": "Ana Castilo", "weight_g": 100},
            {SOURCE: 1, "grower": "Ana Castillo", "weight_g": 100},
        ),
        SCHEMA,
        SETTINGS,
    )[KEY].tolist()
    assert keys[2] == 7
    assert keys[1] < 0


def test_a_row_that_is_there_twice_is_a_duplicate_and_both_are_matched() -> None:
    twice = {SOURCE: 1, "grower": "Ana Castilo", "weight_g": 100}
    rows = rows_of({"id": 7, "grower": "Ana Castillo", "weight_g": 100}, twice, twice)
    found = match_rows(rows, SCHEMA, SETTINGS)
    assert found.frame[KEY].tolist() == [7, 7, 7]
    assert found.counts["matching: pairs"] == 1


def test_a_new_key_says_what_the_row_holds() -> None:
    row = {SOURCE: 1, "grower": "Nils Hoffmann", "weight_g": 50}
    alone = assign_keys(rows_of(row), SCHEMA, SETTINGS)[KEY].tolist()
    other = assign_keys(rows_of({"id": 1, "grower": "Bo"}, row), SCHEMA, SETTINGS)[KEY].tolist()
    assert alone == other[1:]
    assert alone[0] < 0


def test_rows_that_lack_a_column_of_the_block_are_counted_and_not_compared() -> None:
    rows = rows_of(
        {"id": 7, "grower": "Ana Castillo", "weight_g": 100, "city": -1},
        {SOURCE: 1, "grower": "Ana Castillo", "weight_g": 100, "city": -1},
    )
    found = match_rows(rows, SCHEMA, SETTINGS)
    assert found.counts == {"matching: rows without key": 1, "matching: in no block": 1}
    blocks = block_key(rows, SCHEMA, SETTINGS)
    assert blocks[0] != blocks[1]


def test_blocks_that_are_too_large_are_counted_and_not_compared() -> None:
    match = MatchSettings(block=MATCH.block, compare=MATCH.compare, greatest_block=2)
    rows = rows_of(
        {"id": 7, "grower": "Ana Castillo"},
        {"id": 8, "grower": "Bo"},
        {SOURCE: 1, "grower": "Ana Castillo"},
        {"id": 9, "grower": "Cy", "city": 1},
        {SOURCE: 1, "grower": "Cy", "city": 1},
    )
    found = match_rows(rows, SCHEMA, IntegrationSettings(match=match))
    keys = found.frame[KEY].sort_index().tolist()
    assert keys[3:] == [9, 9]
    assert keys[2] < 0
    assert found.counts["matching: in too large blocks"] == 1
    assert found.counts["matching: matched"] == 1


def test_pairs_are_counted_by_score() -> None:
    frame, _ = generated(6, things=300)
    counts = match_rows(frame, SCHEMA, SETTINGS).counts
    alike, joined = (
        {name: n for name, n in counts.items() if name.startswith(f"matching: {kind} ")}
        for kind in ("alike", "joined")
    )
    assert next(iter(joined)) == "matching: joined 0.85 to 0.88"
    assert sum(joined.values()) == counts["matching: matched"]
    assert sum(joined.values()) <= sum(alike.values()) < counts["matching: pairs"]


def test_nobody_lacks_a_key_and_nobody_is_there() -> None:
    frame = rows_of({"id": 7, "grower": "Ana"}, {"id": 8, "grower": "Bo"})
    for rows in (frame, frame.iloc[:0]):
        found = match_rows(rows, SCHEMA, SETTINGS)
        pd.testing.assert_frame_equal(found.frame, rows)
        assert found.counts["matching: rows without key"] == 0
