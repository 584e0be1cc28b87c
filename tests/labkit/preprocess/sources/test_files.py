"""CSV, JSON lines and Parquet files: cut, streamed, broken and refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SourceError
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources import parquet, text
from labkit.preprocess.sources.find import check_sources, find_parts
from labkit.preprocess.sources.maps import SourceMap, read_source_maps
from labkit.preprocess.sources.read import Read, read_part
from labkit.preprocess.tasks import InThisProcess

Maps = Callable[..., tuple[SourceMap, ...]]
HEADER = "id,w,what,note\n"


def table(rows: int) -> pd.DataFrame:
    """Rows whose notes hold commas, quotes and line ends."""
    notes = ['a "quoted" word', "two\nlines", "a, b", "", "größe"]
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "w": np.arange(rows) % 7 / 4,
            "what": np.where(np.arange(rows) % 3 == 0, "orange", "watermelon"),
            "note": [notes[row % 5] for row in range(rows)],
        }
    )


def read_all(source: object, maps: Any, schema: Schema) -> Read:
    reads = [read_part(part) for part in find_parts([str(source)], maps, schema)]
    return Read(
        frame=pd.concat([read.frame for read in reads], ignore_index=True),
        set_aside=pd.concat([read.set_aside for read in reads], ignore_index=True),
        counts={"parts": len(reads)},
    )


def refused(source: object, maps: Any, schema: Schema) -> str:
    with pytest.raises(SourceError) as caught:
        check_sources([str(source)], maps, schema)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_texts_are_cut_into_parts_that_hold_every_row_once(
    tmp_path: Path, things: Maps, schema: Schema, encoding: str, kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        table(2000).to_csv(path, index=False, encoding=encoding)
    else:
        lines = table(2000).to_json(orient="records", lines=True, force_ascii=False)
        path.write_text(lines, encoding=encoding)
    maps = things(encoding=encoding)
    whole = read_all(path, maps, schema)
    assert whole.counts["parts"] == 1
    for name, size in (("CHUNK_BYTES", 512), ("SMALL_BYTES", 0), ("PART_BYTES", 5000)):
        monkeypatch.setattr(text, name, size)
    cut = read_all(path, maps, schema)
    assert cut.counts["parts"] > 5
    pd.testing.assert_frame_equal(cut.frame, whole.frame)
    assert whole.frame["_key"].tolist() == list(range(2000))
    assert whole.frame["note"].tolist()[:5] == [*table(3)["note"], None, "größe"]


def test_parts_hold_no_more_rows_than_allowed(
    tmp_path: Path, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(3000).assign(note="n").to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(text, "CHUNK_BYTES", 256)
    monkeypatch.setattr(text, "MAX_PART_ROWS", 500)
    parts = find_parts([str(tmp_path)], things(), schema)
    assert max(len(read_part(part).frame) for part in parts) <= 500


def test_lines_of_the_wrong_length_are_set_aside_with_place_and_content(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'{HEADER}7,1,orange,x\n8,orange\n\n"9",1,orange,"a,b",more\n10,2,orange,\n')
    (part,) = find_parts([str(path)], things(), schema)
    read = read_part(part)
    assert read.frame["_key"].tolist() == [7, 10]
    assert read.set_aside.to_dict("records") == [
        {"source": "things", "file": "a.csv", "row": 1, "content": '["8", "orange"]',
         "reason": "2 cells, the header has 4"},
        {"source": "things", "file": "a.csv", "row": 2, "reason": "5 cells, the header has 4",
         "content": '["9", "1", "orange", "a,b", "more"]'},
    ]  # fmt: skip
    assert read.counts["rows: things"] == 4
    assert read.counts["set aside: things"] == 2


def test_a_quote_that_is_never_closed_costs_one_line(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'{HEADER}1,1,orange,"two\nlines"\n2,1,"orange,x\n3,1,orange,x\n4,1\n')
    read = read_all(path, things(), schema)
    assert read.frame["_key"].tolist() == [1, 3]
    assert read.frame["note"].tolist() == ["two\nlines", "x"]
    assert read.set_aside["content"].tolist() == ['["2,1,\\"orange,x"]', '["4", "1"]']
    assert read.set_aside["row"].tolist() == [1, 3]
    assert read.set_aside["reason"][0].startswith("not CSV: ")


def test_separators_and_decimal_commas(tmp_path: Path, things: Maps, schema: Schema) -> None:
    (tmp_path / "a.csv").write_text("id;w;what;note\n1;0,5;orange;a,b\n")
    read = read_all(tmp_path, things(separator=";", decimal=","), schema)
    assert read.frame[["weight_g", "note"]].to_numpy().tolist() == [[500.0, "a,b"]]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_wrong_encoding_names_file_byte_and_setting(
    tmp_path: Path, things: Maps, schema: Schema, kind: str
) -> None:
    row = "1,1,orange,grün\n" if kind == "csv" else '{"id":1,"w":1,"what":"a","note":"grün"}\n'
    head = HEADER if kind == "csv" else ""
    path = tmp_path / f"a.{kind}"
    path.write_text(head + row, encoding="latin-1")
    with pytest.raises(SourceError) as caught:
        read_all(path, things(), schema)
    byte = (head + row).index("ü")
    assert f"a.{kind}: byte {byte} (0xfc) is not utf-8" in str(caught.value)
    assert 'encoding = "cp1252"' in str(caught.value)
    assert read_all(path, things(encoding="latin-1"), schema).frame["note"].tolist() == ["grün"]


def test_a_wrong_encoding_of_the_header_or_of_wide_text(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("größe\n".encode("latin-1"))
    assert "a.csv: byte 2 (0xf6) is not utf-8" in refused(path, things(), schema)
    path.write_bytes(b"\xff\xfea\x00\x00")
    assert "is not utf-16" in refused(path, things(encoding="utf-16"), schema)


def test_lines_that_are_no_objects_are_set_aside(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    lines = ['{"id": 1, "w": 1, "what": "orange", "note": "2024-01-01"}', "[1]", "", '{"id": 2',
             '{"id": 3, "w": "2", "what": null, "note": {"a": [1]}}']  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    read = read_all(tmp_path, things(), schema)
    assert read.frame["_key"].tolist() == [1, 3]
    assert read.frame["weight_g"].tolist() == [1000.0, 2000.0]
    assert read.frame["note"].tolist() == ["2024-01-01", '{"a": [1]}']
    assert read.set_aside["reason"].tolist() == ["no JSON object"] * 2
    assert read.set_aside["content"].tolist() == [json.dumps(["[1]"]), json.dumps(['{"id": 2'])]


def test_texts_that_look_like_times_stay_as_they_were_written(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    line = '{"id": %d, "w": 1, "what": "orange", "note": "2024-01-01 00:00:00"}\n'
    (tmp_path / "a.jsonl").write_text(line % 1 + line % 2)
    assert set(read_all(tmp_path, things(), schema).frame["note"]) == {"2024-01-01 00:00:00"}


def test_names_that_only_later_objects_have(tmp_path: Path, things: Maps, schema: Schema) -> None:
    (tmp_path / "a.jsonl").write_text('{"id":1,"w":1}\n{"id":2,"what":"orange","note":"x"}\n')
    read = read_all(tmp_path, things(), schema)
    assert read.frame["kind"].tolist() == [-1, 0]
    assert np.isnan(read.frame["weight_g"][1])


def test_a_file_without_any_object(tmp_path: Path, things: Maps, schema: Schema) -> None:
    (tmp_path / "a.jsonl").write_text("1\n2\n")
    assert "a.jsonl holds no JSON object in its first lines" in refused(tmp_path, things(), schema)


def test_row_groups_are_joined_and_cut(
    tmp_path: Path, things: Maps, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(3000).to_parquet(tmp_path / "small.parquet", row_group_size=100)
    whole = read_all(tmp_path, things(), schema)
    assert whole.counts["parts"] == 1
    for name, rows in (("JOINED_ROWS", 450), ("MAX_PART_ROWS", 400), ("BATCH_ROWS", 64)):
        monkeypatch.setattr(parquet, name, rows)
    joined = read_all(tmp_path, things(), schema)
    assert joined.counts["parts"] == 8
    pd.testing.assert_frame_equal(joined.frame, whole.frame)
    table(3000).to_parquet(tmp_path / "small.parquet", row_group_size=1000)
    cut = read_all(tmp_path, things(), schema)
    assert cut.counts["parts"] == 9
    pd.testing.assert_frame_equal(cut.frame, whole.frame)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_source_without_rows_is_reported(
    tmp_path: Path, things: Maps, schema: Schema, kind: str
) -> None:
    empty, full = tmp_path / f"empty.{kind}", tmp_path / "full.csv"
    if kind == "parquet":
        table(5)[:0].to_parquet(empty)
    else:
        empty.write_text(HEADER if kind == "csv" else "\n")
    table(2).to_csv(full, index=False)
    maps = things(fields={"no": "id"}) if kind == "jsonl" else things()
    if kind == "jsonl":
        assert "lacks the columns" in refused(empty, maps, schema)
        return
    first, second = (read_part(part) for part in find_parts([str(tmp_path)], maps, schema))
    assert first.counts["empty: things"] == 1
    assert first.counts["rows: things"] == 0
    assert "empty: things" not in second.counts
    pd.testing.assert_series_equal(first.frame.dtypes, second.frame.dtypes)
    full.unlink()
    assert f"{tmp_path} holds no rows; give a source that has some" in refused(
        tmp_path, maps, schema
    )


def test_a_source_with_no_good_row_is_a_report(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}x,1,orange,\n,2,orange,\n3,9,orange,\n4\n")
    read = read_all(tmp_path, things(), schema)
    assert len(read.frame) == 0
    assert read.set_aside["reason"].tolist() == [
        "no readable identifier",
        "no readable identifier",
        "weight_g 9000 is above 5000",
        "1 cells, the header has 4",
    ]


@pytest.mark.parametrize("name", ["fruit.parquet", "fruit.csv.gz"])
def test_a_file_that_is_not_what_its_name_says(
    tmp_path: Path, things: Maps, schema: Schema, name: str
) -> None:
    (tmp_path / name).write_bytes(b"no such thing " * 100)
    assert f"{name} cannot be read as" in refused(tmp_path / name, things(), schema)


def test_a_file_without_the_columns_names_the_closest_map(tmp_path: Path, schema: Schema) -> None:
    maps = read_source_maps(
        {
            "far": {"fields": {"no": "a", "kind": "b", "note": "c"}},
            "near": {"fields": {"no": "id", "kind": "what", "note": "remark"}},
            "database": {"fields": {"no": "id"}, "table": "t"},
        },
        schema,
    )
    (tmp_path / "a.csv").write_text("id,what\n1,orange\n")
    assert (
        "matches no map: for near, the closest, it lacks the columns 'remark'; it has 'id', 'what'"
        in refused(tmp_path, maps, schema)
    )
    (tmp_path / "a.csv").write_text("")
    assert "it has none" in refused(tmp_path, maps, schema)


def test_the_map_that_reads_most_is_chosen(tmp_path: Path, schema: Schema) -> None:
    maps = read_source_maps(
        {
            "few": {"fields": {"no": "id"}},
            "more": {"fields": {"no": "id", "kind": "what"}},
            "other": {"fields": {"no": "id", "kind": "what"}, "match": "other*"},
        },
        schema,
    )
    (tmp_path / "a.csv").write_text("id,what\n1,orange\n")
    (part,) = find_parts([str(tmp_path)], maps, schema)
    assert part.map.name == "more"


def test_of_a_folder_only_what_match_chooses_is_read(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    table(5).to_csv(tmp_path / "things-1.csv", index=False)
    (tmp_path / "weather.csv").write_text("hour,rain\n1,2\n")
    maps = things(match="things-*.csv")
    (part,) = find_parts([str(tmp_path)], maps, schema)
    assert part.source.endswith("things-1.csv")
    message = refused(tmp_path / "weather.csv", maps, schema)
    assert "no [sources.NAME] of the specification is for it; there are things (any file" in message
    (tmp_path / "things-1.csv").unlink()
    assert "and none matches things-*.csv" in refused(tmp_path, maps, schema)


def test_a_file_that_is_gone_when_it_is_read(tmp_path: Path, things: Maps, schema: Schema) -> None:
    path = tmp_path / "a.csv"
    table(5).to_csv(path, index=False)
    (part,) = find_parts([str(path)], things(), schema)
    path.write_text(f"{HEADER}1,2,orange,x\n")
    with pytest.raises(SourceError, match=r"a\.csv cannot be read as csv .* bytes shorter while"):
        read_part(part)
    path.write_text("id,w\n1,2\n")
    with pytest.raises(SourceError, match="'what', 'note' must stand in its header once"):
        read_part(part)
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.csv cannot be read as csv"):
        read_part(part)


def test_a_part_of_a_source_is_a_part_of_the_pipeline(
    tmp_path: Path, things: Maps, schema: Schema
) -> None:
    table(50).to_csv(tmp_path / "a.csv", index=False, quoting=csv.QUOTE_ALL)
    parts = [Part(n, p) for n, p in enumerate(find_parts([str(tmp_path)], things(), schema))]
    assert map_parts(InThisProcess(), len, parts) == [50]


def test_a_column_that_is_there_twice(tmp_path: Path, things: Maps, schema: Schema) -> None:
    (tmp_path / "a.csv").write_text("id,w,what,note,w\n1,2,orange,x,3\n")
    with pytest.raises(SourceError, match="'w' must stand in its header once"):
        read_all(tmp_path, things(), schema)


def test_a_parquet_file_that_lost_rows(tmp_path: Path, things: Maps, schema: Schema) -> None:
    table(9).to_parquet(tmp_path / "a.parquet")
    (part,) = find_parts([str(tmp_path)], things(), schema)
    table(5).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="it lost 4 rows while it was being read"):
        read_part(part)
