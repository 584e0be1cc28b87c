"""Parquet files: row groups, cut where they are large, joined where they are small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labkit.preprocess.schema import MAX_PART_ROWS
from labkit.preprocess.sources.batches import Batch, Span
from labkit.preprocess.sources.places import open_file

BATCH_ROWS = 65_536
JOINED_ROWS = 65_536  # small row groups are read together up to so many rows
BUFFER_BYTES = 1 << 20


def parquet_columns(source: str) -> list[str]:
    """Names of the columns."""
    with open_file(source) as file, pq.ParquetFile(file) as parquet:
        return list(parquet.schema_arrow.names)


def parquet_types(source: str) -> dict[str, pa.DataType]:
    """The type of each column."""
    with open_file(source) as file, pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        return dict(zip(schema.names, schema.types, strict=True))


def parquet_spans(source: str) -> list[Span]:
    """Parts of the rows, by the row groups; none if there are no rows."""
    with open_file(source) as file, pq.ParquetFile(file) as parquet:
        groups = range(parquet.num_row_groups)
        sizes = [parquet.metadata.row_group(group).num_rows for group in groups]
    spans: list[Span] = []
    at = 0
    for size in sizes:
        last = spans[-1] if spans else None
        if last is not None and at + size - last.start <= JOINED_ROWS:
            spans[-1] = last._replace(stop=at + size)
        elif size:
            pieces = -(-size // MAX_PART_ROWS)
            cuts = [at + size * piece // pieces for piece in range(pieces + 1)]
            spans.extend(Span(*pair) for pair in pairwise(cuts))
        at += size
    return spans


def read_parquet(source: str, columns: Sequence[str], span: Span) -> Iterator[Batch]:
    """The rows of a part, streamed: a large row group is never in memory as a whole."""
    with open_file(source) as file, pq.ParquetFile(file, buffer_size=BUFFER_BYTES) as parquet:
        sizes = [parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups)]
        ends = np.cumsum([0, *sizes])
        groups = np.flatnonzero((ends[1:] > span.start) & (ends[:-1] < span.stop))
        if ends[-1] < span.stop:
            raise OSError(f"it lost {span.stop - ends[-1]} rows while it was being read")
        at = int(ends[groups[0]])
        for batch in parquet.iter_batches(
            BATCH_ROWS, groups.tolist(), columns=list(columns), use_threads=False
        ):
            start, stop = max(span.start - at, 0), min(span.stop - at, len(batch))
            if start < stop:
                table = pa.Table.from_batches([batch.slice(start, stop - start)])
                yield Batch(table, np.arange(at + start, at + stop))
            at += len(batch)
            if at >= span.stop:
                return
