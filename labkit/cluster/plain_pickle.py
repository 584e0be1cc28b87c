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
        UnpicklingError: the bytes name a class or a function, which is not even looked up; or they
            are no whole pickle.
    """
    try:
        return _PlainUnpickler(io.BytesIO(pickled)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # damaged bytes may raise whatever their opcodes come upon
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


def events_of(message: Any) -> list[dict[str, Any]]:
    """The events that a rank sent in a message, each of which has a type.

    Raises:
        UnpicklingError: the message holds none that this version of labkit could read.
    """
    try:
        events = plain_loads(message["events"])
        for event in events:
            if event["type"] == "steps":
                _check_steps(event["steps"])
    except (LookupError, TypeError, AttributeError) as error:
        raise pickle.UnpicklingError(f"no events: {type(error).__name__}: {error}") from error
    return list(events)


def _check_steps(steps: Any) -> None:
    """Raise a TypeError unless these are steps, which begin with their number."""
    for step in steps:
        if not isinstance(step[0], int):
            raise TypeError(f"{step[0]!r} is no number of a step")
