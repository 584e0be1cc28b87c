"""Reading one part of a source into the common columns.

A cell that cannot be read becomes missing and is counted; a row without a readable key, with
broken cells or with impossible values is set aside with its reason and its content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.schema import KEY, SOURCE, Schema, add_counts
from labkit.preprocess.sources.batches import Batch, Span
from labkit.preprocess.sources.cells import Cells, read_cells
from labkit.preprocess.sources.checks import failed_checks
from labkit.preprocess.sources.csv_files import read_csv
from labkit.preprocess.sources.json_lines import read_json
from labkit.preprocess.sources.keys import NO_KEY, row_keys
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.parquet import read_parquet
from labkit.preprocess.sources.places import hide_password, name_of
from labkit.preprocess.sources.sql import read_sql

ASIDE_COLUMNS = ("source", "file", "row", "reason", "content")
FORMAT_ERRORS = (OSError, ValueError, KeyError, pa.ArrowException, sa.exc.SQLAlchemyError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """What one task reads of a source; picklable, and it holds no rows.

    Attributes:
        source: path or address, with its password: shown nowhere.
        kind: parquet, csv, jsonl or sql.
        map: what the columns mean.
        schema: the common columns.
        span: rows, bytes or keys; ``None`` for a source without rows.
        table, by: of a database, the table and the column whose ranges are read.
    """

    source: str = field(repr=False)
    kind: str
    map: SourceMap
    schema: Schema
    span: Span | None
    table: str = ""
    by: str = ""

    def read(self) -> pd.DataFrame:
        """The rows in the common columns; what is set aside and counted is left out."""
        return read_part(self).frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read of one part.

    Attributes:
        frame: the common columns, ``KEY`` and ``SOURCE``.
        set_aside: rows that could not be used: source, file, row, reason, content (JSON).
        counts: ``"rows: SOURCE"`` all rows, ``"set aside: SOURCE"``, ``"empty: SOURCE"`` files or
            tables without rows, ``"unreadable: COLUMN"`` cells.
    """

    frame: pd.DataFrame
    set_aside: pd.DataFrame
    counts: Mapping[str, int]


def read_part(part: SourcePart) -> Read:
    """One part in the common columns and units.

    Raises:
        SourceError: the source became unreadable, or is gone.
    """
    try:
        done = [_read_batch(part, batch) for batch in _batches(part)]
    except SourceError:
        raise
    except FORMAT_ERRORS as error:
        raise unreadable(part.source, part.kind, error) from error
    if not done:
        done = [_read_batch(part, _no_rows(part.map))]
    name = part.map.name
    empty = {f"empty: {name}": 1} if part.span is None else {}
    return Read(
        frame=pd.concat([each.frame for each in done], ignore_index=True),
        set_aside=pd.concat([each.set_aside for each in done], ignore_index=True),
        counts=add_counts([*(each.counts for each in done), empty]),
    )


def unreadable(source: str, kind: str, error: Exception) -> SourceError:
    """The error of a source that cannot be read, without passwords."""
    said = hide_password(str(getattr(error, "orig", None) or error)).strip().replace("\n", " ")
    return SourceError(
        f"source {hide_password(source)} cannot be read as {kind} ({said}); see that it is there, "
        "whole, and of that kind"
    )


def _batches(part: SourcePart) -> Iterator[Batch]:
    if part.span is None:
        return iter(())
    if part.kind == "sql":
        columns = part.map.columns
        return read_sql(part.source, columns, part.map, part.table, part.by, part.span)
    return READERS[part.kind](part.source, part.map, part.span)


READERS: Mapping[str, Callable[[str, SourceMap, Span], Iterator[Batch]]] = MappingProxyType(
    {
        "parquet": lambda source, habits, span: read_parquet(source, habits.columns, span),
        "csv": lambda source, habits, span: read_csv(source, habits.columns, habits, span),
        "jsonl": lambda source, habits, span: read_json(source, habits.columns, habits, span),
    }
)


def _no_rows(source_map: SourceMap) -> Batch:
    cells = {name: pa.array([], pa.string()) for name in source_map.columns}
    return Batch(pa.table(cells), np.empty(0, dtype=np.int64))


def _read_batch(part: SourcePart, batch: Batch) -> Read:
    table, schema, source_map = batch.table.combine_chunks(), part.schema, part.map
    arrays = {name: _whole(table.column(name)) for name in source_map.columns}
    cells = {
        name: read_cells(arrays[each.column], each, schema.column(name), source_map)
        for name, each in source_map.fields.items()
    }
    frame = common_frame(cells, schema, len(table), source_map.priority)
    frame[KEY], known = row_keys(frame, schema, source_map, arrays)
    reasons = np.full(len(table), None, dtype=object)
    reasons[~known] = NO_KEY
    failed = failed_checks(frame, schema)
    reasons[known] = np.where(failed[known] != None, failed[known], reasons[known])  # noqa: E711
    good = np.array([reason is None for reason in reasons], dtype=bool)
    aside = _aside(part, batch, arrays, reasons)
    counts = {f"rows: {source_map.name}": len(table) + len(batch.broken)}
    counts[f"set aside: {source_map.name}"] = len(aside)
    counts |= {f"unreadable: {name}": int(each.unreadable.sum()) for name, each in cells.items()}
    return Read(
        frame=frame if good.all() else frame[good].reset_index(drop=True),
        set_aside=aside,
        counts=counts,
    )


def common_frame(
    cells: Mapping[str, Cells], schema: Schema, num_rows: int, priority: int
) -> pd.DataFrame:
    """The common columns of some rows; a column that was not read is missing everywhere."""
    columns: dict[str, Any] = {
        KEY: np.zeros(num_rows, dtype=np.int64),
        SOURCE: np.full(num_rows, priority, dtype=np.int8),
    }
    for column in schema.columns:
        if column.name in cells:
            values = cells[column.name].values
        elif column.kind == "number":
            values = np.full(num_rows, np.nan)
        elif column.kind == "category":
            values = np.full(num_rows, -1, dtype=np.int32)
        else:
            values = np.full(num_rows, None, dtype=object)
        text = column.kind == "text"
        columns[column.name] = pd.Series(values, dtype=object) if text else values
    return pd.DataFrame(columns)


def _aside(
    part: SourcePart, batch: Batch, arrays: Mapping[str, pa.Array], reasons: NDArray[np.object_]
) -> pd.DataFrame:
    places = [place for place, reason in enumerate(reasons) if reason is not None]
    chosen = pa.array(places, pa.int64())
    contents = zip(*(array.take(chosen).to_pylist() for array in arrays.values()), strict=True)
    lines: list[tuple[int, str, str]] = [
        (int(batch.rows[place]), reasons[place], _content(cells))
        for place, cells in zip(places, contents, strict=True)
    ]
    lines += batch.broken
    aside = pd.DataFrame(sorted(lines), columns=list(ASIDE_COLUMNS[2:]))
    aside["row"] = aside["row"].astype(np.int64)
    aside.insert(0, "source", part.map.name)
    where = name_of(part.source) + (f": {part.table}" if part.table else "")
    aside.insert(1, "file", where)
    return aside


def _content(cells: Sequence[Any]) -> str:
    return json.dumps(list(cells), default=str, ensure_ascii=False)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
