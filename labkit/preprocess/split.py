"""Which rows train and which test: decided by each row's identifier alone.

A row keeps its side whatever file, worker or partition it is in, and however many other rows there
are, so a later run over more data never tests on what an earlier one trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TEST_ONE_IN = 10


def hash_ids(ids: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """(n,) identifiers to (n,) well-mixed 64-bit numbers, the same on every machine.

    Source: SplitMix64; Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195.
    """
    x: NDArray[np.uint64] = ids.astype(np.int64, copy=False).view(np.uint64) + np.uint64(
        0x9E3779B97F4A7C15
    )
    shifted = np.empty_like(x)  # in place, as a new array for each term would cost most of the time
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(x, np.uint64(shift), out=shifted)
        np.bitwise_xor(x, shifted, out=x)
        np.multiply(x, np.uint64(factor), out=x)
    np.right_shift(x, np.uint64(31), out=shifted)
    np.bitwise_xor(x, shifted, out=x)
    return x


def is_test(ids: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """(n,) whether each row belongs to the test split: about one in ten."""
    # The high bits choose the split and the low bits the bucket of the shuffle, so that every
    # bucket holds test rows.
    high_bits = hash_ids(ids) >> np.uint64(40)
    chosen: NDArray[np.bool_] = high_bits % np.uint64(TEST_ONE_IN) == np.uint64(0)
    return chosen
