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
    whole: bool = True  # every value is a whole number

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
    def once(self) -> float:
        """Share of the distinct values that only one row holds; the sketch is a fair sample."""
        return float((self.counts == 1).mean()) if len(self.counts) else 0.0


def distinct_of(hashes: NDArray[np.uint64], *, whole: bool) -> Distinct:
    """One part's sketch from the (rows,) hashes of its values."""
    # Where most values differ, the smallest hashes are found without sorting all of them.
    likely = 4 * SKETCH_SIZE / max(len(hashes), 1)
    if likely < 1:
        few = hashes[hashes < np.uint64(likely * 2.0**64)]
        smallest, counts = np.unique(few, return_counts=True)
        if len(smallest) >= SKETCH_SIZE:
            return Distinct(smallest[:SKETCH_SIZE], counts[:SKETCH_SIZE], whole)
    codes, different = pd.factorize(hashes)
    order = np.argsort(different)[:SKETCH_SIZE]
    counts = np.bincount(codes, minlength=len(different))
    return Distinct(different[order], counts[order], whole)


def merge_distinct(parts: Sequence[Distinct]) -> Distinct:
    """The sketch of all parts together."""
    together = np.concatenate([part.hashes for part in parts])
    hashes, place = np.unique(together, return_inverse=True)
    counts = np.zeros(len(hashes), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([part.counts for part in parts]))
    # a value among the smallest of all is among the smallest of each part that holds it
    return Distinct(hashes[:SKETCH_SIZE], counts[:SKETCH_SIZE], all(part.whole for part in parts))
