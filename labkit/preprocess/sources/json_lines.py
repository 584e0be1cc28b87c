"""JSON lines: one object a line; what is no object is set aside."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from labkit.errors import SourceError
from labkit.preprocess.sources.arrays import as_array
from labkit.preprocess.sources.batches import Batch, Broken, Span
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.places import hide_password
from labkit.preprocess.sources.text import find_spans, head_lines, read_bytes

HEAD_LINES = 1000  # a name that the first objects lack may come later, so several are looked at
SIMPLE = (pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.null())


def json_columns(source: str, habits: SourceMap) -> list[str]:
    """Names in the first objects, in order of appearance; none if the file is empty."""
    names: dict[str, None] = {}
    lines = head_lines(source, habits.encoding, HEAD_LINES)
    for line in lines:
        names.update(dict.fromkeys(_object_or_none(line) or {}))
    if not names and any(line.strip() for line in lines):
        raise SourceError(
            f"source {hide_password(source)} holds no JSON object in its first lines; write one "
            "object a line"
        )
    return list(names)


def json_spans(source: str, habits: SourceMap) -> list[Span]:
    """Parts of the file, by whole lines."""
    return find_spans(source, 0, habits.encoding)


def read_json(
    source: str, columns: Sequence[str], habits: SourceMap, span: Span
) -> Iterator[Batch]:
    """The rows of a part; ``rows`` counts lines that are not blank, from 0."""
    content = read_bytes(source, span, habits.encoding)
    table = _read_fast(content, columns)
    if table is None:
        yield _read_slowly(content, columns, span.first_row)
    else:
        yield Batch(table, np.arange(span.first_row, span.first_row + table.num_rows))


def _read_fast(content: bytes, columns: Sequence[str]) -> pa.Table | None:
    """By Arrow's reader, if every line is an object and every column of one simple type."""
    if not content.strip():
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    try:
        table = pajson.read_json(
            io.BytesIO(content),
            read_options=pajson.ReadOptions(use_threads=False, block_size=len(content) + 1),
        )
    except pa.ArrowInvalid:
        return None
    for name in columns:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    table = table.select(list(columns))
    # Arrow makes times of texts that look like some, but only where all of a part do.
    return table if all(kind in SIMPLE for kind in table.schema.types) else None


def _read_slowly(content: bytes, columns: Sequence[str], first_row: int) -> Batch:
    good: list[dict[str, Any]] = []
    rows: list[int] = []
    broken: list[Broken] = []
    lines = [line for line in content.decode().split("\n") if line.strip()]
    for row, line in enumerate(lines, start=first_row):
        value = _object_or_none(line)
        if value is None:
            broken.append(Broken(row, "no JSON object", json.dumps([line], ensure_ascii=False)))
        else:
            good.append(value)
            rows.append(row)
    cells = {name: as_array([value.get(name) for value in good]) for name in columns}
    return Batch(pa.table(cells), np.array(rows, dtype=np.int64), broken)


def _object_or_none(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
