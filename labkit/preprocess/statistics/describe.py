"""Step 1, statistics: what the sources hold, as read, before anything is changed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SettingError
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import Column, Schema, column_values
from labkit.preprocess.statistics.brackets import MAX_SENT, Sample, sample_values
from labkit.preprocess.statistics.groups import ALL, Cell, Cells, Group, groups_of
from labkit.preprocess.statistics.moments import Moments, merge_all, moments_of, without_missing
from labkit.preprocess.statistics.names import (
    Names,
    category_figures,
    merge_names,
    names_of_codes,
    names_of_texts,
    text_figures,
)
from labkit.preprocess.statistics.quantiles import Ranked, find_ranked
from labkit.preprocess.tasks import Executor

TASKS_PER_PART = 2
MIN_SENT = 128  # values that a small cell of a part sends as its sample
NOTHING = Ranked(0, {})
Figures = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Exact figures of every column: ``count``, ``missing``, ``min``, ``max``, ``mean``,
    ``median``, ``variance``, ``std`` (ddof = 1) and quantiles (``q25``); of categories and texts
    ``distinct`` and ``mode``, of categories ``counts`` by name. What there is not is ``None``.

    Attributes:
        overall: over all rows, by column.
        by_class: by class name and column; rows whose class is not known are in none.
        by_source: by source name and column.
        rows: that were read.
        rows_per_source: by source name.
    """

    overall: dict[str, Figures]
    by_class: dict[str, dict[str, Figures]]
    by_source: dict[str, dict[str, Figures]]
    rows: int
    rows_per_source: dict[str, int]

    @property
    def missing(self) -> dict[str, int]:
        """Values missing by column."""
        return {name: figures["missing"] for name, figures in self.overall.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the report."""
        return asdict(self)


class Summary(NamedTuple):
    """What the first pass finds in one part, by cell."""

    rows: Mapping[tuple[str, Cell], int]  # of no column: ""
    numbers: Mapping[tuple[str, Cell], tuple[Moments, Sample]]
    names: Mapping[tuple[str, Cell], Names]


def describe(
    executor: Executor,
    parts: Sequence[Part],
    schema: Schema,
    *,
    sources: Sequence[str] = (),
    fractions: Sequence[float] = (0.25, 0.5, 0.75),
) -> Statistics:
    """Exact statistics of every column; the same bits for any cut into parts and any order.

    Args:
        executor: runs ``TASKS_PER_PART`` small tasks a part.
        parts: the rows.
        schema: the columns.
        sources: names by the code in the source column; empty: they are not told apart.
        fractions: quantiles, each in [0, 1]; 0.25 is called ``q25``. The median is always there.
    Raises:
        SettingError: a fraction beyond [0, 1].
    """
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise SettingError(f"fraction {fraction} of a quantile; choose from 0 to 1")
    executor.begin("statistics", TASKS_PER_PART * len(parts))
    settings = {"schema": schema, "by_source": bool(sources)}
    summaries: list[Summary] = map_parts(executor, summarise_part, parts, **settings)
    rows = _by_group([summary.rows for summary in summaries])
    numbers = _by_group([summary.numbers for summary in summaries])
    names = _by_group([summary.names for summary in summaries])
    samples = {key: [sample for _, sample in found] for key, found in numbers.items()}
    ranked = find_ranked(executor, parts, numbers_by_group, samples, (*fractions, 0.5), **settings)

    def figures_of(group: Group) -> dict[str, Figures]:
        found = {}
        for column in schema.columns:
            key = column.name, group
            if column.kind == "number":
                moments = merge_all(moments for moments, _ in numbers.get(key, ()))
                found[column.name] = _figures(moments, ranked.get(key, NOTHING), fractions)
            else:
                merged = merge_names(names.get(key, ()))
                found[column.name] = _name_figures(merged, column, fractions)
        return found

    by_source = {name: ("source", code) for code, name in enumerate(sources)}
    by_class = {name: ("class", code) for code, name in enumerate(schema.class_names)}
    return Statistics(
        overall=figures_of(ALL),
        by_class={name: figures_of(group) for name, group in by_class.items()},
        by_source={name: figures_of(group) for name, group in by_source.items()},
        rows=sum(rows.get(("", ALL), ())),
        rows_per_source={name: sum(rows.get(("", group), ())) for name, group in by_source.items()},
    )


def summarise_part(frame: pd.DataFrame, *, schema: Schema, by_source: bool) -> Summary:
    """First pass over one part."""
    cells = Cells(frame, schema, by_source=by_source)
    numbers = {}
    for column in schema.numbers:
        values = cells.ordered(column_values(frame, column))
        for cell, here in zip(cells.cells, cells.slices, strict=True):
            share = (here.stop - here.start) / cells.num_rows
            present = without_missing(values[here])
            moments = moments_of(present)._replace(missing=here.stop - here.start - len(present))
            sample = sample_values(present, max(MIN_SENT, round(MAX_SENT * share)))
            numbers[column, cell] = moments, sample
    names = {}
    for column, in_order in schema.categories.items():
        codes = frame[column].to_numpy(dtype=np.int32)
        for cell, found in names_of_codes(codes, len(in_order), cells).items():
            names[column, cell] = found
    for column in schema.of_kind("text"):
        for cell, found in names_of_texts(frame[column], cells).items():
            names[column, cell] = found
    rows = {
        ("", cell): here.stop - here.start
        for cell, here in zip(cells.cells, cells.slices, strict=True)
    }
    return Summary(rows, numbers, names)


def numbers_by_group(
    frame: pd.DataFrame, *, schema: Schema, by_source: bool
) -> dict[Hashable, list[NDArray[np.float64]]]:
    """Every number column of one part by (column, group), in slices."""
    cells = Cells(frame, schema, by_source=by_source)
    slices = cells.slices_by_group()
    found: dict[Hashable, list[NDArray[np.float64]]] = {}
    for column in schema.numbers:
        values = cells.ordered(column_values(frame, column))
        for group, parts in slices.items():
            found[column, group] = [values[part] for part in parts]
    return found


def _by_group(
    parts: Sequence[Mapping[tuple[str, Cell], Found]],
) -> dict[Hashable, list[Found]]:
    """What the parts found, by (column, group) instead of (column, cell)."""
    found: dict[Hashable, list[Found]] = {}
    for part in parts:
        for (column, cell), value in part.items():
            for group in groups_of(cell):
                found.setdefault((column, group), []).append(value)
    return found


def _figures(moments: Moments, ranked: Ranked, fractions: Sequence[float]) -> Figures:
    there, spread = moments.num_values > 0, moments.num_values > 1
    return {
        "count": moments.num_values,
        "missing": moments.missing,
        "min": moments.minimum if there else None,
        "max": moments.maximum if there else None,
        "mean": moments.mean if there else None,
        "median": ranked.median if there else None,
        "variance": moments.variance if spread else None,
        "std": moments.std if spread else None,
        **{_named(each): ranked.quantile(each) if there else None for each in fractions},
    }


def _name_figures(names: Names, column: Column, fractions: Sequence[float]) -> Figures:
    return {
        "count": names.num_known,
        "missing": names.missing,
        **dict.fromkeys(("min", "max", "mean", "median", "variance", "std")),
        **dict.fromkeys(map(_named, fractions)),
        **(text_figures(names) if column.kind == "text" else category_figures(names, column.names)),
    }


def _named(fraction: float) -> str:
    return f"q{100 * fraction:g}"
