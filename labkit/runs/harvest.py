"""A harvest as a packing line writes it down: a Parquet file with a row group for each day.

Days are not alike: on few of them a great many oranges came in, on many a few watermelons. What is
true of the days one by one is therefore not true of the harvest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.preprocess.fruit import BLOCK_ROWS, LABEL, make_block

DAYS = ("orange",) * 6 + ("watermelon",) * 18
ORANGES = 0.65  # of the harvest
NUM_CRATES = 40_000


def write_harvest(path: str | Path, rows: int, seed: int = 0, days: Sequence[str] = DAYS) -> None:
    """Write about so many fruits; without gaps and errors.

    Args:
        path: of the file.
        rows: fruits, >= one for each day.
        seed: the same seed gives the same file.
        days: what came in on each, ``orange`` or ``watermelon``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    block = make_block(seed, 0, BLOCK_ROWS).truth.drop(columns=["city", "harvest_year"])
    random = np.random.default_rng(seed)
    writer = None
    for day in days:
        share = ORANGES if day == "orange" else 1 - ORANGES
        size = max(1, round(rows * share / days.count(day)))
        kind = block[block[LABEL] == int(day == "watermelon")].drop(columns=[LABEL])
        frame = kind.iloc[random.integers(0, len(kind), size)].reset_index(drop=True)
        # one fruit is like another, but none is the same
        frame *= np.exp(random.normal(0, 0.02, frame.shape))
        frame["crate"] = random.integers(0, NUM_CRATES, size)
        frame = frame.drop(columns=["fruit_id", "batch_no"]).astype({"crate": np.int64})
        table = pa.Table.from_pandas(pd.DataFrame(frame), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=size)
    if writer is not None:
        writer.close()
