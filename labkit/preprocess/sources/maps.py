"""What the columns of a source mean: which becomes which common column, and how its cells are read.

A new source is a new ``[sources.NAME]`` in a specification; no code changes.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any, Literal

from labkit.errors import SettingError
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources.fields import DECIMALS, Field, checked_field
from labkit.preprocess.sources.units import parse_unit, unit_registry
from labkit.preprocess.step import read_settings

__all__ = ["Field", "SourceMap", "read_source_maps"]

SourceKind = Literal["parquet", "csv", "jsonl", "sql"]
KINDS: tuple[SourceKind, ...] = ("parquet", "csv", "jsonl", "sql")
MAX_SOURCES = 127  # a priority is an int8


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMap:
    """One source: its kind, its place among the sources, and its columns.

    Attributes:
        name: as in the report.
        kind: parquet, csv, jsonl or sql; empty: any kind of file that has the columns.
        priority: 0 is believed first where sources differ.
        fields: by common column; a column that the source lacks is left out, and missing.
        match: pattern of the file or database names that the map is for, such as ``"20*.csv"``.
        table: SQL only: the table, ``schema.table`` where needed; empty: any that has the columns.
        query: SQL only: a SELECT instead of a table, to join code tables for instance.
        by: SQL only: column of whole numbers in the table or the query's result, by whose ranges
            the rows are read in parts; empty: the table's key.
        encoding: of text files.
        separator: of CSV cells; ``\\t`` for a tabulator.
        decimal: the sign before decimals in texts: ``.``, ``,`` or ``either``.
        missing: marks of a missing cell, as text, such as ``"NA"`` or ``"-999"``; an empty cell is
            always missing.
        units: pint definitions, for units that are written in the cells.
    """

    name: str
    priority: int
    fields: Mapping[str, Field]
    kind: str = ""
    match: str = ""
    table: str = ""
    query: str = ""
    by: str = ""
    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    missing: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("", *KINDS):
            raise SettingError(f"kind {self.kind!r}; choose from {', '.join(KINDS)}")
        if self.kind != "sql" and (self.table or self.query or self.by):
            raise SettingError(f"table, query and by are for kind sql, not {self.kind or 'files'}")
        if self.table and self.query:
            raise SettingError("table and query are both given; keep one")
        if self.decimal not in DECIMALS:
            raise SettingError(f"decimal {self.decimal!r}; choose from {', '.join(DECIMALS)}")
        if len(self.separator) != 1 or not self.separator.isascii() or self.separator in '"\r\n':
            raise SettingError(
                f"separator {self.separator!r}; give one character, such as ; or \\t"
            )
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise SettingError(
                f"encoding {self.encoding!r} is unknown; try utf-8, latin-1, cp1252 or utf-16"
            ) from error

    @property
    def columns(self) -> list[str]:
        """The source's columns that are read, without repeats."""
        return list(dict.fromkeys(each.column for each in self.fields.values()))

    def fits(self, kind: str, file_name: str) -> bool:
        """Whether the map may be for a source of that kind and name; columns are not looked at."""
        kinds = (self.kind,) if self.kind else KINDS[:3]
        return kind in kinds and (not self.match or fnmatch(file_name, self.match))


def read_source_maps(
    values: Mapping[str, Any], schema: Schema, units: tuple[str, ...] = ()
) -> tuple[SourceMap, ...]:
    """The maps that the ``[sources.NAME]`` entries of a specification describe.

    Args:
        values: by name of the source; ``fields`` maps each common column to a column's name, or to
            the settings of a ``Field``.
        schema: the common columns.
        units: pint definitions.
    Raises:
        SettingError: a column, unit or setting that is not there or does not fit; says which.
    """
    if len(values) > MAX_SOURCES:
        raise SettingError(f"{len(values)} sources are described; at most {MAX_SOURCES} can be")
    unit_registry(units) if units else None
    for column in schema.columns:
        if column.unit:
            parse_unit(column.unit, units, f"[columns.{column.name}]")
    maps = [
        _read_map(name, dict(entry), schema, units, priority)
        for priority, (name, entry) in enumerate(values.items())
    ]
    return tuple(sorted(maps, key=lambda each: each.priority))


def _read_map(
    name: str, entry: dict[str, Any], schema: Schema, units: tuple[str, ...], priority: int
) -> SourceMap:
    where = f"[sources.{name}]"
    given = entry.pop("fields", None)
    if not given:
        raise SettingError(f"{where} lacks fields; say which of its columns is which of ours")
    if "kind" not in entry and ("query" in entry or "table" in entry):
        entry["kind"] = "sql"
    columns = {
        common: _read_field(f"{where} fields.{common}", common, each, schema, units)
        for common, each in given.items()
    }
    entry = {"priority": priority, **entry, "name": name, "fields": columns, "units": units}
    entry["missing"] = _texts(entry.get("missing", ()))
    try:
        return read_settings(SourceMap, entry, where)
    except SettingError as error:
        raise error if where in str(error) else SettingError(f"{where} {error}") from error


def _read_field(
    where: str, common: str, given: Any, schema: Schema, units: tuple[str, ...]
) -> Field:
    names = [column.name for column in schema.columns]
    if common not in names:
        near = get_close_matches(common, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SettingError(
            f"{where}: there is no column {common!r}; {hint}The columns are {', '.join(names)}"
        )
    entry = {"column": given} if isinstance(given, str) else dict(given)
    allowed = [each.name for each in fields(Field) if each.name not in ("factor", "offset")]
    unknown = [name for name in entry if name not in allowed]
    if unknown:
        raise SettingError(
            f"{where} has no setting {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(allowed)}"
        )
    entry["missing"] = _texts(entry.get("missing", ()))
    tables: Mapping[str, Any] = {
        name: entry.get(name, {}) for name in ("codes", "spellings", "table")
    }
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise SettingError(f"{where}: {name} is {table!r}; write it as {{ value = ... }}")
    entry["codes"] = {str(code): str(name) for code, name in tables["codes"].items()}
    entry["spellings"] = {name: _texts(more) for name, more in tables["spellings"].items()}
    try:
        made = read_settings(Field, entry, where)
    except SettingError as error:
        raise error if where in str(error) else SettingError(f"{where}: {error}") from error
    return checked_field(where, made, schema.column(common), units)


def _texts(values: Any) -> tuple[str, ...]:
    """Marks and spellings as text, whether written as text or as numbers."""
    if isinstance(values, str):
        return (values,)
    return tuple(str(value) for value in values)
