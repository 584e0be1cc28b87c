"""Sources: the same fruit from every kind of file, and clear refusals."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SourceError
from labkit.preprocess import sources
from labkit.preprocess.schema import NUMERIC, Partition
from labkit.preprocess.sources import check_sources, find_parts, read_part

HEADER = (
    "Respondent,What fruit is it?,How big is it?,Weight (kg),Which colour?,"
    "Sweetness (Brix),Price (EUR),Which year?,Where from?\n"
)


def test_what_no_error_touched_is_read_as_it_is(
    read_partitions: list[Partition], truth: pd.DataFrame, errors: pd.DataFrame
) -> None:
    touched = set(errors["fruit_id"])
    for partition in read_partitions:
        frame = partition.frame[~partition.frame["fruit_id"].isin(touched)]
        true = truth.loc[frame["fruit_id"]]
        questionnaire = (frame["source"] == 2).any()
        rounding = 0.06 if questionnaire else 1e-9
        np.testing.assert_allclose(frame["diameter_cm"], true["diameter_cm"], atol=rounding)
        np.testing.assert_allclose(frame["weight_g"], true["weight_g"], rtol=1e-12)
        np.testing.assert_allclose(frame["price_eur"], true["price_eur"], atol=rounding)
        np.testing.assert_array_equal(frame["city"], true["city"])
        if not questionnaire:
            np.testing.assert_array_equal(frame["green"], true["green"])
            np.testing.assert_array_equal(frame["fruit"], true["fruit"])
            np.testing.assert_array_equal(frame["batch_no"], true["batch_no"])


def test_rows_without_identifier_are_set_aside_with_their_content(
    read_partitions: list[Partition],
) -> None:
    for partition in read_partitions:
        rows = sum(n for key, n in partition.counts.items() if key.startswith("rows: "))
        assert rows == len(partition.frame) + len(partition.set_aside)
    aside = pd.concat([partition.set_aside for partition in read_partitions])
    assert len(aside) > 0
    assert set(aside["reason"]) == {"no readable identifier"}
    assert set(aside["source"]) == {"questionnaire"}
    assert all("don't know" in json.loads(content) for content in aside["content"])


def test_the_database_is_cut_into_ranges_that_hold_every_row(
    fruit_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(fruit_folder / "sources" / "market.sqlite")
    whole = pd.concat([read_part(part).frame for part in find_parts([path])], ignore_index=True)
    monkeypatch.setattr(sources, "rows_per_part", lambda rows: 1000)
    parts = find_parts([path])
    assert len(parts) == -(-len(whole) // 1000)
    cut = pd.concat([read_part(part).frame for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(cut, whole)


def test_row_groups_of_a_parquet_file_are_parts(fruit_folder: Path, tmp_path: Path) -> None:
    first = sorted((fruit_folder / "sources" / "orchard").iterdir())[0]
    path = tmp_path / "grouped.parquet"
    pd.read_parquet(first).to_parquet(path, row_group_size=1000)
    parts = find_parts([str(path)])
    assert len(parts) == 3
    cut = pd.concat([read_part(part).frame for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(cut, read_part(find_parts([str(first)])[0]).frame)


def test_lines_with_too_many_or_too_few_cells_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    good = "7,orange,7 cm,0.2,orange,11,1,2024,Faro\n"
    path.write_text(HEADER + good + "8,orange\n\n" + good.strip() + ",more\n", encoding="utf-8")
    (part,) = find_parts([str(path)])
    partition = read_part(part)
    assert partition.frame["fruit_id"].tolist() == [7]
    assert partition.set_aside["reason"].tolist() == [
        "2 cells, the header has 9",
        "10 cells, the header has 9",
    ]
    assert partition.counts["rows: questionnaire"] == 3


def test_unreadable_cells_are_missing_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(HEADER + "7,a pear,huge,0.2,orange,sweet,1,2024,Faro\n", encoding="utf-8")
    partition = read_part(find_parts([str(path)])[0])
    assert partition.frame["fruit"].tolist() == [-1]
    assert partition.frame[["diameter_cm", "sweetness_brix"]].isna().all(axis=None)
    assert partition.frame["batch_no"].isna().all()
    unreadable = {k for k, n in partition.counts.items() if k.startswith("unreadable") and n}
    assert unreadable == {
        "unreadable: fruit",
        "unreadable: diameter_cm",
        "unreadable: sweetness_brix",
    }


def test_the_common_columns_have_their_types(read_partitions: list[Partition]) -> None:
    types = {str(dtype) for p in read_partitions for dtype in p.frame[list(NUMERIC)].dtypes}
    assert types == {"float64"}
    assert all(p.frame["fruit"].dtype == np.int8 for p in read_partitions)


def refused(path: object) -> str:
    with pytest.raises(SourceError) as caught:
        check_sources([str(path)])
    return str(caught.value)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere does not exist; give a .parquet" in refused(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "holds no data files; give" in refused(tmp_path)


def test_an_address() -> None:
    assert "download it" in refused("https://example.org/fruit.csv")


def test_an_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "fruit.txt").touch()
    assert "unknown kind of name" in refused(tmp_path / "fruit.txt")


@pytest.mark.parametrize("name", ["fruit.sqlite", "fruit.parquet"])
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no such thing " * 100)
    message = refused(tmp_path / name)
    assert name in message
    assert "cannot be read as" in message


def test_a_csv_file_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "fruit.csv").write_bytes("größe".encode("latin-1"))
    assert "cannot be read as csv" in refused(tmp_path / "fruit.csv")


def test_a_csv_file_without_the_columns(tmp_path: Path) -> None:
    (tmp_path / "fruit.csv").write_text("Respondent,colour\n1,red\n")
    message = refused(tmp_path / "fruit.csv")
    assert "lacks the columns 'What fruit is it?', 'How big is it?'" in message
    assert "it has 'Respondent', 'colour'" in message


def test_a_parquet_file_without_the_columns(tmp_path: Path) -> None:
    pd.DataFrame({"FruitID": [1]}).to_parquet(tmp_path / "fruit.parquet")
    assert "lacks the columns 'kind'" in refused(tmp_path / "fruit.parquet")


def test_a_database_without_the_tables_or_columns(fruit_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "market.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE fruit (fid INTEGER)")
    assert "lacks the tables 'class', 'city'" in refused(path)
    shutil.copy(fruit_folder / "sources" / "market.sqlite", path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE fruit DROP COLUMN size_in")
    assert "in table 'fruit' the columns 'size_in'" in refused(path)


def test_sources_without_rows(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(HEADER)
    assert "holds no rows" in refused(tmp_path)


def test_a_file_that_is_gone_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(HEADER + "7,orange,7 cm,0.2,orange,11,1,2024,Faro\n")
    (part,) = find_parts([str(path)])
    path.unlink()
    with pytest.raises(SourceError, match=r"answers\.csv cannot be read as csv"):
        read_part(part)
