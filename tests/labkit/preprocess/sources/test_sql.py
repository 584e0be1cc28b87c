"""Databases: SQLite files, and PostgreSQL as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from labkit.errors import SettingError, SourceError
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources import sql
from labkit.preprocess.sources.find import find_parts
from labkit.preprocess.sources.maps import read_source_maps
from labkit.preprocess.sources.read import read_part
from labkit.preprocess.sources.sqlite_arrow import NotPlain, read_plain

ROWS = [(n, n / 1000, "orange" if n % 3 else "watermelon", f"note {n}") for n in range(1, 301)]
Maps = Callable[..., Any]


@pytest.fixture
def sqlite_file(tmp_path: Path) -> str:
    path = tmp_path / "things.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE things (id INTEGER, w REAL, what TEXT, note TEXT)")
        database.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", ROWS)
    return str(path)


@pytest.fixture(scope="session")
def postgres_things(postgres: str) -> str:
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA shop"))
        for table, id_type in (("things", "bigint PRIMARY KEY"), ("shop.loose", "bigint")):
            connection.execute(
                sa.text(f"CREATE TABLE {table} (id {id_type}, w numeric, what text, note text)")
            )
            connection.execute(
                sa.text(f"INSERT INTO {table} VALUES (:id, :w, :what, :note)"),
                [dict(zip(("id", "w", "what", "note"), row, strict=True)) for row in ROWS],
            )
        connection.execute(sa.text("CREATE TABLE leaving AS SELECT * FROM things"))
        connection.execute(sa.text("INSERT INTO shop.loose VALUES (NULL, 1, 'orange', 'no id')"))
    engine.dispose()
    return postgres


def whole(source: str, maps: Any, schema: Schema) -> pd.DataFrame:
    frames = [read_part(part).frame for part in find_parts([source], maps, schema)]
    return pd.concat(frames, ignore_index=True).sort_values("_key", ignore_index=True)


def expected(schema: Schema) -> pd.DataFrame:
    ids, weights, kinds, notes = zip(*ROWS, strict=True)
    return pd.DataFrame(
        {
            "_key": pd.Series(ids, dtype="int64"),
            "_source": pd.Series([0] * len(ids), dtype="int8"),
            "no": pd.Series(ids, dtype="float64"),
            "weight_g": [weight * 1000.0 for weight in weights],
            "kind": pd.Series([0 if kind == "orange" else 1 for kind in kinds], dtype="int32"),
            "note": pd.Series(notes, dtype=object),
        }
    )


def test_sqlite_by_path_and_by_address_give_the_same_rows(
    sqlite_file: str, things: Maps, schema: Schema
) -> None:
    maps = things(kind="sql", table="things")
    for source in (sqlite_file, f"sqlite:///{sqlite_file}"):
        pd.testing.assert_frame_equal(whole(source, maps, schema), expected(schema))


def test_postgres_gives_the_same_rows_as_sqlite(
    postgres_things: str, things: Maps, schema: Schema
) -> None:
    frame = whole(postgres_things, things(kind="sql", table="things"), schema)
    pd.testing.assert_frame_equal(frame, expected(schema))


@pytest.mark.parametrize("table", ["things", "shop.loose"])
def test_postgres_is_cut_into_ranges_that_hold_every_row_once(
    postgres_things: str, things: Maps, schema: Schema, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "rows_per_part", lambda rows: 50)
    parts = find_parts([postgres_things], things(kind="sql", table=table, by="id"), schema)
    reads = [read_part(part) for part in parts]
    assert len(parts) >= 6
    assert max(len(read.frame) for read in reads) <= 50
    frame = pd.concat([read.frame for read in reads], ignore_index=True)
    pd.testing.assert_frame_equal(frame, expected(schema))
    aside = pd.concat([read.set_aside for read in reads])
    assert aside["reason"].tolist() == ["no readable identifier"] * (table == "shop.loose")


def test_the_key_is_found_where_the_table_has_one(
    postgres_things: str, things: Maps, schema: Schema
) -> None:
    parts = find_parts([postgres_things], things(kind="sql", table="things"), schema)
    assert {part.by for part in parts} == {"id"}


def test_a_large_table_without_a_key_wants_a_column_to_be_cut_by(
    postgres_things: str, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = things(kind="sql", table="shop.loose")
    (part,) = find_parts([postgres_things], maps, schema)
    assert len(read_part(part).frame) == 300
    monkeypatch.setattr(sql, "MAX_PART_ROWS", 100)
    with pytest.raises(SettingError, match=r'301 rows and no whole-numbered key .* by = "..."'):
        find_parts([postgres_things], maps, schema)


def test_a_column_to_be_cut_by_must_hold_whole_numbers(
    postgres_things: str, things: Maps, schema: Schema
) -> None:
    maps = things(kind="sql", table="things", by="what")
    with pytest.raises((SettingError, SourceError), match=r"by = 'what'|cannot be read as sql"):
        find_parts([postgres_things], maps, schema)


def test_keys_with_gaps_are_cut_by_how_many_rows_there_are(
    tmp_path: Path, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gaps.db"
    far = [10**15 + n for n in range(100)]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE things (id INTEGER, w REAL, what TEXT, note TEXT)")
        rows = [(n, 1.0, "orange", "") for n in [*range(100), *far]]
        database.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", rows)
    monkeypatch.setattr(sql, "rows_per_part", lambda rows: 40)
    monkeypatch.setattr(sql, "MAX_PART_ROWS", 80)
    parts = find_parts([str(path)], things(kind="sql", table="things", by="id"), schema)
    sizes = [len(read_part(part).frame) for part in parts]
    assert sum(sizes) == 200
    assert max(sizes) <= 40


def test_code_tables_are_joined_by_a_query(
    postgres_things: str, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "rows_per_part", lambda rows: 100)
    query = (
        "SELECT a.id, a.w, b.what FROM things AS a LEFT JOIN shop.loose AS b ON b.id = a.id "
        "WHERE a.what = 'orange';"
    )
    fields = {"no": "id", "weight_g": {"column": "w", "unit": "kg"}, "kind": "what"}
    maps = read_source_maps({"joined": {"query": query, "by": "id", "fields": fields}}, schema)
    frame = whole(postgres_things, maps, schema)
    assert frame["_key"].tolist() == [row[0] for row in ROWS if row[2] == "orange"]
    assert set(frame["kind"]) == {0}
    assert frame["note"].isna().all()


def test_a_table_that_vanishes_midway_is_named(
    postgres_things: str, things: Maps, schema: Schema
) -> None:
    parts = find_parts([postgres_things], things(kind="sql", table="leaving"), schema)
    engine = sa.create_engine(postgres_things)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE leaving"))
    engine.dispose()
    with pytest.raises(SourceError, match=r"leaving") as caught:
        read_part(parts[0])
    assert "cannot be read as sql" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_passwords_are_shown_nowhere(postgres_things: str, things: Maps, schema: Schema) -> None:
    maps = things(kind="sql", table="things")
    (part, *_) = find_parts([postgres_things], maps, schema)
    assert "sesame" not in repr(part)
    assert "sesame" not in read_part(part).set_aside.to_string()
    wrong = postgres_things.replace("open%20sesame", "shut%20sesame")
    with pytest.raises(SourceError, match=r"password authentication failed") as caught:
        find_parts([wrong], maps, schema)
    assert "lab:***@127.0.0.1" in str(caught.value)
    assert "sesame" not in str(caught.value)
    with pytest.raises(SourceError, match=r"matches no map") as caught:
        find_parts([postgres_things], things(kind="sql", table="nowhere"), schema)
    assert "it has no table 'nowhere', only" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_server_that_is_not_there(things: Maps, schema: Schema) -> None:
    with pytest.raises(SourceError, match=r"postgresql\+psycopg://lab:\*\*\*@127.0.0.1:9/x cannot"):
        find_parts(["postgresql+psycopg://lab:secret@127.0.0.1:9/x"], things(kind="sql"), schema)


def test_a_database_whose_driver_is_missing(things: Maps, schema: Schema) -> None:
    with pytest.raises(SourceError, match=r"needs a driver that is not installed"):
        find_parts(["mysql+pymysql://host/x"], things(kind="sql"), schema)


def test_a_table_without_the_columns_is_named(
    sqlite_file: str, things: Maps, schema: Schema
) -> None:
    with closing(sqlite3.connect(sqlite_file)) as database, database:
        database.execute("ALTER TABLE things DROP COLUMN w")
    with pytest.raises(SourceError, match=r"lacks in table 'things' the columns 'w'; it has 'id'"):
        find_parts([sqlite_file], things(kind="sql", table="things"), schema)
    with pytest.raises(SourceError, match=r"lacks in table 'things' the columns 'w'"):
        find_parts([sqlite_file], things(kind="sql"), schema)


def test_any_table_that_has_the_columns_is_read_where_none_is_named(
    sqlite_file: str, things: Maps, schema: Schema
) -> None:
    with closing(sqlite3.connect(sqlite_file)) as database, database:
        database.execute("CREATE TABLE other (x INTEGER)")
    pd.testing.assert_frame_equal(whole(sqlite_file, things(kind="sql"), schema), expected(schema))


def test_a_file_that_is_no_database(tmp_path: Path, things: Maps, schema: Schema) -> None:
    path = tmp_path / "fruit.sqlite"
    path.write_bytes(b"no such thing " * 100)
    with pytest.raises(SourceError, match=r"fruit.sqlite cannot be read as sql"):
        find_parts([str(path)], things(kind="sql"), schema)
    with pytest.raises(SourceError, match=r"gone.db does not exist"):
        find_parts([f"sqlite:///{tmp_path}/gone.db"], things(kind="sql"), schema)


def test_cells_of_several_types_in_one_column(tmp_path: Path, things: Maps, schema: Schema) -> None:
    path = tmp_path / "mixed.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE things (id, w, what, note)")
        rows = [(1, "0.5", "orange", 7), (2, 1, "ORANGE", b"\x01"), ("three", 2.0, 5, None)]
        database.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", rows)
    (part,) = find_parts([str(path)], things(kind="sql"), schema)
    read = read_part(part)
    assert read.frame["weight_g"].tolist() == [500.0, 1000.0]
    assert read.frame["kind"].tolist() == [0, 0]
    assert read.set_aside["content"].str.contains("three").tolist() == [True]


def read_by_rows(source: str, maps: Any, schema: Schema) -> pd.DataFrame:
    """The whole source, with the fast way closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "read_plain", refuse)
        return whole(source, maps, schema)


