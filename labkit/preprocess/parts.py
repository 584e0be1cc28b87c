"""Parts of the rows: where they lie, and which fitted steps they go through when they are loaded.

A part is a promise and holds no rows. Every task loads the part it works on, uses it and lets go of
it: data may be larger than all memory together, a worker that dies takes nothing along, and each
step is a small summary of each part (map), the summaries merged in the order of the parts
(reduce), and a fitted function that is applied from then on. That is MapReduce; Dean & Ghemawat
2004, "MapReduce: simplified data processing on large clusters".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from labkit.preprocess.schema import KEY, SOURCE, Schema, numbers_of
from labkit.preprocess.tasks import Executor


class Fitted(Protocol):
    """A step that has seen the data: it changes rows one by one, so parts can go on alone."""

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows as they are after the step; the frame that is given is not changed."""

    def to_dict(self) -> dict[str, Any]:
        """What was found, in JSON's types: enough to treat new data alike."""


class Rows(Protocol):
    """Where rows come from."""

    def read(self) -> pd.DataFrame:
        """The rows in the common columns."""


@dataclass(frozen=True, slots=True)
class RowsInMemory:
    """Rows that are there already: for small tables and for tests."""

    frame: pd.DataFrame

    def read(self) -> pd.DataFrame:
        """The rows; not to be changed."""
        return self.frame


@dataclass(frozen=True, slots=True)
class ArrowRows:
    """Ranges of batches of Arrow files, one after the other.

    They are read and not memory-mapped: mapping a file whole counts all its pages as the worker's
    memory for a moment, which Dask may restart it for.

    Attributes:
        pieces: ``(path, first, stop)`` each, batches from ``first`` to before ``stop``; ``None``
            as ``stop`` reads to the end.
        columns: that are read; ``None`` reads all.
    """

    pieces: tuple[tuple[str, int, int | None], ...]
    columns: tuple[str, ...] | None = None

    def read(self) -> pd.DataFrame:
        """The rows; not to be changed, since columns may share what was read."""
        frame: pd.DataFrame = self._table().to_pandas(split_blocks=True)
        return frame if self.columns is None else frame[list(self.columns)]

    def _table(self) -> pa.Table:
        batches: list[pa.RecordBatch] = []
        for path, first, stop in self.pieces:
            with pa.OSFile(path) as source:
                reader = pa.ipc.open_file(source, options=self._options(source))
                end = reader.num_record_batches if stop is None else stop
                batches += [reader.get_batch(number) for number in range(first, end)]
        return pa.Table.from_batches(batches, reader.schema)

    def _options(self, source: pa.NativeFile) -> pa.ipc.IpcReadOptions:
        if self.columns is None:
            return pa.ipc.IpcReadOptions()
        schema = pa.ipc.open_file(source).schema
        fields = [schema.get_field_index(name) for name in self.columns]
        return pa.ipc.IpcReadOptions(included_fields=fields)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the rows.

    Attributes:
        number: place among the parts; summaries are merged in this order.
        rows: where they come from.
        steps: what they go through when loaded, in order.
    """

    number: int
    rows: Rows
    steps: tuple[Fitted, ...] = ()

    def load(self) -> pd.DataFrame:
        """The rows after all steps; not to be changed."""
        frame = self.rows.read()
        for step in self.steps:
            frame = step.apply(frame)
        return frame

    def then(self, step: Fitted) -> Part:
        """The same rows after one more step."""
        return replace(self, steps=(*self.steps, step))


def map_parts(
    executor: Executor,
    function: Callable[..., Any],
    parts: Sequence[Part],
    *more: Sequence[Any],
    **settings: Any,
) -> list[Any]:
    """``function(frame, *one of each more, **settings)`` of every part, in the order of parts.

    Args:
        executor: where; one task a part.
        function: a module-level function; what it returns is small.
        parts: the rows.
        more: further arguments, one for each part.
        settings: the same for every part.
    """
    return executor.map(_load_and_call, parts, *more, function=function, settings=settings)


def _load_and_call(
    part: Part, *more: Any, function: Callable[..., Any], settings: dict[str, Any]
) -> Any:
    return function(part.load(), *more, **settings)


def parts_of(frame: pd.DataFrame, num_parts: int) -> list[Part]:
    """A small table in memory as so many parts, in order; for tests and for examples."""
    cuts = np.linspace(0, len(frame), num_parts + 1).astype(int)
    return [
        Part(number, RowsInMemory(frame.iloc[start:stop].reset_index(drop=True)))
        for number, (start, stop) in enumerate(pairwise(cuts))
    ]


BUFFER_BYTES = 1 << 20  # written at once: a batch is many small pieces
ARROW_TYPES = {"number": pa.float64(), "category": pa.int32(), "text": pa.string()}


def arrow_schema(schema: Schema) -> pa.Schema:
    """How rows in the common columns are stored: the same in every file, whatever they hold."""
    own = [pa.field(KEY, pa.int64()), pa.field(SOURCE, pa.int8())]
    return pa.schema([*own, *((each.name, ARROW_TYPES[each.kind]) for each in schema.columns)])


def write_arrow(
    frame: pd.DataFrame, path: str | Path, schema: Schema, cuts: Sequence[int] = ()
) -> None:
    """Write rows as an Arrow file; it is there whole, or not at all.

    Args:
        frame: the rows.
        path: of the file.
        schema: of the rows.
        cuts: (batches + 1,) first row of each batch, and the number of rows; one batch without.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    types = arrow_schema(schema)
    columns = [_arrow(frame[each.name], each.type) for each in types]
    table = pa.Table.from_arrays(columns, schema=types)
    empty = pa.RecordBatch.from_pylist([], types)
    with (
        pa.output_stream(str(draft), None, BUFFER_BYTES) as sink,
        pa.ipc.new_file(sink, types) as writer,
    ):
        for start, stop in pairwise(cuts or (0, len(frame))):
            # a table without rows writes no batch, and batches are found by their number
            chunks = table.slice(start, stop - start).to_batches()
            writer.write_batch(chunks[0] if chunks else empty)
    draft.replace(target)


def _arrow(values: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    """One column; gaps of numbers stay NaN, so that they are written and read without a copy."""
    if pa.types.is_string(kind):
        return pa.array(values, kind, from_pandas=True)
    if pa.types.is_floating(kind):
        return pa.array(numbers_of(values), kind)
    return pa.array(values.to_numpy(dtype=kind.to_pandas_dtype()), kind)
