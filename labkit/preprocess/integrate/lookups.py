"""Joining small tables, which have one row for each value of what they are joined on.

The weather of each airport and hour, the plane of each tail number. Rows keep their number and
order. A row that the table knows nothing of, or that lacks what it is joined on, gets missing
values; where our rows have the column already, only its gaps are filled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SettingError, SourceError
from labkit.preprocess.integrate.keys import is_missing
from labkit.preprocess.integrate.settings import LookupSettings
from labkit.preprocess.schema import MISSING, Column, Schema

DTYPES = {"number": np.float64, "category": np.int32, "text": object}
NOTHING = {"number": np.nan, "category": MISSING, "text": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A small table, ready to be joined to rows of one schema; a fitted step.

    Attributes:
        name: for messages and the report.
        frame: the table's rows, in the columns of ``settings``.
        settings: how it is joined.
        schema: of the rows before the join.
    Raises:
        SettingError: columns that cannot be joined or added so.
        SourceError: the table has two rows for one value; says which.
    """

    name: str
    frame: pd.DataFrame
    settings: LookupSettings
    schema: Schema

    def __post_init__(self) -> None:
        ours = [column.name for column in self.schema.columns]
        for name, theirs in self.settings.on.items():
            if name not in ours:
                raise SettingError(
                    f"lookup {self.name} is joined on {name}, but the columns are {', '.join(ours)}"
                )
            mine, table = self.schema.column(name), self.settings.schema.column(theirs)
            if (mine.kind == "number") != (table.kind == "number") or mine.unit != table.unit:
                raise SettingError(
                    f"lookup {self.name} joins {_what(mine)} on {_what(table)}; declare both alike"
                )
        for column in self.added:
            mine = self.schema.column(column.name) if column.name in ours else column
            if (mine.kind, mine.unit) != (column.kind, column.unit):
                raise SettingError(
                    f"lookup {self.name} adds {_what(column)}, but the rows have {_what(mine)}; "
                    "declare both alike, or choose a prefix"
                )
        self._require_one_row_each()

    @property
    def added(self) -> tuple[Column, ...]:
        """The columns that are added, by their names in our rows."""
        prefix, own = self.settings.prefix, self.settings.schema
        return tuple(
            replace(own.column(name), name=f"{prefix}{name}") for name in self.settings.added
        )

    @property
    def schema_after(self) -> Schema:
        """The schema of the rows after the join; new categories follow those that were there."""
        columns = {column.name: column for column in self.schema.columns}
        for column in self.added:
            mine = columns.get(column.name, column)
            names = tuple(dict.fromkeys((*mine.names, *column.names)))
            columns[column.name] = replace(mine, names=names)
        return replace(self.schema, columns=tuple(columns.values()))

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows with the table's columns."""
        return self.join(frame, self.find(frame))

    def join(self, frame: pd.DataFrame, place: NDArray[np.intp]) -> pd.DataFrame:
        """The rows with the table's columns, from the places that ``find`` found."""
        after = self.schema_after
        joined = {}
        for theirs, column in zip(self.settings.added, self.added, strict=True):
            taken = self._values(theirs, after.column(column.name))[place]
            if column.name in frame.columns:
                mine = frame[column.name]
                taken = np.where(is_missing(mine, column), taken, mine.to_numpy())
            joined[column.name] = pd.Series(taken, index=frame.index, dtype=DTYPES[column.kind])
        return frame.assign(**joined)

    def find(self, frame: pd.DataFrame) -> NDArray[np.intp]:
        """(rows,) place of each row's partner in the table, -1 where there is none."""
        table, rows = self._joint_codes(frame)
        partner = np.full(int(table.max(initial=-1)) + 2, -1)  # the last is that of code -1
        partner[table[table >= 0]] = np.flatnonzero(table >= 0)
        return partner[rows]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        own = self.settings.schema
        return {
            "name": self.name,
            "schema": self.schema.to_dict(),
            "columns": own.to_dict()["columns"],
            "on": dict(self.settings.on),
            "prefix": self.settings.prefix,
            "rows": {column.name: _plain(self.frame[column.name]) for column in own.columns},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Lookup:
        """The lookup that ``to_dict`` wrote."""
        own = Schema.from_dict({"columns": values["columns"], "key": (), "label": ""})
        rows = {
            each.name: pd.Series(values["rows"][each.name], dtype=DTYPES[each.kind])
            for each in own.columns
        }
        return cls(
            name=values["name"],
            frame=pd.DataFrame(rows),
            settings=LookupSettings(on=values["on"], columns=own.columns, prefix=values["prefix"]),
            schema=Schema.from_dict(values["schema"]),
        )

    def _joint_codes(self, frame: pd.DataFrame | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """A code for all values that are joined on together: of the table's rows, of ours.

        Equal values have equal codes; -1 where one is missing or not in the table.
        """
        table = np.zeros(len(self.frame), dtype=np.intp)
        rows = np.zeros(0 if frame is None else len(frame), dtype=np.intp)
        for ours, theirs in self.settings.on.items():
            column = self.settings.schema.column(theirs)
            known = _distinct(self.frame[theirs], column)
            in_table = _codes(self.frame[theirs], column, known)
            in_rows = rows
            if frame is not None:
                in_rows = _codes(frame[ours], self.schema.column(ours), known)
            both = np.where((table < 0) | (in_table < 0), -1, table * len(known) + in_table)
            mine = np.where((rows < 0) | (in_rows < 0), -1, rows * len(known) + in_rows)
            # numbered anew after each column, so that they stay below the square of the rows
            seen = pd.Index(np.unique(both[both >= 0]))
            table, rows = seen.get_indexer(both), seen.get_indexer(mine)
        return table, rows

    def _values(self, name: str, column: Column) -> NDArray[Any]:
        """(table rows + 1,) values, in the codes of ``column``; the last is missing."""
        values = self.frame[name]
        found: NDArray[Any] = np.empty(len(values) + 1, dtype=DTYPES[column.kind])
        if column.kind == "category":
            names = self.settings.schema.column(name).names
            recoded = np.array([*map(column.names.index, names), MISSING], dtype=np.int32)
            found[:-1] = recoded[values.to_numpy()]
        else:
            found[:-1] = values.to_numpy()
        found[-1] = NOTHING[column.kind]
        return found

    def _require_one_row_each(self) -> None:
        table, _ = self._joint_codes(None)
        twice = pd.Series(table).duplicated().to_numpy() & (table >= 0)
        if twice.any():
            row = self.frame.iloc[int(np.flatnonzero(twice)[0])]
            columns = [self.settings.schema.column(name) for name in self.settings.on.values()]
            example = ", ".join(f"{each.name} = {_shown(row[each.name], each)}" for each in columns)
            raise SourceError(
                f"lookup {self.name} has {int(twice.sum())} rows too many: more than one for "
                f"{example}; keep one row for each value, or join on more columns"
            )


def join_tables(
    frame: pd.DataFrame, lookups: Sequence[Lookup]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows with the columns of all tables, one joined after the other.

    Returns:
        The rows, and how many each table matched: ``NAME: matched`` and ``NAME: unmatched``.
    """
    counts = {}
    for lookup in lookups:
        place = lookup.find(frame)
        frame = lookup.join(frame, place)
        matched = int((place >= 0).sum())
        counts[f"{lookup.name}: matched"] = matched
        counts[f"{lookup.name}: unmatched"] = len(frame) - matched
    return frame, counts


def join_counts(frame: pd.DataFrame, lookups: Sequence[Lookup]) -> dict[str, int]:
    """How many rows each table matches; see ``join_tables``."""
    return join_tables(frame, lookups)[1]


def _distinct(values: pd.Series, column: Column) -> pd.Index:
    """The values of a column, numbers or texts; categories by name."""
    index: pd.Index = pd.Index(column.names if column.kind == "category" else values.dropna())
    return index.unique()


def _codes(values: pd.Series, column: Column, known: pd.Index) -> NDArray[np.intp]:
    """(rows,) place of each value among the known ones, -1 where it is missing or not known."""
    if column.kind == "category":
        by_code = np.append(known.get_indexer(pd.Index(column.names)), -1)
        return np.asarray(by_code[values.to_numpy()])  # MISSING is the last
    return np.asarray(known.get_indexer(pd.Index(values)))


def _plain(values: pd.Series) -> list[Any]:
    objects = values.to_numpy(dtype=object, copy=True)
    objects[values.isna().to_numpy()] = None
    plain: list[Any] = objects.tolist()
    return plain


def _shown(value: Any, column: Column) -> str:
    return column.names[int(value)] if column.kind == "category" else str(value)


def _what(column: Column) -> str:
    return f"{column.name} ({column.kind}{', in ' + column.unit if column.unit else ''})"
