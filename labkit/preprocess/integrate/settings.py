"""What the integration of sources is told; the defaults work for any data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from labkit.errors import SettingError
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.step import read_settings

Duplicates = Literal["drop", "keep"]
Ratio = Literal["letters", "words"]

NUMBER_TOLERANCE = 1e-6  # relative; units that were converted differ in the last bits
NUMBERS_AGREE = 0.02  # relative difference of two numbers that may be of the same thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """How much one column says about whether two rows describe the same thing.

    Attributes:
        weight: of this column in the mean of all, > 0.
        tolerance: numbers only: up to this relative difference they are as good as equal; from
            twice of it on they have nothing in common.
        ratio: texts only: ``letters`` compares them as they stand, ``words`` in any order.
    """

    weight: float = 1.0
    tolerance: float = NUMBERS_AGREE
    ratio: Ratio = "letters"

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise SettingError(f"weight {self.weight} of a comparison; choose one above 0")
        _require_relative("tolerance of a comparison", self.tolerance)
        if self.ratio not in get_args(Ratio):
            raise SettingError(f"ratio {self.ratio!r}; choose from {', '.join(get_args(Ratio))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSettings:
    """How rows without a key find the thing that they describe.

    Attributes:
        block: columns in which rows must be equal to be compared at all.
        compare: by column, how the rest is compared.
        threshold: least score of the same thing, the weighted mean of the similarities, above 0
            and up to 1.
        least_evidence: share of the weights that must be known in both rows.
        greatest_block: rows; larger blocks are not compared, as pairs grow with the square.
    """

    block: tuple[str, ...]
    compare: Mapping[str, Compare]
    threshold: float = 0.9
    least_evidence: float = 0.5
    greatest_block: int = 5000

    def __post_init__(self) -> None:
        if isinstance(self.block, str):
            object.__setattr__(self, "block", (self.block,))
        if not self.block or not self.compare:
            raise SettingError("matching needs columns in 'block' and columns in 'compare'")
        compare = {
            name: _read(Compare, each, f"[integration.match.compare.{name}]")
            for name, each in self.compare.items()
        }
        object.__setattr__(self, "compare", compare)
        for name in ("threshold", "least_evidence"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise SettingError(f"{name} {value} of matching; choose one above 0, up to 1")
        if self.greatest_block < 2:
            raise SettingError(
                f"greatest_block {self.greatest_block}; two rows are needed to compare"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupSettings:
    """A small table that adds columns to the rows, such as the weather of an airport's hour.

    Attributes:
        on: by column of ours, the column of the table that must be equal; names alone where both
            are called the same.
        columns: of the table, declared as in ``[columns]``; those that are not in ``on`` are
            added.
        prefix: before the names of the added columns.
        source: how the table is read, as in ``[sources.NAME]``.
    """

    on: Mapping[str, str]
    columns: tuple[Column, ...]
    prefix: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        on: Any = (self.on,) if isinstance(self.on, str) else self.on
        on = dict(on) if isinstance(on, Mapping) else {name: name for name in on}
        object.__setattr__(self, "on", on)
        if isinstance(self.columns, Mapping):
            columns = tuple(
                read_settings(Column, {"name": name, **each}, f"[lookup columns.{name}]")
                for name, each in self.columns.items()
            )
            object.__setattr__(self, "columns", columns)
        names = [column.name for column in self.columns]
        unknown = [name for name in on.values() if name not in names]
        if not on or unknown:
            raise SettingError(
                f"a lookup is joined on {', '.join(on.values()) or 'nothing'}, but its columns "
                f"are {', '.join(names) or 'not declared'}"
            )
        if not self.added:
            raise SettingError("a lookup adds no column; declare one that is not in 'on'")

    @property
    def schema(self) -> Schema:
        """What a row of the table is."""
        return Schema(columns=self.columns)

    @property
    def added(self) -> tuple[str, ...]:
        """The table's columns that are added, by its own names."""
        return tuple(c.name for c in self.columns if c.name not in self.on.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationSettings:
    """How rows of several sources become one table.

    Attributes:
        duplicates: ``drop`` leaves one row of a thing, filled from its repeats; ``keep`` keeps
            the rows that repeat within a source: the n-th row of a thing in one source is then
            merged with its n-th row in the others.
        tolerance: by number column, the relative difference up to which sources agree; 1e-6
            where nothing is said. Categories and texts agree when they are equal.
        require_label: set rows aside that no source knows the class of; without effect where the
            schema has no label.
        lookups: small tables to join, by name.
        match: how rows without a key find their thing; ``None`` for not at all.
    """

    duplicates: Duplicates = "drop"
    tolerance: Mapping[str, float] = field(default_factory=dict)
    require_label: bool = True
    lookups: Mapping[str, LookupSettings] = field(default_factory=dict)
    match: MatchSettings | None = None

    def __post_init__(self) -> None:
        if self.duplicates not in get_args(Duplicates):
            raise SettingError(
                f"duplicates {self.duplicates!r}; choose from {', '.join(get_args(Duplicates))}"
            )
        if not isinstance(self.require_label, bool):
            raise SettingError(f"require_label {self.require_label!r}; choose true or false")
        for name, value in self.tolerance.items():
            _require_relative(f"tolerance of {name}", value)
        lookups = {
            name: _read(LookupSettings, each, f"[integration.lookups.{name}]")
            for name, each in self.lookups.items()
        }
        object.__setattr__(self, "lookups", lookups)
        if self.match is not None:
            match = _read(MatchSettings, self.match, "[integration.match]")
            object.__setattr__(self, "match", match)

    def check(self, schema: Schema) -> None:
        """See that every column that is named here is one of the schema's.

        Raises:
            SettingError: a column that is not there, or of a kind that cannot be treated so.
        """
        _require_columns("tolerance", self.tolerance, schema.numbers, "number columns")
        names = tuple(column.name for column in schema.columns)
        if self.match is not None:
            _require_columns("match.block", self.match.block, names, "columns")
            _require_columns("match.compare", self.match.compare, names, "columns")

    def tolerance_of(self, column: Column) -> float:
        """Relative difference up to which sources agree on a column."""
        default = NUMBER_TOLERANCE if column.kind == "number" else 0.0
        return self.tolerance.get(column.name, default)


def _read(cls: type[Any], values: Any, where: str) -> Any:
    """A nested setting, from plain values if it is not one yet."""
    if isinstance(values, cls):
        return values
    if not isinstance(values, Mapping):
        raise SettingError(f"{where} is {values!r}; give it as a table of settings")
    return read_settings(cls, values, where)


def _require_relative(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise SettingError(f"{name} is {value!r}; choose a relative difference from 0 to below 1")


def _require_columns(where: str, names: Any, known: tuple[str, ...], kind: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingError(
            f"[integration] {where} names {', '.join(unknown)}, but the {kind} are "
            f"{', '.join(known) or 'none'}"
        )
