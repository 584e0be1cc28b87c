"""Counts of values between edges, for the small pictures of what a step changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import Schema, column_values, label_codes

ALL = "all"
Counts = dict[str, dict[str, NDArray[np.int64]]]


def count_values(
    frame: pd.DataFrame, *, schema: Schema, columns: Sequence[str], edges: Sequence[float]
) -> Counts:
    """One part's histograms by column and class name; without a label, of all rows as ``all``.

    Args:
        frame: the rows.
        schema: which column is the label; rows whose class is not known are left out.
        columns: numbers to be counted, all with the same edges.
        edges: (bins + 1,) rising.
    Returns:
        (bins + 2,) counts each: below the first edge, in the bins, from the last edge on.
    """
    names = schema.class_names or (ALL,)
    codes = label_codes(frame, schema) if schema.label else np.zeros(len(frame), dtype=np.int32)
    counts: Counts = {}
    for column in columns:
        values = column_values(frame, column)
        # NaN would be sorted behind the last edge: a gap is not a large value
        known = ~np.isnan(values) & (codes >= 0)
        bins = np.searchsorted(edges, values[known], side="right")
        size = len(edges) + 1
        table = np.bincount(codes[known] * size + bins, minlength=len(names) * size)
        counts[column] = dict(zip(names, table.reshape(len(names), size), strict=True))
    return counts


def merge(parts: Sequence[Mapping[str, Mapping[str, Any]]], column: str) -> dict[str, Any]:
    """One column's histogram over all parts.

    Returns:
        ``{"counts": {class: [bins]}, "below": n, "above": n}``, plain numbers.
    """
    names = list(parts[0][column]) if parts else []
    total = {name: np.sum([part[column][name] for part in parts], axis=0) for name in names}
    return {
        "counts": {name: counts[1:-1].tolist() for name, counts in total.items()},
        "below": int(sum(counts[0] for counts in total.values())),
        "above": int(sum(counts[-1] for counts in total.values())),
    }


def count_missing(frame: pd.DataFrame, *, schema: Schema) -> dict[str, int]:
    """One part's gaps by column, of every kind."""
    missing = {}
    for column in schema.columns:
        values = frame[column.name]
        gaps = values < 0 if column.kind == "category" else values.isna()
        missing[column.name] = int(gaps.sum())
    return missing
