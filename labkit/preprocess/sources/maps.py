"""What the columns of a source mean: which becomes which common column, and how its cells are read.

A new source is a new ``[sources.NAME]`` in a specification; no code changes.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import Any, Literal

from labkit.errors import SettingError
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.names import fold, name_codes
from labkit.preprocess.sources.units import conversion, parse_unit, unit_registry
from labkit.preprocess.step import read_settings

SourceKind = Literal["parquet", "csv", "jsonl", "sql"]
KINDS: tuple[SourceKind, ...] = ("parquet", "csv", "jsonl", "sql")
DECIMALS = (".", ",", "either")
DATE_PARTS = ("", "year", "month", "day", "weekday", "day_of_year", "hour")
MAX_SOURCES = 127  # a priority is an int8


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """How one common column is made from a source's column.

    Attributes:
        column: its name in the source.
        unit: of the source's numbers; they are converted to the common column's.
        written_unit: cells are written with their unit, such as ``"7,5 cm"`` or ``"3 in"``; one
            without is in ``unit``, and unreadable if that is empty.
        codes: the source's value -> name of the category, or text that it stands for.
        spellings: name of a category -> other ways to write it; case, blanks and accents are
            ignored, and the name itself is always known.
        table: the source's text -> number; compared as spellings are.
        above: thresholds that make classes of a number: below or at the first is the first name
            of the category, above the last the last name.
        date: how dates are written, as for ``strptime``, or ``"iso"``; they become days since
            1970, or the time unit of the common column.
        part: of a date, instead of the days: year, month, day, weekday (Monday is 0), day_of_year
            or hour.
        pattern: a regular expression whose one group is what is read of a text.
        base: of the whole numbers in that group, 2 to 36.
        decimal: the sign before decimals: ``.``, ``,`` or ``either``; empty: as the source says.
        missing: further marks of a missing cell, beside the source's own.
        factor, offset: ours = factor * theirs + offset; found from the units.
    """

    column: str
    unit: str = ""
    written_unit: bool = False
    codes: Mapping[str, str] = field(default_factory=dict)
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    table: Mapping[str, float] = field(default_factory=dict)
    above: tuple[float, ...] = ()
    date: str = ""
    part: str = ""
    pattern: str = ""
    base: int = 10
    decimal: str = ""
    missing: tuple[str, ...] = ()
    factor: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.column:
            raise SettingError("column: name the source's column")
        if self.decimal not in ("", *DECIMALS):
            raise SettingError(f"decimal {self.decimal!r}; choose from {', '.join(DECIMALS)}")
        if self.part not in DATE_PARTS or (self.part and not self.date):
            raise SettingError(
                f"part {self.part!r} of a date; choose from {', '.join(DATE_PARTS[1:])}, and give "
                'date = "iso" or its format'
            )
        if list(self.above) != sorted(set(self.above)):
            raise SettingError(f"above {self.above}: thresholds must rise")
        if not 2 <= self.base <= 36:
            raise SettingError(f"base {self.base}; choose from 2 to 36")
        if self.pattern:
            _require_pattern(self.pattern)


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
    return _checked(where, made, schema.column(common), units)


def _checked(where: str, made: Field, column: Column, units: tuple[str, ...]) -> Field:
    """The field with its conversion, if it makes sense for the column."""
    if column.kind == "number":
        _require_unset(where, made, column, ("codes", "spellings", "above"))
        if made.date and not made.unit:
            made = replace(made, unit="day" if column.unit and not made.part else "")
        if made.unit and not column.unit:
            raise SettingError(
                f"{where} has unit {made.unit!r}, but the column has none; give [columns."
                f"{column.name}] a unit"
            )
        if made.written_unit and not column.unit:
            raise SettingError(
                f"{where} has written units; give [columns.{column.name}] the unit to convert to"
            )
        if made.unit:
            factor, offset = conversion(made.unit, column.unit, units, where)
            made = replace(made, factor=factor, offset=offset)
    elif column.kind == "text":
        _require_unset(where, made, column, ("spellings", "table", "above", "date", "unit"))
    elif made.above:
        if len(column.names) != len(made.above) + 1:
            raise SettingError(
                f"{where}: {len(made.above)} thresholds make {len(made.above) + 1} classes, but "
                f"{column.name} has {len(column.names)}: {', '.join(column.names) or 'none'}"
            )
    else:
        _require_unset(where, made, column, ("table", "date", "unit"))
        _check_names(where, made, column)
    return made


def _check_names(where: str, made: Field, column: Column) -> None:
    unknown = {*made.spellings, *made.codes.values()} - set(column.names)
    if unknown:
        raise SettingError(
            f"{where} names {', '.join(sorted(map(repr, unknown)))}, but {column.name} knows "
            f"{', '.join(column.names)}"
        )
    for spellings in made.spellings.values():
        for spelling in spellings:
            if len(name_codes(column.names, made.spellings, fold(spelling))) > 1:
                raise SettingError(f"{where}: spelling {spelling!r} stands for two names")


def _require_unset(where: str, made: Field, column: Column, names: tuple[str, ...]) -> None:
    used = [name for name in names if getattr(made, name)]
    if used:
        raise SettingError(
            f"{where}: {', '.join(used)} cannot be used for {column.name}, which is a {column.kind}"
        )


def _require_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SettingError(f"pattern {pattern!r} is no regular expression: {error}") from error
    if groups != 1:
        raise SettingError(f"pattern {pattern!r} has {groups} groups; put () around what is read")


def _texts(values: Any) -> tuple[str, ...]:
    """Marks and spellings as text, whether written as text or as numbers."""
    if isinstance(values, str):
        return (values,)
    return tuple(str(value) for value in values)
