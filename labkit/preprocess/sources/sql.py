"""Databases: any that SQLAlchemy opens; tables are read by ranges of a whole-numbered column."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import quoted_name

from labkit.errors import SettingError, SourceError
from labkit.preprocess.schema import MAX_PART_ROWS, rows_per_part
from labkit.preprocess.sources.arrays import as_array
from labkit.preprocess.sources.batches import Batch, Span
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.places import hide_password, is_address, name_of
from labkit.preprocess.sources.sqlite_arrow import NotPlain, read_plain

FETCH_ROWS = 16_384
RANGES = 1024  # counted before they are joined into parts
CONNECT_S = 10
NOWHERE = -(2**63)  # span of the rows whose range column is null


@contextmanager
def open_database(source: str) -> Iterator[sa.Connection]:
    """A connection to a database's URL, or to an SQLite file, which is only read."""
    engine = _engine(source)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _sqlite_file(source: str) -> str:
    """Path of an SQLite file; empty for another database."""
    if not is_address(source):
        return source
    url = sa.make_url(source)
    return url.database or "" if url.get_backend_name() == "sqlite" else ""


def _engine(source: str) -> sa.Engine:
    url = sa.make_url(source) if is_address(source) else sa.URL.create("sqlite", database=source)
    if url.get_backend_name() == "sqlite":
        path = url.database or ""
        if not Path(path).is_file():
            raise SourceError(
                f"source {hide_password(source)} does not exist; give a database file"
            )
        # read-only, so that a wrong path is an error and not a new empty database
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        return sa.create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=sa.NullPool
        )
    timeout = {"connect_timeout": CONNECT_S} if url.get_backend_name() == "postgresql" else {}
    try:
        return sa.create_engine(url, poolclass=sa.NullPool, connect_args=timeout)
    except ImportError as error:
        raise SourceError(
            f"source {hide_password(source)} needs a driver that is not installed ({error}); "
            "install it, or name another, as in postgresql+psycopg://"
        ) from error


def sql_tables(connection: sa.Connection) -> list[str]:
    """Names of the tables and views."""
    inspector = sa.inspect(connection)
    return [*inspector.get_table_names(), *inspector.get_view_names()]


def sql_columns(connection: sa.Connection, source_map: SourceMap, table: str) -> list[str]:
    """Names of the columns of the map's table or query."""
    chosen = sa.select(sa.text("*")).select_from(_rows_of(source_map, table)).limit(0)
    return list(connection.execute(chosen).keys())


def sql_spans(
    connection: sa.Connection, source_map: SourceMap, table: str
) -> tuple[str, list[Span]]:
    """The column whose ranges are read, and the ranges; none if there are no rows.

    Raises:
        SettingError: no such column, and too many rows for one part.
    """
    by = source_map.by or _whole_key(connection, table)
    rows = _rows_of(source_map, table, [by] if by else [])
    column: Any = sa.type_coerce(rows.c[by], sa.BigInteger) if by else None
    about: list[Any] = [sa.func.count()]
    if by:
        about += [sa.func.count(column), sa.func.min(column), sa.func.max(column)]
    total, *found = connection.execute(sa.select(*about).select_from(rows)).one()
    if not total:
        return by, []
    if not by:
        if total > MAX_PART_ROWS:
            raise SettingError(
                f"[sources.{source_map.name}] has {total} rows and no whole-numbered key to read "
                'them in parts by; name a column of whole numbers with by = "..."'
            )
        return "", [Span(0, total)]
    known, low, high = found
    spans = []
    if low is not None:
        if not (isinstance(low, int) and isinstance(high, int)):
            raise SettingError(
                f"[sources.{source_map.name}] by = {by!r} holds {low!r}; name a column of whole "
                "numbers"
            )
        limit = rows_per_part(total)
        find = _steps if _is_in_order(connection, rows, column) else _ranges
        spans = find(connection, rows, column, (low, high + 1), limit)
    if known < total:
        spans.append(Span(NOWHERE, NOWHERE))
    return by, spans


def _is_in_order(connection: sa.Connection, rows: Any, column: Any) -> bool:
    """Whether the database finds rows by the column without sorting them; only SQLite is asked."""
    if connection.dialect.name != "sqlite":
        return False
    chosen = sa.select(column).select_from(rows).where(column >= 0).order_by(column)
    query = chosen.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
    return not any(how in row[-1] for row in plan for how in ("TEMP B-TREE", "MATERIALIZE"))


def _steps(
    connection: sa.Connection, rows: Any, column: Any, within: tuple[int, int], limit: int
) -> list[Span]:
    """Ranges of the column that hold ``limit`` rows each, found by stepping over so many rows."""
    start, end = within
    spans: list[Span] = []
    while start < end:
        after = sa.select(column).select_from(rows).where(column >= start).order_by(column)
        stop = connection.execute(after.offset(limit).limit(1)).scalar()
        if stop == start:  # more rows than a part holds have this value
            stop = connection.execute(
                sa.select(sa.func.min(column)).select_from(rows).where(column > start)
            ).scalar()
        stop = end if stop is None else math.ceil(stop)
        spans.append(Span(start, stop))
        start = stop
    return spans


