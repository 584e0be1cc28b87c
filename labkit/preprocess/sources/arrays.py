"""Python values of a column as an Arrow array, whatever they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def as_array(values: Sequence[Any]) -> pa.Array:
    """(rows,) the one type that all values have, or else text."""
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_binary(array.type) and any(isinstance(value, str) for value in values):
            raise pa.ArrowTypeError("texts among bytes would become bytes")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = pa.array([_text(value) for value in values], pa.string())
    return array


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, default=str)
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)
