"""From a source's rows to the common columns: the fruit, keys, checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.checks import failed_checks
from labkit.preprocess.sources.find import find_parts
from labkit.preprocess.sources.maps import read_source_maps
from labkit.preprocess.sources.read import Read, read_part
from labkit.preprocess.spec import find_spec

Maps = Callable[..., Any]


@pytest.fixture(scope="module")
def fruit(fruit_folder: Path) -> list[Read]:
    spec = find_spec("fruit")
    parts = find_parts([str(fruit_folder / "sources")], spec.sources, spec.schema)
    return [read_part(part) for part in parts]


def read_csv(folder: Path, lines: str, fields: dict[str, Any], schema: Schema) -> Read:
    path = folder / "table.csv"
    path.write_text(lines)
    maps = read_source_maps({"table": {"fields": fields}}, schema)
    (part,) = find_parts([str(path)], maps, schema)
    return read_part(part)


def test_what_no_error_touched_is_read_as_it_is(
    fruit: list[Read], truth: pd.DataFrame, errors: pd.DataFrame
) -> None:
    touched = set(errors["fruit_id"])
    for read in fruit:
        frame = read.frame[~read.frame["_key"].isin(touched)]
        true = truth.loc[frame["_key"]]
        questionnaire = (frame["_source"] == 2).any()
        rounding = 0.06 if questionnaire else 1e-9
        np.testing.assert_allclose(frame["diameter_cm"], true["diameter_cm"], atol=rounding)
        np.testing.assert_allclose(frame["weight_g"], true["weight_g"], rtol=1e-12)
        np.testing.assert_allclose(frame["price_eur"], true["price_eur"], atol=rounding)
        np.testing.assert_array_equal(frame["city"], true["city"])
        np.testing.assert_array_equal(frame["fruit_id"], frame["_key"])
        if not questionnaire:
            np.testing.assert_array_equal(frame["green"], true["green"])
            np.testing.assert_array_equal(frame["fruit"], true["fruit"])
            np.testing.assert_array_equal(frame["batch_no"], true["batch_no"])


def test_the_common_columns_have_their_order_and_types(fruit: list[Read]) -> None:
    schema = find_spec("fruit").schema
    for read in fruit:
        assert list(read.frame.columns) == ["_key", "_source", *(c.name for c in schema.columns)]
        types = {name: str(kind) for name, kind in read.frame.dtypes.items()}
        assert (types.pop("_key"), types.pop("_source")) == ("int64", "int8")
        assert (types.pop("fruit"), types.pop("city")) == ("int32", "int32")
        assert set(types.values()) == {"float64"}


def test_every_row_is_read_or_set_aside_with_its_content(fruit: list[Read]) -> None:
    for read in fruit:
        rows = sum(n for key, n in read.counts.items() if key.startswith("rows: "))
        assert rows == len(read.frame) + len(read.set_aside)
    aside = pd.concat([read.set_aside for read in fruit])
    assert len(aside) > 0
    assert set(aside["reason"]) == {"no readable identifier"}
    assert set(aside["source"]) == {"questionnaire"}
    assert all("don't know" in json.loads(content) for content in aside["content"])


def test_unreadable_cells_are_missing_and_counted(tmp_path: Path) -> None:
    header = (
        "Respondent,What fruit is it?,How big is it?,Weight (kg),Which colour?,"
        "Sweetness (Brix),Price (EUR),Which year?,Where from?\n"
    )
    (tmp_path / "a.csv").write_text(f"{header}7,a pear,huge,0.2,orange,sweet,1,2024,Faro\n")
    spec = find_spec("fruit")
    (part,) = find_parts([str(tmp_path)], spec.sources, spec.schema)
    read = read_part(part)
    assert read.frame["fruit"].tolist() == [-1]
    assert read.frame[["diameter_cm", "sweetness_brix", "batch_no"]].isna().all(axis=None)
    assert read.frame[["red", "green", "blue"]].to_numpy().tolist() == [[228, 154, 50]]
    unreadable = {key for key, n in read.counts.items() if key.startswith("unreadable") and n}
    assert unreadable == {
        "unreadable: fruit",
        "unreadable: diameter_cm",
        "unreadable: sweetness_brix",
    }


ID = Schema(columns=(Column(name="no"), Column(name="v")), key=("no",))


def test_whole_numbers_beyond_floats_are_exact_keys(tmp_path: Path) -> None:
    big = 2**60 + 1
    fields = {"no": "id", "v": "v"}
    read = read_csv(tmp_path, f"id,v\n{big},1\n-3,2\n4.0,3\n5.5,4\n,5\n1e30,6\n", fields, ID)
    assert read.frame["_key"].tolist() == [big, -3, 4]
    assert read.set_aside["row"].tolist() == [3, 4, 5]
    pd.DataFrame({"id": [big, 7], "v": 1.0}).to_parquet(tmp_path / "a.parquet")
    maps = read_source_maps({"table": {"fields": fields}}, ID)
    (part,) = find_parts([str(tmp_path / "a.parquet")], maps, ID)
    assert read_part(part).frame["_key"].tolist() == [big, 7]


def test_keys_of_several_columns_or_texts_are_hashes_of_their_values(tmp_path: Path) -> None:
    schema = Schema(
        columns=(
            Column(name="name", kind="text"),
            Column(name="year"),
            Column(name="kind", kind="category", names=("a", "b")),
            Column(name="v"),
        ),
        key=("name", "year", "kind"),
    )
    fields = {"name": "n", "year": "y", "kind": "k", "v": "v"}
    lines = "n,y,k,v\nx,1,a,1\nx,1.0,A,2\nx,2,a,3\nx,1,b,4\n,1,a,5\nx,,a,6\nx,1,c,7\n"
    read = read_csv(tmp_path, lines, fields, schema)
    first, same, year, kind = read.frame["_key"]
    assert first == same
    assert len({first, year, kind}) == 3
    assert read.set_aside["row"].tolist() == [4, 5, 6]
    assert set(read.set_aside["reason"]) == {"no readable identifier"}


@pytest.mark.parametrize("key", [(), ("other",)])
def test_rows_without_a_key_are_known_by_what_they_hold(
    tmp_path: Path, key: tuple[str, ...]
) -> None:
    columns = (Column(name="n", kind="text"), Column(name="v"), Column(name="other"))
    schema = Schema(columns=columns, key=key)
    read = read_csv(tmp_path, "n,v\nx,1\nx,1.0\nx,\n,1\ny,1\n", {"n": "n", "v": "v"}, schema)
    keys = read.frame["_key"].tolist()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert len(read.set_aside) == 0


def test_keys_do_not_depend_on_how_a_source_is_written(tmp_path: Path) -> None:
    schema = Schema(columns=(Column(name="n", kind="text"), Column(name="v")))
    table = pd.DataFrame({"n": ["x", None, "größe"], "v": [1.5, -0.0, None]})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "b.parquet")
    table.to_json(tmp_path / "c.jsonl", orient="records", lines=True)
    maps = read_source_maps({"table": {"fields": {"n": "n", "v": "v"}}}, schema)
    keys = [read_part(p).frame["_key"].tolist() for p in find_parts([str(tmp_path)], maps, schema)]
    assert keys[0] == keys[1] == keys[2]


def test_impossible_values_set_their_row_aside_with_the_reason(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    lines = "id,w,what,note\n1,5,orange,\n2,5.1,orange,x\n3,-1,orange,\n4,,orange,\nx,9,orange,\n"
    (tmp_path / "a.csv").write_text(lines)
    (part,) = find_parts([str(tmp_path)], things(), schema)
    read = read_part(part)
    assert read.frame["_key"].tolist() == [1, 4]
    assert read.set_aside[["row", "reason", "content"]].to_numpy().tolist() == [
        [1, "weight_g 5100 is above 5000", '["2", "5.1", "orange", "x"]'],
        [2, "weight_g -1000 is below 0", '["3", "-1", "orange", ""]'],
        [4, "no readable identifier", '["x", "9", "orange", ""]'],
    ]
    assert read.counts["set aside: things"] == 3


def test_all_reasons_of_a_row_are_given() -> None:
    columns = (Column(name="a", least=0.0), Column(name="b", greatest=1.0), Column(name="c"))
    frame = pd.DataFrame({"a": [-1.0, 0.0, np.nan], "b": [2.0, 1.0, np.nan], "c": -9.0})
    reasons = failed_checks(frame, Schema(columns=columns)).tolist()
    assert reasons == ["a -1 is below 0; b 2 is above 1", None, None]
    assert failed_checks(frame[:0], Schema(columns=columns)).tolist() == []
