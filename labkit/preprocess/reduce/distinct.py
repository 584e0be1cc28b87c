"""How many different values a column has, and how often, from small sketches of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SKETCH_SIZE = 1024


class Distinct(NamedTuple):
    """Sketch of a column's distinct values: the smallest of their hashes, each once, ascending.

    Source: k minimum values; Bar-Yossef et al. 2002, doi:10.1007/3-540-45726-7_1.
    """

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]  # rows that hold each of those values
    whole: NDArray[np.bool_]  # whether each of those values is a whole number

    @property
    def number(self) -> float:
        """Distinct values: exact below ``SKETCH_SIZE``, else within some 3 % (one sigma)."""
        if self.exact:
            return float(len(self.hashes))
        return (SKETCH_SIZE - 1) / (float(self.hashes[-1]) / 2.0**64)

    @property
    def exact(self) -> bool:
        """Whether ``number`` is counted and not estimated."""
        return len(self.hashes) < SKETCH_SIZE

    @property
    def numbered(self) -> float:
        """Share of the distinct values that are whole and that only one row holds.

        The sketch is a fair sample of the distinct values.
        """
        return float(((self.counts == 1) & self.whole).mean()) if len(self.counts) else 0.0


def distinct_of(values: NDArray[np.float64], hashes: NDArray[np.uint64]) -> Distinct:
    """One part's sketch from (rows,) values and their hashes."""
    # Where most values differ, the smallest hashes are found without sorting all of them.
    likely = 4 * SKETCH_SIZE / max(len(hashes), 1)
    if likely < 1:
        few = np.flatnonzero(hashes < np.uint64(likely * 2.0**64))
        smallest, first, counts = np.unique(hashes[few], return_index=True, return_counts=True)
        if len(smallest) >= SKETCH_SIZE:
            return _sketch(smallest, counts, values[few[first]])
    codes, different = pd.factorize(hashes)
    first = np.empty(len(different), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    counts = np.bincount(codes, minlength=len(different))
    order = np.argsort(different)
    return _sketch(different[order], counts[order], values[first[order]])


def _sketch(
    hashes: NDArray[np.uint64], counts: NDArray[np.int64], values: NDArray[np.float64]
) -> Distinct:
    smallest = values[:SKETCH_SIZE]
    return Distinct(hashes[:SKETCH_SIZE], counts[:SKETCH_SIZE], smallest == np.floor(smallest))


def merge_distinct(parts: Sequence[Distinct]) -> Distinct:
    """The sketch of all parts together."""
    together = np.concatenate([part.hashes for part in parts])
    hashes, first, place = np.unique(together, return_index=True, return_inverse=True)
    counts = np.zeros(len(hashes), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([part.counts for part in parts]))
    whole = np.concatenate([part.whole for part in parts])[first]
    # a value among the smallest of all is among the smallest of each part that holds it
    return Distinct(hashes[:SKETCH_SIZE], counts[:SKETCH_SIZE], whole[:SKETCH_SIZE])
