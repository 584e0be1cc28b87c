"""Sources that lie elsewhere: folders, S3, the web, memory; and what is shown of them."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from labkit.errors import SourceError
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources.find import find_parts
from labkit.preprocess.sources.places import hide_password, is_database, kind_of, list_files
from labkit.preprocess.sources.read import read_part

Maps = Callable[..., Any]
TABLE = pd.DataFrame(
    {"id": range(40), "w": 0.25, "what": ["orange", "watermelon"] * 20, "note": "n"}
)


def write(folder: Path) -> None:
    """The same rows as three files, two of them in a folder of their own."""
    (folder / "more" / "deep").mkdir(parents=True)
    TABLE[:10].to_parquet(folder / "a.parquet")
    TABLE[10:25].to_csv(folder / "more" / "b.csv", index=False)
    TABLE[25:].to_json(folder / "more" / "deep" / "c.jsonl", orient="records", lines=True)


def keys(sources: list[str], maps: Any, schema: Schema) -> list[int]:
    parts = find_parts(sources, maps, schema)
    return sorted(key for part in parts for key in read_part(part).frame["_key"])


def test_folders_are_searched(tmp_path: Path, things: Maps, schema: Schema) -> None:
    write(tmp_path)
    (tmp_path / "readme.md").write_text("not data")
    assert keys([str(tmp_path)], things(), schema) == list(range(40))
    assert keys([f"file://{tmp_path}/more"], things(), schema) == list(range(10, 40))


def test_s3_is_read_by_object_and_by_folder(bucket: Path, things: Maps, schema: Schema) -> None:
    write(bucket)
    assert keys(["s3://bucket"], things(), schema) == list(range(40))
    assert keys(["s3://bucket/more/"], things(), schema) == list(range(10, 40))
    assert keys(["s3://bucket/a.parquet"], things(), schema) == list(range(10))


def test_large_objects_of_s3_are_read_by_ranges(bucket: Path, things: Maps, schema: Schema) -> None:
    large = pd.DataFrame({"id": range(200_000), "w": 1.0, "what": "orange", "note": "n" * 40})
    large.to_csv(bucket / "large.csv", index=False)
    parts = find_parts(["s3://bucket/large.csv"], things(), schema)
    frame = pd.concat([part.read() for part in parts])
    assert frame["_key"].tolist() == list(range(200_000))


def test_s3_refuses(
    bucket: Path, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match=r"s3://bucket/gone.csv does not exist, or these cred"):
        find_parts(["s3://bucket/gone.csv"], things(), schema)
    write(bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    with pytest.raises(SourceError, match=r"s3://bucket/a.parquet") as caught:
        find_parts(["s3://bucket/a.parquet"], things(), schema)
    assert "very secret" not in str(caught.value)


def test_an_object_that_vanishes_midway_is_named(
    bucket: Path, things: Maps, schema: Schema
) -> None:
    write(bucket)
    (part,) = find_parts(["s3://bucket/a.parquet"], things(), schema)
    (bucket / "a.parquet").unlink()
    with pytest.raises(SourceError, match=r"s3://bucket/a.parquet cannot be read as parquet"):
        read_part(part)


@pytest.mark.parametrize("server", ["web", "web_with_ranges"])
def test_files_on_the_web(
    tmp_path: Path, things: Maps, schema: Schema, server: str, request: pytest.FixtureRequest
) -> None:
    write(tmp_path)
    at = request.getfixturevalue(server)
    sources = [f"{at}/a.parquet", f"{at}/more/b.csv", f"{at}/more/deep/c.jsonl"]
    assert keys(sources, things(), schema) == list(range(40))
    with pytest.raises(SourceError, match=r"gone.csv cannot be read as csv .*404"):
        find_parts([f"{at}/gone.csv"], things(), schema)


def test_the_password_of_a_web_address_is_sent_and_not_shown(
    tmp_path: Path, things: Maps, schema: Schema, web: str
) -> None:
    write(tmp_path)
    address = web.replace("://", "://me:secret@")
    assert keys([f"{address}/a.parquet"], things(), schema) == list(range(10))
    with pytest.raises(SourceError, match=r"me:\*\*\*@") as caught:
        find_parts([f"{address}/gone.csv?token=abc"], things(), schema)
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_any_file_system_of_fsspec(things: Maps, schema: Schema) -> None:
    system = fsspec.filesystem("memory")
    with system.open("/labkit/a.csv", "wb") as file:
        file.write(TABLE.to_csv(index=False).encode())
    assert keys(["memory://labkit"], things(), schema) == list(range(40))
    system.rm("/labkit", recursive=True)
    with pytest.raises(SourceError, match=r"addresses with nosuch:// cannot be read"):
        find_parts(["nosuch://a/b.csv"], things(), schema)


def test_compressed_text(tmp_path: Path, things: Maps, schema: Schema) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as text:
        TABLE[:20].to_csv(text, index=False)
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "w") as archive:
        archive.writestr("b.csv", TABLE[20:].to_csv(index=False))
    assert keys([str(tmp_path)], things(), schema) == list(range(40))
    (tmp_path / "a.csv.gz").write_bytes(b"not compressed at all")
    with pytest.raises(SourceError, match=r"a.csv.gz cannot be read as csv"):
        find_parts([str(tmp_path)], things(), schema)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere does not exist; give a file \(\.parquet"):
        list_files(str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match=r"holds no data files; give"):
        list_files(str(tmp_path))
    (tmp_path / "fruit.txt").touch()
    with pytest.raises(SourceError, match=r"has an unknown kind of name; give"):
        list_files(str(tmp_path / "fruit.txt"))


def test_a_database_file_far_away_is_refused(bucket: Path, things: Maps, schema: Schema) -> None:
    (bucket / "far.sqlite").touch()
    with pytest.raises(SourceError, match=r"far.sqlite is a database file far away; copy it here"):
        find_parts(["s3://bucket/far.sqlite"], things(kind="sql"), schema)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("postgresql+psycopg://me:se/c@ret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://host/db?sslpassword=abc&x=1", "postgresql://host/db?sslpassword=***&x=1"),
        ("https://host/a.csv?X-Amz-Signature=abc", "https://host/a.csv?X-Amz-Signature=***"),
        ("cannot open http://a:b@c/d.csv now", "cannot open http://a:***@c/d.csv now"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("/folder/a:b@c.csv", "/folder/a:b@c.csv"),
    ],
)
def test_passwords_are_hidden(source: str, shown: str) -> None:
    assert hide_password(source) == shown


def test_a_password_is_hidden_in_what_others_say() -> None:
    source = "postgresql://me:open%20sesame@host/db"
    said = hide_password("no entry with 'open sesame' or open%20sesame", source)
    assert said == "no entry with '***' or ***"


def test_kinds_by_name() -> None:
    names = ["a.parquet", "b.CSV", "c.tsv", "d.ndjson", "e.db", "f.csv.gz", "g.parquet.gz", "h"]
    assert [kind_of(n) for n in names] == ["parquet", "csv", "csv", "jsonl", "sql", "csv", "", ""]
    assert is_database("postgresql+psycopg://h/d")
    assert not is_database("s3://b/k")
