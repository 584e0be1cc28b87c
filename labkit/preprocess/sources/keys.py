"""Which thing a row describes, as one 64-bit number that is the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labkit.preprocess.integrate.keys import content_keys, is_missing
from labkit.preprocess.schema import Schema
from labkit.preprocess.sources.maps import SourceMap

NO_KEY = "no readable identifier"
WHOLE = r"^[+-]?(?:\d{1,18}|[1-8]\d{18})$"  # of an int64


def has_key(source_map: SourceMap, schema: Schema) -> bool:
    """Whether the source has the key's columns; if not, its rows are known by what they hold."""
    return bool(schema.key) and all(name in source_map.fields for name in schema.key)


def row_keys(
    frame: pd.DataFrame, schema: Schema, source_map: SourceMap, arrays: Mapping[str, pa.Array]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(rows,) keys, and whether each row has one.

    One key column of whole numbers is its value; several, or texts, are hashed; without key
    columns everything that the row holds is hashed.

    Args:
        frame: the common columns.
        schema: names the key.
        source_map: says whether the source has the key's columns.
        arrays: the source's columns, to take whole numbers beyond 2**53 from.
    """
    if not has_key(source_map, schema):
        return content_keys(frame, schema), np.ones(len(frame), dtype=bool)
    columns = [schema.column(name) for name in schema.key]
    if len(columns) > 1 or columns[0].kind != "number":
        missing = [is_missing(frame[column.name], column) for column in columns]
        return content_keys(frame, schema, schema.key), ~np.logical_or.reduce(missing)
    name = columns[0].name
    values = frame[name].to_numpy(dtype=np.float64)
    known = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**63)
    each = source_map.fields[name]
    if (each.factor, each.offset) == (1.0, 0.0):
        exact = _whole_numbers(arrays[each.column])
        if exact is not None:
            same = known & (exact.astype(np.float64) == values)  # "7.0" is whole, yet no digits
            known &= same | (np.abs(values) < 2**53)
            return np.where(same, exact, np.where(known, values, 0.0).astype(np.int64)), known
    known &= np.abs(values) < 2**53  # beyond, neighbours are the same float
    return np.where(known, values, 0.0).astype(np.int64), known


def _whole_numbers(array: pa.Array) -> NDArray[np.int64] | None:
    """(rows,) exact whole numbers, 0 where a text is none; ``None`` if floats must do."""
    if pa.types.is_integer(array.type) and not pa.types.is_uint64(array.type):
        whole = array.cast(pa.int64())
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        text = pc.utf8_trim_whitespace(array.cast(pa.string()))
        digits = pc.match_substring_regex(text, WHOLE)
        plain = pc.replace_substring_regex(text, r"^\+", "")
        whole = pc.if_else(digits, plain, pa.scalar(None, pa.string())).cast(pa.int64())
    else:
        return None
    numbers: NDArray[np.int64] = whole.fill_null(0).to_numpy(zero_copy_only=False)
    return numbers
