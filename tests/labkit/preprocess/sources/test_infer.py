"""Sources that nobody described."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SettingError, SourceError
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.find import find_parts
from labkit.preprocess.sources.infer import infer_spec_values
from labkit.preprocess.sources.maps import read_source_maps
from labkit.preprocess.sources.read import read_part
from labkit.preprocess.spec import PipelineSpec

ROWS = 40
TABLE = pd.DataFrame(
    {
        "no": range(ROWS),
        "size": np.arange(ROWS) / 4,
        "kind": ["b", "a"] * (ROWS // 2),
        "day": pd.date_range("2024-01-01", periods=ROWS),
        "fresh": [True, False] * (ROWS // 2),
        "class": [3, 20] * (ROWS // 2),
        "note": [f"note {n}" for n in range(ROWS)],
        "nothing": [None] * ROWS,
    }
)
KINDS = {
    "no": "number", "size": "number", "kind": "category", "day": "number", "fresh": "category",
    "class": "number", "note": "text", "nothing": "number",
}  # fmt: skip


def read_back(values: dict[str, Any], sources: Sequence[str]) -> pd.DataFrame:
    spec = PipelineSpec.from_dict(values)
    parts = find_parts(sources, spec.sources, spec.schema)
    return pd.concat([read_part(part).frame for part in parts], ignore_index=True)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "sqlite"])
def test_columns_are_what_they_look_like(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"things.{kind}"
    if kind == "csv":
        TABLE.to_csv(path, index=False)
    elif kind == "jsonl":
        TABLE.astype({"day": str}).to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        TABLE.to_parquet(path)
    else:
        with closing(sqlite3.connect(path)) as database:
            texts = {"day": str, "fresh": str}
            TABLE.astype(texts).to_sql("things", database, index=False)
    values = infer_spec_values([str(path)], label="class", key="no")
    assert (values["name"], values["label"], values["key"]) == ("things", "class", ["no"])
    found = {name: column["kind"] for name, column in values["columns"].items()}
    assert found == {**KINDS, "class": "category"}
    assert values["columns"]["kind"]["names"] == ["a", "b"]
    assert values["columns"]["class"]["names"] == ["3", "20"]
    frame = read_back(values, [str(path)])
    assert frame["_key"].tolist() == list(range(ROWS))
    assert frame["size"].tolist() == TABLE["size"].tolist()
    assert frame["kind"].tolist() == [1, 0] * (ROWS // 2)
    assert frame["fresh"].tolist() == [1, 0] * (ROWS // 2)
    assert frame["class"].tolist() == [0, 1] * (ROWS // 2)
    assert frame["day"].tolist() == [19723.0 + n for n in range(ROWS)]
    assert frame["note"].tolist() == TABLE["note"].tolist()
    assert frame["nothing"].isna().all()


def test_habits_of_text_files_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{n};{n},25;1,00{n % 9};{'NA' if n % 2 else 'x'};?\n" for n in range(20))
    path.write_text(f"no;price;thousands;kind;blank\n{rows}", encoding="utf-16")
    values = infer_spec_values([str(path)])
    source = values["sources"]["a"]
    assert (source["separator"], source["encoding"]) == (";", "utf-16")
    assert source["fields"]["price"] == {"column": "price", "decimal": ","}
    assert source["fields"]["kind"] == {"column": "kind", "missing": ["NA"]}
    assert source["fields"]["blank"] == {"column": "blank", "missing": ["?"]}
    kinds = {name: column["kind"] for name, column in values["columns"].items()}
    assert kinds == {"no": "number", "price": "number", "thousands": "category",
                     "kind": "category", "blank": "number"}  # fmt: skip
    assert "key" not in values
    assert "label" not in values
    frame = read_back(values, [str(path)])
    assert frame["price"].tolist() == [n + 0.25 for n in range(20)]
    assert frame["kind"].tolist() == [0, -1] * 10


def test_sources_share_columns_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    pd.DataFrame({"id": [1, 2], "x": [1.0, 2.0], "k": ["b", "c"]}).to_parquet(
        tmp_path / "a.parquet"
    )
    for name in ("b", "c"):
        table = pd.DataFrame({"id": [3, 4], "x": ["many", "5"], "k": ["a", "a"]})
        table.to_csv(tmp_path / "more" / f"{name}.csv", index=False)
    values = infer_spec_values([str(tmp_path)], key=["id"], label="k")
    assert list(values["sources"]) == ["a", "more"]
    assert values["columns"]["k"]["names"] == ["a", "b", "c"]
    assert values["columns"]["x"]["kind"] != "number"
    frame = read_back(values, [str(tmp_path)])
    assert sorted(frame["_key"]) == [1, 2, 3, 3, 4, 4]
    assert (frame["x"] != -1).all()


def test_every_table_of_a_database_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE one (x INTEGER)")
        database.execute("CREATE TABLE two (y TEXT)")
        database.execute("INSERT INTO one VALUES (5)")
    values = infer_spec_values([str(path)])
    assert [values["sources"][name]["table"] for name in ("one", "two")] == ["one", "two"]
    assert read_back(values, [str(path)])["x"].tolist() == [5]


def test_names_that_we_keep_for_ourselves_are_changed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("_key,key,__\n1,2,3\n")
    values = infer_spec_values([str(tmp_path)])
    assert list(values["columns"]) == ["key", "key_2", "column"]
    frame = read_back(values, [str(tmp_path)])
    assert frame[["key", "key_2", "column"]].to_numpy().tolist() == [[1, 2, 3]]


def test_a_label_with_many_texts_and_a_key_of_few(tmp_path: Path) -> None:
    table = pd.DataFrame({"k": ["a", "b"] * 100, "many": [f"n{n}" for n in range(200)]})
    table.to_csv(tmp_path / "a.csv", index=False)
    values = infer_spec_values([str(tmp_path)], label="many", key="k")
    assert len(values["columns"]["many"]["names"]) == 200
    assert values["columns"]["k"] == {"kind": "text"}


def test_what_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"size": np.arange(2000) / 7, "none": None})
    table.to_csv(tmp_path / "a.csv", index=False)
    source = [str(tmp_path)]
    with pytest.raises(
        SettingError, match=r"no column 'sise' .* did you mean size\? The columns a"
    ):
        infer_spec_values(source, label="sise")
    with pytest.raises(SettingError, match="no column 'id' to be label or key; The columns are si"):
        infer_spec_values(source, key="id")
    for label in ("size", "none"):
        with pytest.raises(
            SettingError, match=f"label '{label}' holds too many or no values; choo"
        ):
            infer_spec_values(source, label=label)
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(SourceError, match=r"a\.csv has the columns a twice; give each column"):
        infer_spec_values(source)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(SourceError, match=r"a\.csv has no columns"):
        infer_spec_values(source)
    with closing(sqlite3.connect(tmp_path / "b.db")) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.execute("DROP TABLE t")
    with pytest.raises(SourceError, match="has no tables; give another database"):
        infer_spec_values([str(tmp_path / "b.db")])


def test_what_is_inferred_can_be_read_as_maps_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    values = infer_spec_values([str(tmp_path)])
    (found,) = read_source_maps(values["sources"], Schema(columns=(Column(name="x"),)))
    assert found.columns == ["x"]
