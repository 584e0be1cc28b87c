"""Bytes of another client may hold values, and nothing that would be called."""

from __future__ import annotations

import os
import pickle
from typing import Any

import pytest

from labkit.cluster.plain_pickle import events_of, plain_loads
from labkit.runs.record import Step


def test_plain_values_come_back_as_they_were() -> None:
    value = [{"type": "steps", "steps": [(1, 0.5, 64, 0.1, 2.0)], "why": None, "some": {1, 2}}]
    assert plain_loads(pickle.dumps(value)) == value


class Trap:
    """Runs a command where it is unpickled in the usual way."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 3",)


@pytest.mark.parametrize("value", [Trap(), Step(0, 0.5, 64, 0.1, 2.0), print])
def test_whatever_names_code_is_refused(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no plain value"):
        plain_loads(pickle.dumps(value))


@pytest.mark.parametrize("damaged", [b"", b"\x80\x05]", b"a.", b"(K\x01d.", b"N0.", "", 3])
def test_damaged_bytes_are_one_kind_of_error(damaged: Any) -> None:
    with pytest.raises(pickle.UnpicklingError):
        plain_loads(damaged)


@pytest.mark.parametrize(
    "events",
    [3, None, "steps", [3], ["steps"], [{}], [{"kind": "steps"}], [{"type": "steps"}],
     [{"type": "steps", "steps": 3}], [{"type": "steps", "steps": [3]}],
     [{"type": "steps", "steps": [()]}], [{"type": "steps", "steps": [("first", 0.5)]}]],
)  # fmt: skip
def test_values_that_are_no_events_are_the_same_error(events: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="no events"):
        events_of({"events": pickle.dumps(events)})


def test_events_come_back_as_they_were() -> None:
    events = [{"type": "steps", "steps": [(1, 0.5, 64, 0.1, 2.0)]}, {"type": "steps", "steps": []}]
    assert events_of({"events": pickle.dumps(events)}) == events
    with pytest.raises(pickle.UnpicklingError, match="no events"):
        events_of({})
