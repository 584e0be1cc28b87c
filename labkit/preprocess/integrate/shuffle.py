"""Moving rows so that all rows of one fruit meet: the one step that sends rows between workers.

Written as plain tasks: every partition gives each bucket its rows, chosen by a hash of the
identifier, and each bucket's pieces are joined. Dask's own shuffle does the same for data frames,
but wants a gigabyte a worker, and its progress cannot be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from labkit.preprocess.schema import KEY, Partition, rows_per_part
from labkit.preprocess.split import hash_ids
from labkit.preprocess.tasks import Executor


def num_buckets(num_rows: int) -> int:
    """Buckets for so many rows: by the data alone, so results are the same on any cluster."""
    return max(1, -(-num_rows // rows_per_part(num_rows)))


def by_identifier(executor: Executor, partitions: Sequence[Any], buckets: int) -> list[list[Any]]:
    """Handles of the pieces of each bucket, in partition order; one task a piece.

    Args:
        executor: runs ``len(partitions) * buckets`` small tasks.
        partitions: handles of ``Partition``.
        buckets: all rows with the same identifier end up in the same one.
    """
    pairs = [(each, bucket) for bucket in range(buckets) for each in partitions]
    pieces = executor.map(
        take_bucket, [each for each, _ in pairs], [bucket for _, bucket in pairs], buckets=buckets
    )
    width = len(partitions)
    return [pieces[start : start + width] for start in range(0, len(pieces), width)]


def take_bucket(partition: Partition, bucket: int, *, buckets: int) -> pd.DataFrame:
    """The rows of one partition that belong to one bucket, in their order."""
    chosen = hash_ids(partition.frame[KEY].to_numpy()) % np.uint64(buckets) == np.uint64(bucket)
    frame: pd.DataFrame = partition.frame.loc[chosen]
    return frame
