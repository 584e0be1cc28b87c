"""Moving rows so that all rows of one thing meet: the one place where rows change their part.

Each source part is written once, its rows ordered by a fine bucket, a hash of what they are
matched by, each bucket a batch. A coarse bucket is then a run of fine ones, and reading it takes
those batches of each file: no row passes through the client or the scheduler, and no tiny files
are made.
Dask's own shuffle does the same for data frames, but wants a gigabyte a worker, and its progress
cannot be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.parts import ArrowRows, Part
from labkit.preprocess.schema import rows_per_part
from labkit.preprocess.split import hash_ids

NUM_FINE = 256  # fine buckets; a table of up to 256 * MAX_PART_ROWS rows has parts of usual size


@dataclass(frozen=True, slots=True)
class Ingested:
    """One source part, written in the common columns.

    Attributes:
        path: of the Arrow file, a batch for each fine bucket, its rows in their order.
        offsets: (NUM_FINE + 1,) first row of each fine bucket.
        counts: of reading, by name; see ``sources.read``.
        set_aside: rows that were set aside, by reason.
        matching: of rows that found their thing by likeness, by name.
    """

    path: str
    offsets: tuple[int, ...]
    counts: dict[str, int] = field(default_factory=dict)
    set_aside: dict[str, int] = field(default_factory=dict)
    matching: dict[str, int] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Rows in the file."""
        return self.offsets[-1]


def order_by_bucket(keys: NDArray[np.int64]) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    """How to order rows by fine bucket.

    Args:
        keys: (rows,) what rows meet by.
    Returns:
        (rows,) places in their new order, equal buckets in the old order, and the offsets.
    """
    # The high bits choose the split into train and test, so every bucket holds test rows.
    fine = (hash_ids(keys) % np.uint64(NUM_FINE)).astype(np.int16)
    order = np.argsort(fine, kind="stable")
    offsets = np.searchsorted(fine[order], np.arange(NUM_FINE + 1))
    return order, tuple(offsets.tolist())


def bucket_parts(ingested: Sequence[Ingested]) -> list[Part]:
    """The rows again, in parts in which all rows of one thing are together.

    The number of parts follows from the number of rows alone, so results are the same on any
    cluster and however the sources were cut into files.
    """
    num_rows = sum(each.num_rows for each in ingested)
    number = min(NUM_FINE, max(1, -(-num_rows // rows_per_part(num_rows))))
    edges = np.linspace(0, NUM_FINE, number + 1).astype(int).tolist()
    return [
        Part(
            place,
            ArrowRows(
                tuple(
                    (each.path, first, last)
                    for each in ingested
                    if each.offsets[last] > each.offsets[first]
                )
                or ((ingested[0].path, 0, 0),)
            ),
        )
        for place, (first, last) in enumerate(pairwise(edges))
    ]
