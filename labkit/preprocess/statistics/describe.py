"""Step 1, statistics: what the sources hold, as read, before anything is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.moments import Moments, merge_columns, moments_of
from labkit.preprocess.quantiles import exact_quantiles
from labkit.preprocess.schema import (
    CATEGORIES,
    FRUITS,
    LABEL,
    MISSING,
    NUMERIC,
    Partition,
    column_values,
)
from labkit.preprocess.tasks import Executor

TASKS_PER_PARTITION = 4
ALL = "all"


def describe(
    executor: Executor, partitions: Sequence[Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, dict[str, Any]]]]:
    """Exact statistics of every column, over all partitions.

    Args:
        executor: runs ``TASKS_PER_PARTITION`` small tasks a partition.
        partitions: handles of ``Partition``.
    Returns:
        By column: count, missing, min, max, mean, median, variance, std (ddof = 1); for a category
        these are null but for count and missing, and mode and counts (by name) say the rest.
        The same for the numeric columns by class name and column.
    """
    moments = merge_columns(executor.collect(moments_part, partitions))
    quantiles = exact_quantiles(executor, partitions, numeric_by_class, (0.5,))
    names = merge_name_counts(executor.collect(count_names, partitions))
    figures = {
        group: {
            column: _figures(moments[column, group], quantiles[column, group][0.5])
            for column in NUMERIC
        }
        for group in (ALL, *FRUITS)
    }
    overall = figures.pop(ALL)
    for column, counts in names.items():
        overall[column] = _name_figures(counts)
    return overall, figures


def numeric_by_class(partition: Partition) -> dict[Hashable, NDArray[np.float64]]:
    """Every numeric column by (column, class name), and by (column, "all") over all rows."""
    label = partition.frame[LABEL].to_numpy()
    columns: dict[Hashable, NDArray[np.float64]] = {}
    for column in NUMERIC:
        values = column_values(partition.frame, column)
        columns[column, ALL] = values
        for code, name in enumerate(FRUITS):
            columns[column, name] = values[label == code]
    return columns


def moments_part(partition: Partition) -> dict[Hashable, Moments]:
    """One partition's moments of every numeric column, over all rows and by class."""
    return {key: moments_of(values) for key, values in numeric_by_class(partition).items()}


def count_names(partition: Partition) -> dict[str, Counter[int]]:
    """How often each category's code occurs in one partition, ``MISSING`` among them."""
    counts = {}
    for column in CATEGORIES:
        codes, found = np.unique(partition.frame[column].to_numpy(), return_counts=True)
        counts[column] = Counter(dict(zip(codes.tolist(), found.tolist(), strict=True)))
    return counts


def merge_name_counts(parts: Sequence[dict[str, Counter[int]]]) -> dict[str, dict[str | None, int]]:
    """By column and name, in the order of the category's list; ``None`` counts the missing."""
    merged: dict[str, dict[str | None, int]] = {}
    for column, names in CATEGORIES.items():
        total: Counter[int] = Counter()
        for part in parts:
            total.update(part[column])
        merged[column] = {None: total[MISSING]}
        merged[column] |= {name: total[code] for code, name in enumerate(names)}
    return merged


def _figures(moments: Moments, median: float) -> dict[str, Any]:
    any_values = moments.num_values > 0
    return {
        "count": moments.num_values,
        "missing": moments.missing,
        "min": moments.minimum if any_values else None,
        "max": moments.maximum if any_values else None,
        "mean": moments.mean if any_values else None,
        "median": median if any_values else None,
        "variance": moments.variance if moments.num_values > 1 else None,
        "std": moments.std if moments.num_values > 1 else None,
    }


def _name_figures(counts: dict[str | None, int]) -> dict[str, Any]:
    named = {name: number for name, number in counts.items() if name is not None}
    count = sum(named.values())
    return {
        "count": count,
        "missing": counts[None],
        **dict.fromkeys(("min", "max", "mean", "median", "variance", "std")),
        # the first of equals in the category's order, so that ties do not depend on the data order
        "mode": max(named, key=lambda name: named[name]) if count else None,
        "counts": named,
    }