def _ranges(
    connection: sa.Connection,
    rows: Any,
    column: Any,
    within: tuple[int, int],
    limit: int,
) -> list[Span]:
    """Ranges of the column that hold about ``limit`` rows each; counted, since keys have gaps."""
    low, high = within
    width = -(-(high - low) // RANGES)
    place = (column - low) // width
    counted = sa.select(place, sa.func.count()).select_from(rows)
    counted = counted.where(column >= low, column < high).group_by(place).order_by(place)
    spans: list[Span] = []
    held = 0
    for number, count in connection.execute(counted).all():
        start = low + int(number) * width
        stop = min(start + width, high)
        if count > max(limit, MAX_PART_ROWS // 2) and width > 1:
            spans += _ranges(connection, rows, column, (start, stop), limit)
            held = limit
        elif spans and held + count <= limit:
            spans[-1] = spans[-1]._replace(stop=stop)
            held += count
        else:
            spans.append(Span(start, stop))
            held = count
    return spans


def read_sql(
    source: str, columns: Sequence[str], source_map: SourceMap, table: str, by: str, span: Span
) -> Iterator[Batch]:
    """The rows of a part, streamed; ``rows`` are the values of ``by`` where there is one."""
    asked = dict.fromkeys([*columns, by] if by else columns)
    rows_of = _rows_of(source_map, table, list(asked))
    column: Any = rows_of.c[by] if by else None
    chosen: Any = sa.select(*(rows_of.c[name] for name in columns))
    if by:
        chosen = chosen.add_columns(column.label("_row"))
    if by and span.start == NOWHERE:
        chosen = chosen.where(column.is_(None))
    elif by:
        chosen = chosen.where(column >= span.start, column < span.stop).order_by(column)
    numbered = bool(by) and span.start != NOWHERE
    try:
        yield from _read_plainly(source, chosen, columns, numbered)
    except NotPlain:
        yield from _read_row_by_row(source, chosen, columns, numbered)


def _read_plainly(
    source: str, chosen: Any, columns: Sequence[str], numbered: bool
) -> Iterator[Batch]:
    """In C, where the source is an SQLite file; else, and for odd cells, ``NotPlain``.

    It is raised before the first batch, or not at all.
    """
    file = _sqlite_file(source)
    if not file:
        raise NotPlain
    query = chosen.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    at = 0
    for batch in read_plain(file, str(query)):
        rows = np.arange(at, at + len(batch))
        if numbered:
            rows = batch.columns[-1].to_numpy()
        at += len(batch)
        yield Batch(pa.Table.from_arrays(batch.columns[: len(columns)], list(columns)), rows)


def _read_row_by_row(
    source: str, chosen: Any, columns: Sequence[str], numbered: bool
) -> Iterator[Batch]:
    with open_database(source) as connection:
        # SQLite streams by itself, and its own cursor gives tuples, which are faster than rows.
        # Of a result that SQLAlchemy streams the cursor must not be used: it has read ahead.
        plain = connection.dialect.name == "sqlite"
        result = connection.execution_options(stream_results=not plain).execute(chosen)
        fetch: Any = result.cursor.fetchmany if plain and result.cursor else result.fetchmany
        at = 0
        while fetched := fetch(FETCH_ROWS):
            cells = list(zip(*fetched, strict=True))
            arrays = [as_array(each) for each in cells[: len(columns)]]
            rows = np.arange(at, at + len(fetched))
            if numbered:
                rows = np.array(cells[-1], dtype=np.int64)
            at += len(fetched)
            yield Batch(pa.Table.from_arrays(arrays, names=list(columns)), rows)


def _rows_of(source_map: SourceMap, table: str, columns: Sequence[str] = ()) -> Any:
    """The table, or the query as one, with these columns in its ``c``.

    Names are quoted, and columns told with their table: SQLite takes an unknown quoted name that
    stands alone for a text.
    """
    known: list[Any] = [sa.column(quoted_name(name, quote=True)) for name in columns]
    if source_map.query:
        query = sa.text(source_map.query.strip().rstrip(";"))
        return query.columns(*known).subquery("part")
    schema, _, name = table.rpartition(".")
    return sa.table(quoted_name(name, quote=True), *known, schema=schema or None)


def _whole_key(connection: sa.Connection, table: str) -> str:
    """A column of whole numbers that is the table's key; empty if there is none."""
    inspector = sa.inspect(connection)
    schema, _, name = table.rpartition(".")
    if not name or name in inspector.get_view_names(schema or None):
        return ""
    if connection.dialect.name == "sqlite":
        return "rowid"
    key = inspector.get_pk_constraint(name, schema or None)["constrained_columns"]
    whole = [
        each["name"]
        for each in inspector.get_columns(name, schema or None)
        if isinstance(each["type"], sa.Integer)
    ]
    return next((each for each in key if each in whole), "")


def database_name(source: str) -> str:
    """What ``match`` is compared with, and reports show."""
    if is_address(source):
        return name_of(sa.make_url(source).database or source)
    return name_of(source)
