"""Rows of the same thing: brought side by side, and looked at thing by thing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.integrate.keys import changes

MOST_ROW_BITS = 27  # of a bucket's rows: a thing, a source and a row fit into an int64


def order_by_thing(keys: NDArray[np.int64], said_by: NDArray[np.int8]) -> NDArray[np.integer[Any]]:
    """(rows,) places ordered by key, then by source, then as they were.

    The same as ``np.lexsort((said_by, keys))`` in a third of the time: numpy sorts whole numbers
    fastest where equal ones need not stay in order, so the order is made part of the number.
    """
    if len(keys) >= 1 << MOST_ROW_BITS:
        return np.lexsort((said_by, keys))
    order = np.argsort(keys)
    thing = np.cumsum(changes(keys[order])) - 1
    rank = (thing << 8) + (said_by[order].astype(np.int64) + 128)
    return np.sort((rank << MOST_ROW_BITS) + order) & ((1 << MOST_ROW_BITS) - 1)


class Runs(NamedTuple):
    """Rows of one thing after the other. Most things have one row, so the others are told apart.

    Attributes:
        starts: (things,) each thing's first row.
        many: things of more than one row.
        rows: of all of those, in order.
        offsets: (many,) where each of those begins in ``rows``.
    """

    starts: NDArray[np.intp]
    many: NDArray[np.intp]
    rows: NDArray[np.intp]
    offsets: NDArray[np.intp]


def runs_of(starts: NDArray[np.intp], num_rows: int) -> Runs:
    """The runs of rows that begin there."""
    sizes = np.diff(starts, append=num_rows)
    many = np.flatnonzero(sizes > 1)
    sizes = sizes[many]
    offsets = np.cumsum(sizes) - sizes
    rows = np.repeat(starts[many] - offsets, sizes) + np.arange(sizes.sum())
    return Runs(starts, many, rows, offsets)


def first_present(present: NDArray[np.bool_], runs: Runs) -> NDArray[np.intp]:
    """(things,) place of the first row of each run that has a value, -1 where there is none."""
    place = np.where(present[runs.starts], runs.starts, -1)
    if len(runs.many):
        nowhere = len(present)
        with_value = np.where(present[runs.rows], runs.rows, nowhere)
        found = np.minimum.reduceat(with_value, runs.offsets)
        place[runs.many] = np.where(found < nowhere, found, -1)
    return place
