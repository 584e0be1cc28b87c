"""Unpickle plain values only, so that bytes of another client's run can name no code to call."""

from __future__ import annotations

import io
import pickle
from typing import Any


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def plain_loads(pickled: bytes) -> Any:
    """Numbers, texts, bytes, None, and lists, tuples, dicts and sets of them.

    Raises:
        UnpicklingError: the bytes name a class or a function, which is not even looked up.
    """
    return _PlainUnpickler(io.BytesIO(pickled)).load()
