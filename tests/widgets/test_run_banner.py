"""What kind of run is shown is said in words and never missing; the parity badge."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.runs.parity import Parity
from widgets.parity_badge import parity_badge
from widgets.run_banner import beyond_cores, planned_note


def parity(**found: Any) -> Parity:
    figures = {"loss": 3e-7, "weights": 1e-6, "gradients": None, "limit": 1e-5, "why": "equal"}
    return Parity(run="a", single="b", steps=20, **(figures | found))


@pytest.mark.parametrize(
    ("found", "level", "verdict"),
    [
        ({}, "good", "Equal to one process"),
        ({"limit": None, "why": "compressed"}, "open", "Approximate by nature"),
        ({"loss": 0.1}, "bad", "Differs from one process"),
    ],
)
def test_badge_says_the_verdict_and_the_differences(
    found: dict[str, Any], level: str, verdict: str
) -> None:
    markup = parity_badge(parity(**found))
    assert f'class="lab-badge {level}"' in markup
    assert verdict in markup
    assert "weights 1e-06 over 20 steps" in markup
    assert "gradients" not in markup  # they were not kept


def test_planned_runs_have_a_kind_too() -> None:
    assert planned_note(None) == "MEASURED: real ranks, real clock"
    assert planned_note("demo") == "EMULATED on demo: real ranks, declared speed"


def test_only_measured_runs_are_bounded_by_the_cores() -> None:
    assert "8 ranks share 2 cores: speedup above 2" in beyond_cores(8, 2, emulated=False)
    assert beyond_cores(8, 2, emulated=True) == ""
    assert beyond_cores(2, None, emulated=False) == ""
