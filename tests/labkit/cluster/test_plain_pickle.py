"""Bytes of another client may hold values, and nothing that would be called."""

from __future__ import annotations

import os
import pickle
from typing import Any

import pytest

from labkit.cluster.plain_pickle import plain_loads
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
