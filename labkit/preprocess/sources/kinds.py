"""What can be asked of a source, whatever its kind: its columns, its parts, the rows of a part."""

from __future__ import annotations

import lzma
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import sqlalchemy as sa

from labkit.errors import LabError, SourceError
from labkit.preprocess.sources.batches import Batch, Span
from labkit.preprocess.sources.csv_files import csv_columns, csv_spans, read_csv
from labkit.preprocess.sources.json_lines import json_columns, json_spans, read_json
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.parquet import parquet_columns, parquet_spans, read_parquet
from labkit.preprocess.sources.places import hide_password
from labkit.preprocess.sources.sql import read_sql

FORMAT_ERRORS = (
    *(OSError, ValueError, EOFError, ImportError, pa.ArrowException, sa.exc.SQLAlchemyError),
    sqlite3.Error,  # SQLite's own cursor raises it past SQLAlchemy
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


@contextmanager
def reading(source: str, kind: str) -> Iterator[None]:
    """Name the source in whatever goes wrong while it is read.

    Raises:
        SourceError: it cannot be read; without passwords.
    """
    try:
        yield
    except LabError:
        raise
    except FORMAT_ERRORS as error:
        said = str(getattr(error, "orig", None) or error) or type(error).__name__
        said = hide_password(said, source).strip().replace("\n", " ")
        raise SourceError(
            f"source {hide_password(source)} cannot be read as {kind} ({said}); see that it is "
            "there, whole, and of that kind"
        ) from error


def columns_of(source: str, kind: str, habits: SourceMap) -> list[str]:
    """Names of the columns of a file."""
    if kind == "parquet":
        return parquet_columns(source)
    return csv_columns(source, habits) if kind == "csv" else json_columns(source, habits)


def spans_of(source: str, kind: str, habits: SourceMap) -> list[Span]:
    """The parts of a file; none if it has no rows."""
    if kind == "parquet":
        return parquet_spans(source)
    return csv_spans(source, habits) if kind == "csv" else json_spans(source, habits)


def batches_of(
    source: str,
    kind: str,
    columns: Sequence[str],
    habits: SourceMap,
    span: Span,
    *,
    table: str = "",
    by: str = "",
) -> Iterator[Batch]:
    """The rows of a part, some at a time.

    Args:
        source: path or address.
        kind: of the source.
        columns: that are read.
        habits: how the source writes.
        span: the part.
        table, by: of a database, the table and the column whose ranges are read.
    """
    if kind == "parquet":
        return read_parquet(source, columns, span)
    if kind == "csv":
        return read_csv(source, columns, habits, span)
    if kind == "jsonl":
        return read_json(source, columns, habits, span)
    return read_sql(source, columns, habits, table, by, span)
