"""How many different values a column has, from small sketches of its parts."""

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
    whole: bool = True  # every value is a whole number

    @property
    def number(self) -> float:
        """Distinct values: exact below ``SKETCH_SIZE``, else within some 3 % (one sigma)."""
        if len(self.hashes) < SKETCH_SIZE:
            return float(len(self.hashes))
        return (SKETCH_SIZE - 1) / (float(self.hashes[-1]) / 2.0**64)

    @property
    def exact(self) -> bool:
        """Whether ``number`` is counted and not estimated."""
        return len(self.hashes) < SKETCH_SIZE


def distinct_of(hashes: NDArray[np.uint64], *, whole: bool) -> Distinct:
    """One part's sketch from the (rows,) hashes of its values."""
    # Where most values differ, the smallest hashes are found without sorting all of them.
    likely = 4 * SKETCH_SIZE / max(len(hashes), 1)
    if likely < 1:
        smallest = np.unique(hashes[hashes < np.uint64(likely * 2.0**64)])
        if len(smallest) >= SKETCH_SIZE:
            return Distinct(smallest[:SKETCH_SIZE], whole)
    return Distinct(np.sort(pd.unique(hashes))[:SKETCH_SIZE], whole)


def merge_distinct(parts: Sequence[Distinct]) -> Distinct:
    """The sketch of all parts together."""
    hashes = np.unique(np.concatenate([part.hashes for part in parts]))
    return Distinct(hashes[:SKETCH_SIZE], all(part.whole for part in parts))
