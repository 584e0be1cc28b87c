"""Counts of values between edges, for the small pictures of what a step changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.schema import FRUITS, LABEL, NUMERIC, Partition, column_values


def count_values(
    partition: Partition, *, columns: Sequence[str], edges: Sequence[float]
) -> dict[str, dict[str, NDArray[np.int64]]]:
    """One partition's histograms by column and class name.

    Args:
        partition: any partition with a label.
        columns: to be counted, all with the same edges.
        edges: (bins + 1,) rising.
    Returns:
        (bins + 2,) counts each: below the first edge, in the bins, from the last edge on.
    """
    label = partition.frame[LABEL].to_numpy()
    counts: dict[str, dict[str, NDArray[np.int64]]] = {}
    for column in columns:
        values = column_values(partition.frame, column)
        # NaN would be sorted behind the last edge: a gap is not a large value
        bins = np.searchsorted(edges, values[~np.isnan(values)], side="right")
        present = label[~np.isnan(values)]
        counts[column] = {
            name: np.bincount(bins[present == code], minlength=len(edges) + 1)
            for code, name in enumerate(FRUITS)
        }
    return counts


def merge(
    parts: Sequence[Mapping[str, Mapping[str, NDArray[np.int64]]]], column: str
) -> dict[str, Any]:
    """One column's histogram over all partitions.

    Returns:
        ``{"counts": {class: [bins]}, "below": n, "above": n}``, plain numbers.
    """
    total = {name: sum(part[column][name] for part in parts) for name in FRUITS}
    arrays = {name: np.asarray(counts) for name, counts in total.items()}
    return {
        "counts": {name: counts[1:-1].tolist() for name, counts in arrays.items()},
        "below": int(sum(counts[0] for counts in arrays.values())),
        "above": int(sum(counts[-1] for counts in arrays.values())),
    }


def count_missing(partition: Partition) -> dict[str, int]:
    """One partition's gaps by numeric column."""
    return {column: int(partition.frame[column].isna().sum()) for column in NUMERIC}
