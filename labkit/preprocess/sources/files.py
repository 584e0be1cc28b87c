"""Reading the sources: Parquet files, SQLite databases and CSV files, part by part.

Files are cut into parts that one task reads each. What the columns mean is declared in
``source_maps.py``. A cell that cannot be read becomes missing and is counted; a row without a
readable identifier is set aside with its reason.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from labkit.errors import SourceError
from labkit.preprocess.cells import READS, Cells
from labkit.preprocess.schema import (
    CATEGORIES,
    KEY,
    MISSING,
    NUMERIC,
    SOURCE,
    Partition,
    rows_per_part,
)
from labkit.preprocess.source_maps import SOURCE_MAPS, SourceMap

KINDS = MappingProxyType(
    {
        ".parquet": "parquet",
        ".sqlite": "sqlite",
        ".sqlite3": "sqlite",
        ".db": "sqlite",
        ".csv": "csv",
    }
)
FORMAT_ERRORS = (OSError, ValueError, sqlite3.Error, csv.Error)
KINDS_HINT = "a .parquet, .sqlite, .db or .csv file, or a folder of such files"


@dataclass(frozen=True, slots=True)
class SourcePart:
    """What one task reads: a Parquet row group, a range of rowids, or a whole CSV file."""

    path: str
    kind: str
    start: int = 0
    stop: int = 0


def find_parts(paths: Sequence[str]) -> list[SourcePart]:
    """The parts of all sources, in the order given; folders are searched for files.

    Only headers are read, so that a source which does not match is refused before any work.

    Raises:
        SourceError: nothing there, an unknown kind of file, not readable, columns missing.
    """
    parts: list[SourcePart] = []
    for path in paths:
        for file in _files(path):
            kind = KINDS[file.suffix.lower()]
            try:
                parts.extend(FINDERS[kind](file, SOURCE_MAPS[kind]))
            except FORMAT_ERRORS as error:
                if isinstance(error, SourceError):
                    raise
                raise _unreadable(file, kind, error) from error
    if not parts:
        raise SourceError(f"{', '.join(paths)} holds no rows; give a source that has some")
    return parts


def check_sources(paths: Sequence[str]) -> None:
    """Refuse sources of this host that cannot be used, before a cluster is launched for them.

    Raises:
        SourceError: as ``find_parts``.
    """
    find_parts([str(path) for path in paths])


def read_part(part: SourcePart) -> Partition:
    """One part in the common columns and units; rows without an identifier set aside.

    Raises:
        SourceError: the file became unreadable.
    """
    source = SOURCE_MAPS[part.kind]
    try:
        raw, broken = READERS[part.kind](part, source)
    except FORMAT_ERRORS as error:
        raise _unreadable(Path(part.path), part.kind, error) from error
    cells = {
        name: READS[each.read](raw[each.column], each.factor)
        for name, each in source.fields.items()
    }
    ids = cells[KEY].values
    readable = np.isfinite(ids) & (ids == np.floor(ids)) & (np.abs(ids) < 2**53)
    frame = _common_frame(cells, source, readable)
    bad = raw[~readable]
    aside = broken + [
        (int(row), "no readable identifier", json.dumps(list(values), default=str))
        for row, values in zip(bad.index, bad.itertuples(index=False), strict=True)
    ]
    counts = {f"rows: {source.name}": len(raw) + len(broken)}
    counts |= {f"unreadable: {name}": int(each.unreadable.sum()) for name, each in cells.items()}
    set_aside = pd.DataFrame(aside, columns=["row", "reason", "content"])
    set_aside.insert(0, "source", source.name)
    set_aside.insert(1, "file", Path(part.path).name)
    return Partition(frame=frame, set_aside=set_aside, counts=counts)


def _common_frame(
    cells: Mapping[str, Cells], source: SourceMap, readable: np.ndarray[Any, np.dtype[np.bool_]]
) -> pd.DataFrame:
    num_rows = int(readable.sum())
    columns: dict[str, Any] = {
        KEY: cells[KEY].values[readable].astype(np.int64),
        SOURCE: np.full(num_rows, source.priority, dtype=np.int8),
    }
    for name in NUMERIC:
        columns[name] = cells[name].values[readable] if name in cells else np.full(num_rows, np.nan)
    for name in CATEGORIES:
        codes = cells[name].values[readable] if name in cells else np.full(num_rows, np.nan)
        columns[name] = np.where(np.isnan(codes), MISSING, codes).astype(np.int8)
    return pd.DataFrame(columns)


def _files(path: str) -> list[Path]:
    if "://" in path:
        raise SourceError(f"source {path} is an address; download it and give the file's path")
    at = Path(path)
    if at.is_dir():
        files = sorted(file for file in at.rglob("*") if file.suffix.lower() in KINDS)
        if not files:
            raise SourceError(f"source {path} holds no data files; give {KINDS_HINT}")
        return files
    if not at.exists():
        raise SourceError(f"source {path} does not exist; give {KINDS_HINT}")
    if at.suffix.lower() not in KINDS:
        raise SourceError(f"source {path} has an unknown kind of name; give {KINDS_HINT}")
    return [at]


def _unreadable(file: Path, kind: str, error: Exception) -> SourceError:
    return SourceError(f"source {file} cannot be read as {kind} ({error}); give {KINDS_HINT}")


def _require(file: Path, where: str, present: Sequence[str], needed: Sequence[str]) -> None:
    lacking = [name for name in needed if name not in present]
    if lacking:
        raise SourceError(
            f"source {file} lacks {where} {', '.join(map(repr, lacking))}; it has "
            f"{', '.join(map(repr, present)) or 'none'}: rename them, or give another source"
        )


def _find_parquet(file: Path, source: SourceMap) -> list[SourcePart]:
    with pq.ParquetFile(file) as parquet:
        _require(file, "the columns", parquet.schema_arrow.names, source.columns)
        return [
            SourcePart(str(file), "parquet", group, group + 1)
            for group in range(parquet.num_row_groups)
            if parquet.metadata.row_group(group).num_rows
        ]


def _read_parquet(part: SourcePart, source: SourceMap) -> tuple[pd.DataFrame, list[Any]]:
    with pq.ParquetFile(part.path) as parquet:
        groups = range(part.start, part.stop)
        return parquet.read_row_groups(groups, columns=source.columns).to_pandas(), []


def _open_database(path: str | Path) -> closing[sqlite3.Connection]:
    # read-only, so that a wrong path is an error and not a new empty database
    return closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True))


def _find_sqlite(file: Path, source: SourceMap) -> list[SourcePart]:
    with _open_database(file) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        _require(file, "the tables", [name for (name,) in tables], list(source.tables))
        for table, needed in source.tables.items():
            info = database.execute(f"PRAGMA table_info({table})").fetchall()
            _require(file, f"in table {table!r} the columns", [row[1] for row in info], needed)
        (last,) = database.execute("SELECT coalesce(max(rowid), 0) FROM fruit").fetchone()
    step = rows_per_part(last)
    return [
        SourcePart(str(file), "sqlite", start, min(start + step, last))
        for start in range(0, last, step)
    ]


def _read_sqlite(part: SourcePart, source: SourceMap) -> tuple[pd.DataFrame, list[Any]]:
    with _open_database(part.path) as database:
        rows = database.execute(source.query, (part.start, part.stop)).fetchall()
    frame = pd.DataFrame(rows, columns=source.columns)
    return frame.set_axis(range(part.start, part.start + len(frame))), []


def _find_csv(file: Path, source: SourceMap) -> list[SourcePart]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = csv.reader(text)
        _require(file, "the columns", next(rows, []), source.columns)
        return [SourcePart(str(file), "csv")] if next(rows, None) is not None else []


def _read_csv(part: SourcePart, source: SourceMap) -> tuple[pd.DataFrame, list[Any]]:
    """Every cell as text; lines with too few or too many cells are set aside."""
    with Path(part.path).open(newline="", encoding="utf-8-sig") as text:
        rows = csv.reader(text)
        header = next(rows)
        whole: dict[int, list[str]] = {}
        broken = []
        for number, row in enumerate(rows):
            if len(row) == len(header):
                whole[number] = row
            elif row:
                why = f"{len(row)} cells, the header has {len(header)}"
                broken.append((number, why, json.dumps(row)))
    frame = pd.DataFrame(list(whole.values()), columns=header, index=list(whole), dtype=object)
    return frame[source.columns], broken


FINDERS: Mapping[str, Callable[[Path, SourceMap], list[SourcePart]]] = MappingProxyType(
    {"parquet": _find_parquet, "sqlite": _find_sqlite, "csv": _find_csv}
)
READERS: Mapping[str, Callable[[SourcePart, SourceMap], tuple[pd.DataFrame, list[Any]]]] = (
    MappingProxyType({"parquet": _read_parquet, "sqlite": _read_sqlite, "csv": _read_csv})
)
