"""The report of all buckets together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from labkit.preprocess.integrate.report import merge_resolved, named, nested


@dataclass
class ReadPart:
    counts: Mapping[str, int] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)


def bucket(**more: Mapping[str, int]) -> dict[str, Mapping[str, int]]:
    return {
        "counts": {"rows": 9, "duplicates": 2, "merged": 3, "conflicts: weight_g": 1},
        "provenance": {
            "rows: orchard": 5,
            "rows: market": 4,
            "from: weight_g: orchard": 2,
            "from: weight_g: market": 1,
            "known by: orchard, market": 3,
        },
        "set_aside": {"no class": 1},
        **more,
    }


def test_buckets_and_source_parts_are_added_up() -> None:
    ingested = [
        ReadPart({"rows: orchard": 6, "unreadable: weight_g": 9}, {"no key": 1}),
        ReadPart({"rows: orchard": 6}, {"no class": 1}),
    ]
    found = merge_resolved([bucket(), bucket()], ingested)
    assert found.details["set_aside_reasons"] == {"no key": 1, "no class": 3}
    assert dict(found.picture) == {
        "duplicates": 4,
        "merged": 6,
        "set_aside": 4,
        "rows_per_source": {"orchard": 12},
        "conflicts": {"weight_g": 2},
        "known_by": {"orchard, market": 6},
        "came_from": {"weight_g": {"orchard": 4, "market": 2}},
    }
    assert found.note == (
        "one row a thing: 4 duplicates removed, 6 rows of the same thing merged, 4 set aside; "
        "sources contradict each other in 2 values"
    )
    json.dumps([found.details, found.picture], allow_nan=False)


def test_rows_are_those_that_arrived_where_nothing_is_known_of_reading() -> None:
    assert merge_resolved([bucket()]).picture["rows_per_source"] == {"orchard": 5, "market": 4}


def test_matching_and_lookups_are_told() -> None:
    matching = {
        "matching: rows without key": 10,
        "matching: matched": 7,
        "matching: in too large blocks": 2,
    }
    found = merge_resolved([bucket(matching=matching, lookups={"planes: unmatched": 4})])
    assert found.details["matching"]["matched"] == 7
    assert found.details["lookups"] == {"planes": {"unmatched": 4}}
    assert "; 7 of 10 rows without a key found their thing, 2 are in blocks too" in found.note
    assert found.note.endswith("; planes has nothing for 4 rows")


def test_repeats_that_were_kept_are_told_and_buckets_without_counts_are_none() -> None:
    kept = {"counts": {"repeats kept": 3}, "provenance": {}, "set_aside": {}}
    assert merge_resolved([kept]).details["repeats_kept"] == 3
    nothing = merge_resolved([{"counts": {}, "provenance": {}, "set_aside": {}}])
    assert nothing.picture["duplicates"] == 0
    assert nothing.details["set_aside_reasons"] == {}


def test_names_are_taken_apart_once() -> None:
    assert named({"a: b: c": 1, "ab: c": 2, "a": 3}, "a") == {"b: c": 1}
    assert nested({"x: s": 1, "x: t": 2}) == {"x": {"s": 1, "t": 2}}
