"""Step 2, integration: one row a thing, whatever sources describe it and however often.

For each column the first source that has a value is believed, in the order of the sources'
priority. Where sources contradict each other this is counted as a conflict. A thing that no source
knows the class of cannot be learned from: it is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.integrate.aside import describe_rows, save_set_aside
from labkit.preprocess.integrate.keys import changes, is_missing
from labkit.preprocess.integrate.runs import Runs, first_present, order_by_thing, runs_of
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.schema import KEY, MISSING, SOURCE, Column, Schema, label_codes, numbers_of

__all__ = ["Resolved", "count_conflicts", "resolve", "save_set_aside"]

NO_CLASS = "no source names the class"
MOST_SOURCES = 62  # whose combinations are counted: one bit of an int64 each


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """One bucket after its rows met.

    Attributes:
        frame: a row a thing, by key; things of equal key, whose hash is the same by chance,
            stand one after the other.
        set_aside: rows without a class and why, as ``save_set_aside`` takes them.
        counts: ``rows``, ``things``, ``duplicates`` (rows of a thing beyond its first in one
            source), ``repeats kept``, ``merged`` (rows of further sources), ``set aside``,
            ``conflicts: COLUMN``. ``rows == things + set aside + duplicates + merged``.
        provenance: what came from where: ``rows: SOURCE``, ``known by: SOURCES``, and
            ``from: COLUMN: SOURCE`` values of the things that stay.
    """

    frame: pd.DataFrame
    set_aside: pd.DataFrame
    counts: Mapping[str, int] = field(default_factory=dict)
    provenance: Mapping[str, int] = field(default_factory=dict)


def resolve(
    frame: pd.DataFrame,
    *,
    schema: Schema,
    settings: IntegrationSettings,
    sources: Sequence[str],
) -> Resolved:
    """One bucket's rows, a row a thing.

    Args:
        frame: all rows of the bucket, in the order in which the sources hold them.
        sources: names, in the order of their priority.
    """
    rows, starts, repeats = group_rows(frame, schema, settings)
    runs = runs_of(starts, len(rows))
    kept_repeats = settings.duplicates == "keep"
    duplicates = 0 if kept_repeats else int(repeats.sum())
    counts = {
        "rows": len(rows),
        "duplicates": duplicates,
        "repeats kept": int(repeats.sum()) if kept_repeats else 0,
        "merged": len(rows) - len(starts) - duplicates,
    }
    said_by = rows[SOURCE].to_numpy()
    columns: dict[str, Any] = {KEY: rows[KEY].to_numpy()[starts], SOURCE: said_by[starts]}
    places: dict[str, NDArray[np.intp]] = {}
    for column in schema.columns:
        values = rows[column.name]
        place = first_present(~is_missing(values, column), runs)
        columns[column.name] = _take(values, place, column)
        places[column.name] = place
        conflicts = count_conflicts(values, column, runs, settings.tolerance_of(column))
        counts[f"conflicts: {column.name}"] = conflicts
    things = pd.DataFrame(columns)
    kept = np.ones(len(things), dtype=bool)
    if settings.require_label and schema.label:
        kept = label_codes(things, schema) != MISSING
    counts |= {"things": int(kept.sum()), "set aside": int((~kept).sum())}
    return Resolved(
        frame=things if kept.all() else things[kept].reset_index(drop=True),
        set_aside=describe_rows(things[~kept], schema, sources, NO_CLASS),
        counts=counts,
        provenance=_provenance(said_by, runs, places, kept, sources),
    )


def group_rows(
    frame: pd.DataFrame, schema: Schema, settings: IntegrationSettings
) -> tuple[pd.DataFrame, NDArray[np.intp], NDArray[np.bool_]]:
    """Rows of the same thing side by side, the most trusted source first.

    Returns:
        The rows in order, (things,) where each thing starts, and (rows,) which rows repeat an
        earlier one of the same thing and source.
    """
    keys, said_by = frame[KEY].to_numpy(), frame[SOURCE].to_numpy()
    order = order_by_thing(keys, said_by)
    keys, said_by = keys[order], said_by[order]
    rows = frame.take(order).reset_index(drop=True)
    apart = np.zeros(len(rows), dtype=np.int64)
    if schema.key or settings.match is None:  # else keys say what resembles, not what is equal
        apart = _unlike(rows, keys, schema)
    if apart.any():
        # by thing within the key, in the order in which each is first met
        order = np.lexsort((said_by, apart, keys))
        keys, said_by, apart = keys[order], said_by[order], apart[order]
        rows = rows.take(order).reset_index(drop=True)
    new_thing = changes(keys, apart)
    new_source = new_thing | changes(said_by)
    if settings.duplicates == "keep" and not new_source.all():
        # the n-th row of a thing in each source
        places = np.arange(len(rows))
        repeat = places - np.maximum.accumulate(np.where(new_source, places, 0))
        order = np.lexsort((said_by, repeat, np.cumsum(new_thing)))
        rows = rows.take(order).reset_index(drop=True)
        new_thing = changes(np.cumsum(new_thing)[order], repeat[order])
        return rows, np.flatnonzero(new_thing), repeat[order] > 0
    return rows, np.flatnonzero(new_thing), ~new_source


def _unlike(rows: pd.DataFrame, keys: NDArray[np.int64], schema: Schema) -> NDArray[np.int64]:
    """(rows,) 0, or a number that tells rows apart whose key is equal only by chance.

    What a key was made from is the key columns, or all columns where there is no key. A row that
    lacks a key column was matched by similarity and agrees with every key.
    """
    apart = np.zeros(len(rows), dtype=np.int64)
    runs = runs_of(np.flatnonzero(changes(keys)), len(rows))
    if not len(runs.many):
        return apart
    names = schema.key or tuple(column.name for column in schema.columns)
    known = {name: ~is_missing(rows[name], schema.column(name)) for name in names}
    told = np.ones(len(rows), dtype=bool)  # rows whose identity is known
    if schema.key:
        told = np.logical_and.reduce(list(known.values()))
    sizes = np.diff(runs.offsets, append=len(runs.rows))
    first = np.repeat(first_present(told, runs)[runs.many], sizes)
    told = told[runs.rows]
    unlike = np.zeros(len(runs.rows), dtype=bool)
    for name, present in known.items():
        values = rows[name].to_numpy()
        here, there = present[runs.rows], present[first]
        unlike |= told & ((here != there) | (here & (values[runs.rows] != values[first])))
    for key in np.unique(keys[runs.rows[unlike]]):  # hardly ever one
        start, stop = np.searchsorted(keys, key), np.searchsorted(keys, key, side="right")
        apart[start:stop] = _numbered(rows.iloc[start:stop], names, schema)
    return apart


def _numbered(rows: pd.DataFrame, names: Sequence[str], schema: Schema) -> list[int]:
    """A number for each different content, in the order in which it is first met."""
    missing = [is_missing(rows[name], schema.column(name)) for name in names]
    fits_all = np.logical_or.reduce(missing) & bool(schema.key)
    numbers: dict[str, int] = {}
    contents = rows[list(names)].itertuples(index=False, name=None)
    return [
        0 if fits else numbers.setdefault(repr(content), len(numbers))
        for fits, content in zip(fits_all, contents, strict=True)
    ]


def _take(values: pd.Series, place: NDArray[np.intp], column: Column) -> NDArray[Any]:
    """(things,) the values at those places, missing where the place is -1."""
    taken: NDArray[Any]
    if column.kind == "number":
        taken = numbers_of(values)[place]
        taken[place < 0] = np.nan
    elif column.kind == "category":
        taken = values.to_numpy(dtype=np.int32)[place]
        taken[place < 0] = MISSING
    else:
        taken = values.to_numpy(dtype=object)[place]
        taken[place < 0] = None
    return taken


def count_conflicts(values: pd.Series, column: Column, runs: Runs, tolerance: float) -> int:
    """Things whose rows differ by more than the tolerance, relative to the larger value."""
    if not len(runs.many):
        return 0
    if column.kind == "number":
        numbers = numbers_of(values)[runs.rows]
    else:
        some = values.to_numpy()[runs.rows]
        codes = pd.factorize(some)[0] if column.kind == "text" else some
        numbers = np.where(codes < 0, np.nan, codes)
    greatest = np.fmax.reduceat(numbers, runs.offsets)
    least = np.fmin.reduceat(numbers, runs.offsets)
    size = np.maximum(np.abs(greatest), np.abs(least))
    return int((greatest - least > tolerance * size).sum())  # NaN compares as False


def _provenance(
    said_by: NDArray[np.int8],
    runs: Runs,
    places: Mapping[str, NDArray[np.intp]],
    kept: NDArray[np.bool_],
    sources: Sequence[str],
) -> dict[str, int]:
    """Rows and values by source, and things by the sources that know them."""
    arrived = np.bincount(said_by, minlength=len(sources))
    found = {f"rows: {name}": int(arrived[at]) for at, name in enumerate(sources)}
    for column, place in places.items():
        used = place[kept & (place >= 0)]
        values = np.bincount(said_by[used], minlength=len(sources))
        for at, name in enumerate(sources):
            found[f"from: {column}: {name}"] = int(values[at])
    if len(runs.starts) and len(sources) <= MOST_SOURCES:
        bits = np.left_shift(np.int64(1), said_by.astype(np.int64))
        known_by = bits[runs.starts]
        if len(runs.many):
            known_by[runs.many] = np.bitwise_or.reduceat(bits[runs.rows], runs.offsets)
        for mask, number in zip(*np.unique(known_by[kept], return_counts=True), strict=True):
            names = [name for at, name in enumerate(sources) if int(mask) >> at & 1]
            found[f"known by: {', '.join(names)}"] = int(number)
    return found