def refuse(path: str, query: str) -> list[Any]:
    raise NotPlain


def test_the_fast_way_and_the_slow_one_give_the_same_rows(
    sqlite_file: str, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def counted(path: str, query: str) -> list[Any]:
        batches = read_plain(path, query)
        taken.append(sum(len(batch) for batch in batches))
        return batches

    monkeypatch.setattr(sql, "read_plain", counted)
    monkeypatch.setattr(sql, "rows_per_part", lambda rows: 90)
    maps = things(kind="sql", table="things")
    frame = whole(sqlite_file, maps, schema)
    assert taken == [90, 90, 90, 30], "all of it was read fast"
    pd.testing.assert_frame_equal(frame, expected(schema))
    pd.testing.assert_frame_equal(frame, read_by_rows(sqlite_file, maps, schema))


@pytest.mark.parametrize(
    "late",
    [
        (301, 0.30000000000000004, "orange", 0.30000000000000004),
        (301, "0.5", "orange", "a text among numbers"),
        (301.0, 2, "orange", 7),
        (301, 3, "orange", b"\x01"),
        (301, None, None, None),
        ("three hundred and one", 1.0, "orange", "no key"),
    ],
)
def test_one_odd_cell_among_many_is_read_as_it_is(
    sqlite_file: str, things: Maps, schema: Schema, late: tuple[Any, ...]
) -> None:
    """Columns of no type: a cell is what was put into it."""
    with closing(sqlite3.connect(sqlite_file)) as database, database:
        database.execute("CREATE TABLE loose (id, w, what, note)")
        database.execute("INSERT INTO loose SELECT * FROM things")
        database.execute("INSERT INTO loose VALUES (?, ?, ?, ?)", late)
    maps = things(kind="sql", table="loose")
    frame = whole(sqlite_file, maps, schema)
    pd.testing.assert_frame_equal(frame, read_by_rows(sqlite_file, maps, schema))
    assert len(frame) == 300 + isinstance(late[0], int | float)
    assert frame["note"][0] == "note 1"


def test_a_text_that_is_not_unicode_is_an_error_either_way(
    sqlite_file: str, things: Maps, schema: Schema
) -> None:
    with closing(sqlite3.connect(sqlite_file)) as database, database:
        database.execute("UPDATE things SET note = CAST(x'ff41' AS TEXT) WHERE id = 7")
    (part,) = find_parts([sqlite_file], things(kind="sql", table="things"), schema)
    with pytest.raises(SourceError, match=r"things.sqlite cannot be read as sql \(Could not deco"):
        read_part(part)


@pytest.mark.parametrize("indexed", [True, False])
def test_ranges_hold_every_row_once_whether_the_column_is_indexed_or_not(
    tmp_path: Path, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    """Half the rows have one number; one has none, some are broken."""
    path = tmp_path / "uneven.db"
    numbers: list[Any] = [*range(50), *[50] * 100, 60.5, 61, *range(70, 110), None]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE things (id INTEGER, w REAL, what TEXT, note TEXT, place)")
        rows = [(n, 1.0, "orange", "", place) for n, place in enumerate(numbers)]
        database.executemany("INSERT INTO things VALUES (?, ?, ?, ?, ?)", rows)
        if indexed:
            database.execute("CREATE INDEX by_place ON things (place)")
    monkeypatch.setattr(sql, "rows_per_part", lambda rows: 30)
    parts = find_parts([str(path)], things(kind="sql", table="things", by="place"), schema)
    keys = [read_part(part).frame["_key"].tolist() for part in parts]
    assert sorted(key for each in keys for key in each) == list(range(len(numbers)))
    assert sorted(map(len, keys), reverse=True)[1] <= 31
    assert len(parts) >= 6
