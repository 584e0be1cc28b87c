"""What cleaning changes: counts by kind and column, and histograms before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.clean.kinds import DETAILS, FILLED, REMOVED, WRONG
from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.schema import MISSING, Schema, column_values, label_codes

NUM_BINS = 40
Histogram = dict[str, NDArray[np.int64]]  # (bins + 2,) by class: below, in the bins, above


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One part's share, or the total.

    Attributes:
        repairs: by kind, as details call it, and column.
        before, after: histograms by column.
        missing_before, missing_after: gaps by column.
    """

    repairs: Mapping[str, Mapping[str, int]]
    before: Mapping[str, Histogram]
    after: Mapping[str, Histogram]
    missing_before: Mapping[str, int]
    missing_after: Mapping[str, int]


def count_effect(
    frame: pd.DataFrame,
    *,
    rules: CleaningRules,
    schema: Schema,
    edges: Mapping[str, tuple[float, float]],
) -> Effect:
    """Clean one part and count what changed.

    Args:
        frame: the rows before.
        rules: as found.
        schema: of the rows.
        edges: by column, the quantiles that the histogram reaches over.
    """
    after, kinds = rules.repair(frame)
    repairs: dict[str, dict[str, int]] = {name: {} for name in DETAILS.values()}
    for column, codes in kinds.items():
        counts = {code: int((codes == code).sum()) for code in DETAILS}
        if column in rules.fills:
            # A value that was removed leaves a gap, which is filled like any other.
            counts[FILLED] += sum(counts[code] for code in REMOVED)
        for code, name in DETAILS.items():
            if counts[code]:
                repairs[name][column] = counts[code]
    return Effect(
        repairs=repairs,
        before=_histograms(frame, schema, edges),
        after=_histograms(after, schema, edges),
        missing_before=count_missing(frame, schema),
        missing_after=count_missing(after, schema),
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


def count_missing(frame: pd.DataFrame, schema: Schema) -> dict[str, int]:
    """Gaps by column, in the order of the schema."""
    missing = {}
    for column in schema.columns:
        values = frame[column.name]
        gaps = values.to_numpy() == MISSING if column.kind == "category" else values.isna()
        missing[column.name] = int(gaps.sum())
    return missing


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
    frame: pd.DataFrame, schema: Schema, edges: Mapping[str, tuple[float, float]]
) -> dict[str, Histogram]:
    names = schema.class_names or ("all",)
    label = label_codes(frame, schema) if schema.label else np.zeros(len(frame), dtype=np.int32)
    histograms = {}
    for column, ends in edges.items():
        bins = np.array(bin_edges(ends))
        values = column_values(frame, column)
        known = ~np.isnan(values) & (label != MISSING)
        cell = np.searchsorted(bins, values[known], side="right")
        width = len(bins) + 1
        counts = np.bincount(label[known] * width + cell, minlength=len(names) * width)
        table = counts.reshape(len(names), width)
        histograms[column] = dict(zip(names, table, strict=True))
    return histograms


def picture_of(
    effect: Effect, edges: Mapping[str, tuple[float, float]], schema: Schema
) -> dict[str, Any]:
    """What a report draws: the column that was wrong most often, and all others."""
    columns = {
        name: {
            "edges": bin_edges(ends),
            "before": _drawn(effect.before[name]),
            "after": _drawn(effect.after[name]),
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
            "counts": {name: [0] for name in schema.class_names or ("all",)},
            "below": 0,
            "above": 0,
        }
        blank = {"edges": [0.0, 1.0], "before": nothing, "after": nothing}
        return {"column": "", **blank, **gaps, "columns": {}}
    main = max(columns, key=lambda name: wrong[name])
    return {"column": main, **columns[main], **gaps, "columns": columns}


def _drawn(histogram: Histogram) -> dict[str, Any]:
    return {
        "counts": {name: counts[1:-1].tolist() for name, counts in histogram.items()},
        "below": int(sum(counts[0] for counts in histogram.values())),
        "above": int(sum(counts[-1] for counts in histogram.values())),
    }
