"""A specification for sources that nobody described: every column as it looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from labkit.errors import SettingError, SourceError
from labkit.preprocess.sources.batches import Batch
from labkit.preprocess.sources.evidence import Evidence
from labkit.preprocess.sources.fields import Field
from labkit.preprocess.sources.kinds import batches_of, columns_of, reading, spans_of
from labkit.preprocess.sources.maps import SourceMap
from labkit.preprocess.sources.parquet import parquet_types
from labkit.preprocess.sources.places import is_database, kind_of, list_files, name_of
from labkit.preprocess.sources.sql import (
    database_name,
    open_database,
    sql_columns,
    sql_spans,
    sql_tables,
)
from labkit.preprocess.sources.text import byte_order, first_line

SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Files or tables that are read in the same way.

    Attributes:
        name: of the source.
        map: reads every column; its fields are the columns' own names.
        sources: paths and addresses.
    """

    name: str
    map: SourceMap
    sources: list[str] = field(default_factory=list)


def infer_spec_values(
    sources: Sequence[str], *, label: str | None = None, key: str | Sequence[str] = ()
) -> dict[str, Any]:
    """What a specification of these sources would say, as in ``specs/*.toml``.

    All rows are read once: numbers are numbers, ISO dates become days, texts of few distinct values
    categories. Columns of the same name are the same column.

    Args:
        sources: paths, addresses of files and folders, databases.
        label: the column to be learned; any with few distinct values.
        key: the columns that say which thing a row describes.
    Raises:
        SourceError: nothing there, or not readable.
        SettingError: no such label or key, or one that cannot be.
    """
    groups = _groups(sources)
    evidence: dict[str, Evidence] = {}
    counted = Counter(column for group in groups for column in group.map.columns)
    looked_at = {label or "", *(column for column, number in counted.items() if number > 1)}
    for group in groups:
        for column in group.map.columns:
            evidence.setdefault(column, Evidence())
        for source in group.sources:
            with reading(source, group.map.kind):
                for name, array in _cells(source, group.map, looked_at):
                    evidence[name].add(array)
    names = _common_names(evidence)
    keys = (key,) if isinstance(key, str) else tuple(key)
    _require(names, [*keys, *([label] if label else [])])
    columns = {
        names[column]: _column(column, seen, label or "", keys) for column, seen in evidence.items()
    }
    return {
        "name": groups[0].name,
        **({"key": [names[column] for column in keys]} if keys else {}),
        **({"label": names[label]} if label else {}),
        "columns": columns,
        "sources": {group.name: _source(group.map, names, columns, evidence) for group in groups},
    }


def _groups(sources: Sequence[str]) -> list[Group]:
    groups: dict[Any, Group] = {}
    for source in sources:
        for file in [source] if is_database(source) else list_files(source):
            kind = "sql" if is_database(file) else kind_of(file)
            with reading(file, kind):
                maps = _table_maps(file) if kind == "sql" else [_file_map(file, kind)]
            for each in maps:
                same = (each.kind, each.table, each.separator, each.encoding, *each.columns)
                if same not in groups:
                    made = replace(each, priority=len(groups))
                    groups[same] = Group(name=each.name, map=made)
                groups[same].sources.append(file)
    return _named(list(groups.values()))


def _named(groups: list[Group]) -> list[Group]:
    """The groups with names of their own: their only file's or their folder's, or their table's."""
    named: list[Group] = []
    for group in groups:
        name = group.map.name
        folder = name_of(group.sources[0].rpartition("/")[0])
        if len(group.sources) > 1 and group.map.kind != "sql" and folder:
            name = folder
        name = _unused(name, [each.name for each in named])
        named.append(replace(group, name=name, map=replace(group.map, name=name)))
    return named


def _file_map(file: str, kind: str) -> SourceMap:
    """The map that reads every column of a file."""
    name = Path(name_of(file)).name.split(".")[0] or kind
    bare = SourceMap(name=name, priority=0, fields={}, kind=kind)
    if kind != "parquet":
        bare = replace(bare, encoding=byte_order(file) or "utf-8")
    if kind == "csv":
        line, _ = first_line(file, bare.encoding, b'"')
        bare = replace(bare, separator=max(SEPARATORS, key=line.count))
    return _reading(bare, file, columns_of(file, kind, bare))


