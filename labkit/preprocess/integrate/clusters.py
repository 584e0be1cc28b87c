"""Joining things that are alike, one-to-one: a thing has one key and one row of each source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def join_best(
    has_key: Sequence[bool],
    said_by: Sequence[int],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Join pairs of things, the most alike first, where nothing speaks against it.

    Equal scores are taken in the order of the things' numbers, so nothing depends on the order
    of the pairs.

    Args:
        has_key: (things,) whether each has a key of its own; two that have are different.
        said_by: (things,) the sources that describe each, one bit a source; no source describes
            one thing in two ways.
        one, other: (pairs,) things that may be the same.
        scores: (pairs,) how alike they are.
    Returns:
        (things,) the least number in the cluster of each, and the scores of the joined pairs.
    """
    first, sources, keyed = list(range(len(has_key))), list(said_by), list(has_key)
    joined = []
    # one pair after the other, since each decides what may be joined after it
    for at in np.lexsort((other, one, -scores)).tolist():
        a, b = sorted((_root(first, int(one[at])), _root(first, int(other[at]))))
        if a == b or sources[a] & sources[b] or (keyed[a] and keyed[b]):
            continue
        first[b] = a
        sources[a] |= sources[b]
        keyed[a] |= keyed[b]
        joined.append(scores[at])
    roots = [_root(first, thing) for thing in range(len(first))]
    return np.array(roots, dtype=np.int64), np.array(joined, dtype=np.float64)


def _root(first: list[int], thing: int) -> int:
    """The least thing of the cluster; the way there is shortened."""
    while first[thing] != thing:
        first[thing] = first[first[thing]]
        thing = first[thing]
    return thing
