"""What a column tells about the label: mutual information of its bins and the classes, in bits.

The counts are exact, over all training rows. Where columns may be dropped for what they tell, the
edges of a number's bins are exact quantiles too, for two more passes over the rows; where it is
only shown, they are the quantiles of the sampled rows, so the bins hold nearly equally many.

Source: Cover & Thomas 2006, Elements of Information Theory, section 2.3, doi:10.1002/047174882X.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.parts import Part
from labkit.preprocess.reduce.survey import train_rows
from labkit.preprocess.schema import column_values
from labkit.preprocess.statistics.quantiles import exact_quantiles
from labkit.preprocess.tasks import Executor

NUM_BINS = 32
SHARES = tuple(place / NUM_BINS for place in range(1, NUM_BINS))  # of the rows below each edge


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rising edges of bins that hold equally many of (rows,) values; gaps are left out."""
    present = values[np.isfinite(values)]
    if not len(present):
        return np.empty(0)
    return np.unique(np.quantile(present, SHARES))


def exact_edges(
    executor: Executor, parts: Sequence[Part], numbers: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """By column the edges that ``bin_edges`` would give of all training rows; 2 tasks a part."""
    found = exact_quantiles(executor, parts, train_values, SHARES, numbers=numbers)
    edges = {}
    for name in numbers:
        quantiles = np.array(list(found[name].values()))
        edges[name] = np.unique(quantiles[np.isfinite(quantiles)])
    return edges


def train_values(
    frame: pd.DataFrame, *, numbers: Sequence[str]
) -> Mapping[Hashable, NDArray[np.float64] | Sequence[NDArray[np.float64]]]:
    """By column the training rows' values, NaN where missing or infinite."""
    train = train_rows(frame)
    columns = {name: column_values(frame, name)[train] for name in numbers}
    return {name: np.where(np.isfinite(each), each, np.nan) for name, each in columns.items()}


def count_bins(
    values: NDArray[np.float64],
    edges: NDArray[np.float64],
    labels: NDArray[np.int32],
    num_classes: int,
) -> NDArray[np.int64]:
    """(bins + 1, classes) how often each class occurs in each bin, gaps in a bin of their own.

    Args:
        values: (rows,) of one column.
        edges: rising; a value equal to an edge is above it.
        labels: (rows,) classes; rows without one are not counted.
        num_classes: that can occur.
    """
    bins = np.searchsorted(edges, values, side="right")
    bins[~np.isfinite(values)] = len(edges) + 1
    known = labels >= 0
    if not known.all():
        bins, labels = bins[known], labels[known]
    size = (len(edges) + 2) * num_classes
    counts = np.bincount(bins * num_classes + labels, minlength=size)
    return counts.reshape(-1, num_classes)


def count_codes(
    codes: NDArray[np.int32], num_codes: int, labels: NDArray[np.int32], num_classes: int
) -> NDArray[np.int64]:
    """(codes + 1, classes) the same for a category: the contingency table, gaps in the last row."""
    places = np.where(codes < 0, num_codes, codes).astype(np.int64)
    known = labels >= 0
    size = (num_codes + 1) * num_classes
    counts = np.bincount(places[known] * num_classes + labels[known], minlength=size)
    return counts.reshape(-1, num_classes)


def entropy(counts: NDArray[np.int64]) -> float:
    """Bits of uncertainty in these counts; 0 where there are none."""
    total = int(counts.sum())
    shares = [int(count) / total for count in counts.ravel() if count]
    return -math.fsum(share * math.log2(share) for share in shares) + 0.0


def mutual_information(counts: NDArray[np.int64]) -> float:
    """Bits that the bin tells about the class, at least 0.

    information = H(bin) + H(class) - H(bin, class) - (bins - 1)(classes - 1) / (2 n ln 2)

    The last term is what a column of pure chance would show for want of rows: Miller 1955.

    Args:
        counts: (bins, classes); bins and classes that never occur do not count.
    """
    total = int(counts.sum())
    if not total:
        return 0.0
    by_bin, by_class = counts.sum(axis=1), counts.sum(axis=0)
    chance = (np.count_nonzero(by_bin) - 1) * (np.count_nonzero(by_class) - 1)
    shown = entropy(by_bin) + entropy(by_class) - entropy(counts)
    return max(shown - float(chance) / (2 * total * math.log(2)), 0.0)
