"""What every kind of source is read as: spans that one task reads each, batches of raw rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Span(NamedTuple):
    """What one part reads of a source: rows, keys or bytes ``start`` up to ``stop``."""

    start: int
    stop: int
    first_row: int = 0


class Broken(NamedTuple):
    """A row that cannot be read at all."""

    row: int
    reason: str
    content: str  # JSON


class Batch(NamedTuple):
    """Some rows of a source.

    Attributes:
        table: the columns that were asked for.
        rows: (rows,) each row's number in the source, from 0.
        broken: rows between them that cannot be read.
    """

    table: pa.Table
    rows: NDArray[np.int64]
    broken: Sequence[Broken] = ()
