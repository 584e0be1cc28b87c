"""Keys made from what rows hold, the same on every machine and in any order of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING, Column, Schema, numbers_of
from labkit.preprocess.split import hash_ids

NOTHING = np.uint64(0x6A09E667F3BCC909)  # stands for a value that is missing


def content_keys(
    frame: pd.DataFrame, schema: Schema, columns: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """(rows,) a hash of what each row holds: equal rows have equal keys.

    Unequal rows share one with a probability of 2**-64 a pair; ``resolve`` keeps them apart.

    Args:
        frame: rows in the common columns.
        columns: that count, in this order; ``None`` for all of the schema.
    """
    names = [each.name for each in schema.columns] if columns is None else columns
    mixed: NDArray[np.uint64] = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        mixed = hash_ids((mixed ^ _hashes(frame[name], schema.column(name))).view(np.int64))
    return mixed.view(np.int64)


def changes(*values: NDArray[Any]) -> NDArray[np.bool_]:
    """(rows,) where a row differs in any of these from the one before it; the first row does."""
    differs = np.ones(len(values[0]), dtype=bool)
    differs[1:] = np.logical_or.reduce([each[1:] != each[:-1] for each in values])
    return differs


def is_missing(values: pd.Series, column: Column) -> NDArray[np.bool_]:
    """(rows,) where one column's value is not known."""
    category = column.kind == "category"
    missing = values == MISSING if category else values.isna()
    return np.asarray(missing, dtype=bool)


def _hashes(values: pd.Series, column: Column) -> NDArray[np.uint64]:
    """(rows,) a 64-bit hash of each value; of categories by name, so codes may change."""
    if column.kind == "number":
        numbers = numbers_of(values) + 0.0  # -0.0 becomes 0.0
        return np.asarray(np.where(np.isnan(numbers), NOTHING, numbers.view(np.uint64)))
    if column.kind == "category":
        by_code = np.append(_hash_texts(np.array(column.names, dtype=object)), NOTHING)
        return np.asarray(by_code[values.to_numpy()])  # MISSING is the last
    known = ~values.isna().to_numpy()
    hashes = np.full(len(values), NOTHING)
    hashes[known] = _hash_texts(values.to_numpy(dtype=object)[known])
    return hashes


def _hash_texts(texts: NDArray[np.object_]) -> NDArray[np.uint64]:
    return np.asarray(pd.util.hash_array(texts), dtype=np.uint64)
