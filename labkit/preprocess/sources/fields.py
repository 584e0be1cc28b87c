"""How one common column is made from a source's column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from labkit.errors import SettingError
from labkit.preprocess.schema import Column
from labkit.preprocess.sources.names import fold, name_codes
from labkit.preprocess.sources.units import conversion

DECIMALS = (".", ",", "either")
DATE_PARTS = ("", "year", "month", "day", "weekday", "day_of_year", "hour")


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
        date: how dates are written, as for ``strptime``, or ``"iso"``; they become the time since
            1970 in the common column's unit, else in ``unit``, else in days.
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


def checked_field(where: str, made: Field, column: Column, units: tuple[str, ...]) -> Field:
    """The field with its conversion, if it makes sense for the column.

    Args:
        where: names the place in messages.
        made: as it was declared.
        column: the common column.
        units: pint definitions.
    Raises:
        SettingError: it does not make sense; says why.
    """
    if column.kind == "number":
        _require_unset(where, made, column, ("codes", "spellings", "above"))
        if made.date and not made.part:  # counted in days first, whatever the unit
            unit = column.unit or made.unit or "day"
            return replace(made, factor=conversion("day", unit, units, where).factor)
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
