"""The common columns that every source is brought to.

In memory a part of the rows is a pandas frame: numbers are float64 with NaN where missing,
categories int32 codes with ``MISSING``, texts Python strings with ``None``. Two columns of our own
stand before them: ``KEY``, which thing a row describes, and ``SOURCE``, who said so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SettingError

if TYPE_CHECKING:  # ranks read shards, and need no frames
    import pandas as pd

KEY = "_key"  # int64: rows with the same key describe the same thing
SOURCE = "_source"  # int8: priority of the source, 0 is believed first
MISSING = -1  # code of a category that is not known

Kind = Literal["number", "category", "text"]
KINDS: tuple[Kind, ...] = ("number", "category", "text")

MAX_PARTS = 64
MIN_PART_ROWS = 4096
MAX_PART_ROWS = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One common column.

    Attributes:
        name: as in reports; units of numbers stand in it by habit (``diameter_cm``).
        kind: ``number``, ``category`` or ``text`` (compared, never computed with).
        unit: of a number, as pint writes it; empty for none.
        names: of a category, in the order of the codes.
        least, greatest: what is possible at all; rows beyond are set aside when they are checked.
        description: for people.
    """

    name: str
    kind: Kind = "number"
    unit: str = ""
    names: tuple[str, ...] = ()
    least: float | None = None
    greatest: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith("_"):
            raise SettingError(
                f"column {self.name!r}: a name must not be empty or begin with an underscore"
            )
        if self.kind not in KINDS:
            raise SettingError(
                f"column {self.name!r}: kind {self.kind!r}; choose from {', '.join(KINDS)}"
            )
        if len(set(self.names)) != len(self.names):
            raise SettingError(f"column {self.name!r} names a category twice: {self.names}")
        if self.kind != "category" and self.names:
            raise SettingError(
                f"column {self.name!r} is a {self.kind} but has names; make it a category"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a row is.

    Attributes:
        columns: in the order of reports.
        key: columns that say which thing a row describes; empty: a row is what it holds, so rows
            that are equal in every column are the same.
        label: the category to be learned; empty for none.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingError(f"columns are declared twice: {', '.join(twice)}")
        unknown = [name for name in (*self.key, self.label) if name and name not in names]
        if unknown:
            raise SettingError(
                f"key or label names {', '.join(unknown)}, but the columns are {', '.join(names)}"
            )
        if self.label and self.column(self.label).kind != "category":
            raise SettingError(
                f"label {self.label!r} is a {self.column(self.label).kind}; choose a category, or "
                "a number with the thresholds that make classes of it"
            )

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """Names of the columns of one kind, in order."""
        return tuple(column.name for column in self.columns if column.kind == kind)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the number columns."""
        return self.of_kind("number")

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Names of the categories of each category column."""
        return {column.name: column.names for column in self.columns if column.kind == "category"}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes to be learned, in the order of their codes; empty without a label."""
        return self.column(self.label).names if self.label else ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """The schema that ``to_dict`` wrote."""
        columns = tuple(
            Column(**{**each, "names": tuple(each["names"])}) for each in values["columns"]
        )
        return cls(columns=columns, key=tuple(values["key"]), label=values["label"])


def rows_per_part(num_rows: int) -> int:
    """Rows that make a part of a table: set by the data alone, never by the number of workers.

    Results that depend on where sums are cut stay the same on any cluster this way.
    """
    return min(max(MIN_PART_ROWS, -(-num_rows // MAX_PARTS)), MAX_PART_ROWS)


def column_values(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(rows,) one number column as float64, NaN where missing; not to be changed."""
    return numbers_of(frame[column])


def numbers_of(values: pd.Series) -> NDArray[np.float64]:
    """(rows,) numbers as float64, NaN where missing; not copied where they are that already."""
    numbers: NDArray[np.float64]
    if values.dtype == np.float64:
        numbers = values.to_numpy()
    else:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def label_codes(frame: pd.DataFrame, schema: Schema) -> NDArray[np.int32]:
    """(rows,) class codes, ``MISSING`` where not known, and everywhere without a label."""
    if not schema.label:
        return np.full(len(frame), MISSING, dtype=np.int32)
    codes: NDArray[np.int32] = frame[schema.label].to_numpy(dtype=np.int32)
    return codes


def add_counts(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts of all parts together, by name, in the order in which names are first seen."""
    total: dict[str, int] = {}
    for part in counts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total
