"""What a column tells about the label: mutual information of its bins and the classes, in bits.

The edges of a number's bins are the exact quantiles of the sampled training rows, which are all of
them where there are few; the counts in the bins are exact, over all training rows.

Source: Cover & Thomas 2006, Elements of Information Theory, section 2.3, doi:10.1002/047174882X.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 32


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rising edges of bins that hold equally many of (rows,) values; gaps are left out."""
    present = values[np.isfinite(values)]
    if not len(present):
        return np.empty(0)
    # quantiles that are values themselves, so that a column of few values has a bin for each
    shares = np.arange(1, NUM_BINS) / NUM_BINS
    return np.unique(np.quantile(present, shares, method="higher"))


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