def _table_maps(source: str) -> list[SourceMap]:
    """The maps that read every column of each table of a database."""
    maps = []
    with open_database(source) as connection:
        for table in sql_tables(connection):
            bare = SourceMap(name=table, priority=0, fields={}, kind="sql", table=table)
            maps.append(_reading(bare, source, sql_columns(connection, bare, table)))
    if not maps:
        raise SourceError(f"source {database_name(source)} has no tables; give another database")
    return maps


def _reading(bare: SourceMap, source: str, columns: Sequence[str]) -> SourceMap:
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice or not columns:
        what = f"has the columns {', '.join(twice)} twice" if twice else "has no columns"
        raise SourceError(f"source {name_of(source)} {what}; give each column a name of its own")
    return replace(bare, fields={column: Field(column=column) for column in columns if column})


def _cells(
    source: str, source_map: SourceMap, looked_at: Container[str]
) -> Iterator[tuple[str, pa.Array]]:
    """All cells of a source, column by column.

    Of numbers in Parquet files their type is enough, except for columns to be ``looked_at``.
    """
    if source_map.kind == "parquet":
        wanted = {}
        for name, kind in parquet_types(source).items():
            simple = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            if name in source_map.fields and (not simple or name in looked_at):
                wanted[name] = source_map.fields[name]
        if not wanted:
            return
        source_map = replace(source_map, fields=wanted)
    for batch in _all_batches(source, source_map):
        for name in source_map.columns:
            for chunk in batch.table.column(name).chunks:
                yield name, chunk


def _all_batches(source: str, source_map: SourceMap) -> Iterator[Batch]:
    kind, columns, table, by = source_map.kind, source_map.columns, source_map.table, ""
    if kind == "sql":
        with open_database(source) as connection:
            by, spans = sql_spans(connection, source_map, table)
    else:
        spans = spans_of(source, kind, source_map)
    for span in spans:
        yield from batches_of(source, kind, columns, source_map, span, table=table, by=by)


def _common_names(columns: Mapping[str, Any]) -> dict[str, str]:
    """A name for each source's column: its own, without an underscore in front."""
    names: dict[str, str] = {}
    for column in columns:
        names[column] = _unused(column.lstrip("_") or "column", list(names.values()))
    return names


def _column(column: str, seen: Evidence, label: str, keys: Sequence[str]) -> dict[str, Any]:
    if column == label:
        names = seen.category_names()
        if not names or (len(names) > 64 and seen.is_number) or seen.is_date:
            raise SettingError(
                f"label {column!r} holds {len(names) if names else 'too many or no'} values; "
                "choose a column with few, or write a specification with thresholds: above = [...]"
            )
        return {"kind": "category", "names": names}
    if seen.is_number:
        return {"kind": "number"}
    if seen.is_date:
        return {"kind": "number", "unit": "day", "description": "days since 1970"}
    if seen.has_few_names and column not in keys:
        return {"kind": "category", "names": seen.category_names()}
    return {"kind": "text"}


def _source(
    source_map: SourceMap,
    names: Mapping[str, str],
    columns: Mapping[str, Mapping[str, Any]],
    evidence: Mapping[str, Evidence],
) -> dict[str, Any]:
    values: dict[str, Any] = {"kind": source_map.kind}
    if source_map.table:
        values["table"] = source_map.table
    if source_map.separator != ",":
        values["separator"] = source_map.separator
    if source_map.encoding != "utf-8":
        values["encoding"] = source_map.encoding
    values["fields"] = {
        names[column]: _field(column, columns[names[column]], evidence[column])
        for column in source_map.columns
    }
    return values


def _field(column: str, common: Mapping[str, Any], seen: Evidence) -> dict[str, Any]:
    values: dict[str, Any] = {"column": column}
    number = common["kind"] == "number"
    if number and seen.has_comma:
        values["decimal"] = ","
    if number and "unit" in common:
        values["date"] = "iso"
    marks = seen.missing_marks(of_numbers=number)
    if marks:
        values["missing"] = marks
    return values


def _require(names: Mapping[str, str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SettingError(
                f"there is no column {name!r} to be label or key; {hint}The columns are "
                f"{', '.join(names)}"
            )


def _unused(name: str, used: Sequence[str]) -> str:
    number, free = 2, name
    while free in used:
        free = f"{name}_{number}"
        number += 1
    return free
