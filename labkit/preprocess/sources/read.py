"""Reading one part of a source into the common columns.

A cell that cannot be read becomes missing and is counted; a row without a readable key, with
broken cells or with impossible values is set aside with its reason and its content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from labkit.preprocess.schema import KEY, SOURCE, Schema, add_counts
from labkit.preprocess.sources.batches import Batch, Span
from labkit.preprocess.sources.cells import Cells, encode_texts, read_cells
from labkit.preprocess.sources.checks import failed_checks
from labkit.preprocess.sources.keys import NO_KEY, row_keys
from labkit.preprocess.sources.kinds import batches_of, reading
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.places import name_of

ASIDE_COLUMNS = ("source", "file", "row", "reason", "content")


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
    with reading(part.source, part.kind):
        done = [_read_batch(part, batch) for batch in _batches(part)]
    if not done:
        done = [_read_batch(part, _no_rows(part.map))]
    name = part.map.name
    empty = {f"empty: {name}": 1} if part.span is None else {}
    return Read(
        frame=pd.concat([each.frame for each in done], ignore_index=True),
        set_aside=pd.concat([each.set_aside for each in done], ignore_index=True),
        counts=add_counts([*(each.counts for each in done), empty]),
    )


def _batches(part: SourcePart) -> Iterator[Batch]:
    if part.span is None:
        return iter(())
    columns = part.map.columns
    return batches_of(
        part.source, part.kind, columns, part.map, part.span, table=part.table, by=part.by
    )


def _no_rows(source_map: SourceMap) -> Batch:
    cells = {name: pa.array([], pa.string()) for name in source_map.columns}
    return Batch(pa.table(cells), np.empty(0, dtype=np.int64))


def _read_batch(part: SourcePart, batch: Batch) -> Read:
    table, schema, source_map = batch.table.combine_chunks(), part.schema, part.map
    arrays = {name: _whole(table.column(name)) for name in source_map.columns}
    for name, array in arrays.items():
        arrays[name] = encode_texts(
            array,
            [
                (field, schema.column(common))
                for common, field in source_map.fields.items()
                if field.column == name
            ],
        )
    cells = {
        name: read_cells(arrays[each.column], each, schema.column(name), source_map)
        for name, each in source_map.fields.items()
    }
    frame = common_frame(cells, schema, len(table), source_map.priority)
    frame[KEY], known = row_keys(frame, schema, source_map, arrays)
    reasons = failed_checks(frame, schema)
    reasons[~known] = NO_KEY
    good = pd.isna(reasons)
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
    return pd.DataFrame(columns, copy=False)


def _aside(
    part: SourcePart, batch: Batch, arrays: Mapping[str, pa.Array], reasons: NDArray[np.object_]
) -> pd.DataFrame:
    places = np.flatnonzero(~pd.isna(reasons)).tolist()
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
