"""CSV files: cut at line ends that are outside quotes, every cell read as text.

Rows with too few or too many cells are set aside. A quote that is never closed is found, and only
its own line is set aside.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from labkit.errors import SourceError
from labkit.preprocess.sources.batches import Batch, Broken, Span
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.places import hide_password
from labkit.preprocess.sources.text import find_spans, first_line, read_bytes

QUOTE = b'"'


def csv_columns(source: str, habits: SourceMap) -> list[str]:
    """The header's cells; none if the file is empty."""
    head, _ = _header(source, habits)
    return head


def csv_spans(source: str, habits: SourceMap) -> list[Span]:
    """Parts of the file after its header; none if no row follows."""
    _, start = _header(source, habits)
    return find_spans(source, start, habits.encoding, quote=QUOTE)


def read_csv(source: str, columns: Sequence[str], habits: SourceMap, span: Span) -> Iterator[Batch]:
    """The rows of a part; ``rows`` counts records that are not blank, from 0."""
    header, _ = _header(source, habits)
    lacking = [name for name in columns if header.count(name) != 1]
    if lacking:
        raise ValueError(f"{', '.join(map(repr, lacking))} must stand in its header once")
    content = read_bytes(source, span, habits.encoding)
    if content.count(QUOTE) % 2:
        yield _read_slowly(content.decode(), header, columns, habits, span.first_row)
    else:
        yield _read_fast(content, header, columns, habits, span.first_row)


def _read_fast(
    content: bytes, header: list[str], columns: Sequence[str], habits: SourceMap, first_row: int
) -> Batch:
    bad: list[tuple[int, str]] = []

    def set_aside(row: pacsv.InvalidRow) -> str:
        bad.append((row.number - 1, row.text))
        return "skip"

    if not content.strip():
        return Batch(pa.table({name: pa.array([], pa.string()) for name in columns}), _rows(0, ()))
    table = pacsv.read_csv(
        io.BytesIO(content),
        read_options=pacsv.ReadOptions(
            use_threads=False, column_names=header, block_size=len(content) + 1
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=habits.separator, newlines_in_values=True, invalid_row_handler=set_aside
        ),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
        ),
    )
    broken = [
        _broken_cells(first_row + row, _split(text, habits), len(header)) for row, text in bad
    ]
    rows = _rows(table.num_rows + len(bad), [row for row, _ in bad]) + first_row
    return Batch(table, rows, broken)


def _split(line: str, habits: SourceMap) -> list[str]:
    return next(csv.reader(io.StringIO(line, newline=""), delimiter=habits.separator), [])


def _read_slowly(
    text: str, header: list[str], columns: Sequence[str], habits: SourceMap, first_row: int
) -> Batch:
    """By Python's reader, which says where a quote was left open; goes on after that line."""
    lines = text.splitlines(keepends=True)
    good: list[list[str]] = []
    rows: list[int] = []
    broken: list[Broken] = []
    at, row = 0, first_row
    while at < len(lines):
        reader = csv.reader(lines[at:], delimiter=habits.separator, strict=True)
        done = 0
        try:
            for cells in reader:
                done = reader.line_num
                if len(cells) == len(header):
                    good.append(cells)
                    rows.append(row)
                elif cells:
                    broken.append(_broken_cells(row, cells, len(header)))
                row += bool(cells)
            break
        except csv.Error as error:
            content = json.dumps([lines[at + done].rstrip("\r\n")], ensure_ascii=False)
            broken.append(Broken(row, f"not CSV: {error}", content))
            at, row = at + done + 1, row + 1
    places = [header.index(name) for name in columns]
    cells_by_column = {
        name: pa.array([cells[place] for cells in good], pa.string())
        for name, place in zip(columns, places, strict=True)
    }
    return Batch(pa.table(cells_by_column), np.array(rows, dtype=np.int64), broken)


def _broken_cells(row: int, cells: list[str], expected: int) -> Broken:
    why = f"{len(cells)} cells, the header has {expected}"
    return Broken(row, why, json.dumps(cells, ensure_ascii=False))


def _rows(total: int, without: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    kept = np.ones(total, dtype=bool)
    kept[list(without)] = False
    return np.flatnonzero(kept).astype(np.int64)


def _header(source: str, habits: SourceMap) -> tuple[list[str], int]:
    """The header's cells and the byte after its line."""
    line, size = first_line(source, habits.encoding, QUOTE)
    try:
        cells = next(csv.reader(io.StringIO(line, newline=""), delimiter=habits.separator), [])
    except csv.Error as error:
        raise SourceError(
            f"source {hide_password(source)} has no header of a CSV file ({error})"
        ) from error
    return [cell.strip() for cell in cells], size
