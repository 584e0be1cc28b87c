"""What cleaning changes: counts by kind and column, and histograms before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.clean.kinds import DETAILS, FILLED, KEPT, REMOVED, WRONG
from labkit.preprocess.clean.rules import CleaningRules, Kinds
from labkit.preprocess.even_histogram import count_even
from labkit.preprocess.schema import Schema, column_values, label_codes
from labkit.preprocess.statistics.histogram import ALL, Counts, count_missing, merge

NUM_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One part's share, or the total.

    Attributes:
        repairs: by kind, as details call it, and column.
        before, after: histograms by column.
        missing_before, missing_after: gaps by column.
    """

    repairs: Mapping[str, Mapping[str, int]]
    before: Counts
    after: Counts
    missing_before: Mapping[str, int]
    missing_after: Mapping[str, int]


def count_effect(
    frame: pd.DataFrame,
    after: pd.DataFrame,
    kinds: Kinds,
    *,
    rules: CleaningRules,
    schema: Schema,
    edges: Mapping[str, tuple[float, float]],
) -> Effect:
    """Count what cleaning changed in one part.

    Args:
        frame, after: the rows before and after.
        kinds: what was done to each, as ``rules.repair`` gives it.
        rules: as found.
        schema: of the rows.
        edges: by column, the quantiles that the histogram reaches over.
    """
    repairs: dict[str, dict[str, int]] = {name: {} for name in DETAILS.values()}
    for column, codes in kinds.items():
        counts = {code: int((codes == code).sum()) for code in DETAILS}
        if column in rules.fills:
            # A value that was removed leaves a gap, which is filled like any other.
            counts[FILLED] += sum(counts[code] for code in REMOVED)
        for code, name in DETAILS.items():
            if counts[code]:
                repairs[name][column] = counts[code]
    histograms = _histograms(frame, after, kinds, schema, edges)
    return Effect(
        repairs=repairs,
        before=histograms[0],
        after=histograms[1],
        missing_before=count_missing(frame, schema=schema),
        missing_after=count_missing(after, schema=schema),
    )


def merge_effects(effects: Sequence[Effect]) -> Effect:
    """The total over all parts."""
    return Effect(
        repairs=_add([each.repairs for each in effects]),
        before=_add([each.before for each in effects]),
        after=_add([each.after for each in effects]),
        missing_before=_add([{"": each.missing_before} for each in effects]).get("", {}),
        missing_after=_add([{"": each.missing_after} for each in effects]).get("", {}),
    )


def _add(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    total: dict[str, dict[str, Any]] = {}
    for part in parts:
        for name, figures in part.items():
            mine = total.setdefault(name, {})
            for key, figure in figures.items():
                mine[key] = mine[key] + figure if key in mine else figure
    return total


def bin_edges(edges: tuple[float, float]) -> list[float]:
    """(bins + 1,) even bins over a column's inner 98 %, and a fifth more on either side."""
    low, high = edges
    if not np.isfinite([low, high]).all():
        return [0.0, 1.0]
    margin = (high - low) / 5 or max(abs(low), 1.0) / 2
    at_least = 0.0 if low >= 0 else -np.inf
    spread: list[float] = np.linspace(
        max(low - margin, at_least), high + margin, NUM_BINS + 1
    ).tolist()
    return spread


def _histograms(
    frame: pd.DataFrame,
    after: pd.DataFrame,
    kinds: Kinds,
    schema: Schema,
    edges: Mapping[str, tuple[float, float]],
) -> tuple[Counts, Counts]:
    """Before and after, by column; only rows that changed are counted twice."""
    names = schema.class_names or (ALL,)
    labels = [_classes(each, schema) for each in (frame, after)]
    relabelled = labels[0] != labels[1]
    befores: Counts = {}
    afters: Counts = {}
    for column, ends in edges.items():
        bins = np.array(bin_edges(ends))
        values = [column_values(each, column) for each in (frame, after)]
        whole = count_even(values[0], labels[0], bins, names)
        rows = np.flatnonzero(relabelled | (kinds[column] != KEPT))
        old, new = (
            count_even(side[rows], codes[rows], bins, names)
            for side, codes in zip(values, labels, strict=True)
        )
        befores[column] = whole
        afters[column] = {name: whole[name] - old[name] + new[name] for name in whole}
    return befores, afters


def _classes(frame: pd.DataFrame, schema: Schema) -> NDArray[np.int32]:
    """(rows,) class codes; without a label all rows are of one class."""
    return label_codes(frame, schema) if schema.label else np.zeros(len(frame), dtype=np.int32)


def picture_of(
    effect: Effect, edges: Mapping[str, tuple[float, float]], schema: Schema
) -> dict[str, Any]:
    """What a report draws: the column that was wrong most often, and all others."""
    columns = {
        name: {
            "edges": bin_edges(ends),
            "before": merge([effect.before], name),
            "after": merge([effect.after], name),
        }
        for name, ends in edges.items()
        if name in effect.before
    }
    wrong = dict.fromkeys(columns, 0)
    for code in WRONG:
        for name, count in effect.repairs.get(DETAILS[code], {}).items():
            wrong[name] += count
    gaps = {"missing_before": effect.missing_before, "missing_after": effect.missing_after}
    if not columns:
        nothing = {
            "counts": {name: [0] for name in schema.class_names or (ALL,)},
            "below": 0,
            "above": 0,
        }
        blank = {"edges": [0.0, 1.0], "before": nothing, "after": nothing}
        return {"column": "", **blank, **gaps, "columns": {}}
    main = max(columns, key=lambda name: wrong[name])
    return {"column": main, **columns[main], **gaps, "columns": columns}
