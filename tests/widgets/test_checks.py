"""Check cells judge the record of a run, and say what is missing."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from labkit.emulate.device import find_device
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Step
from labkit.workload import find_workload
from widgets.checks import at_least, at_most, check, emulated_on, equals


def a_record(run: str = "mine", **settings: Any) -> RunRecord:
    plan = Plan(dp=2)
    steps = [Step(n, 1.0 / (n + 1), 64, 0.1, 0.1 * (n + 1)) for n in range(2)]
    return RunRecord(
        run=run,
        workload=find_workload("fruit").to_dict(),
        plan=plan.to_dict(),
        strategy=plan.strategy,
        world_size=plan.world_size,
        planned_steps=2,
        **{"status": "done", "steps": steps, **settings},
    )


def test_before_the_exercise_there_is_nothing_to_judge() -> None:
    verdict = check(None, equals("ranks", lambda r: r.world_size, 2))
    assert verdict.passed is None
    assert "do the exercise above" in repr(verdict)


def test_a_run_that_keeps_every_claim_passes_and_shows_its_figures() -> None:
    verdict = check(
        a_record(),
        equals("ranks", lambda r: r.world_size, 2),
        at_most("last loss", lambda r: r.losses[-1], 0.6),
        at_least("samples", lambda r: sum(s.samples for s in r.steps), 128, "d"),
    )
    assert verdict.passed
    shown = verdict._repr_markdown_()
    assert "✓ last loss: 0.5 (wanted: at most 0.6)" in shown
    assert "✗" not in shown


def test_a_claim_that_fails_is_named_with_what_was_found() -> None:
    verdict = check(a_record(), at_most("last loss", lambda r: r.losses[-1], 0.2))
    assert verdict.passed is False
    assert "[ ] last loss: 0.5 (wanted: at most 0.2)" in repr(verdict)


def test_a_run_that_did_not_end_well_is_no_answer() -> None:
    def last_loss(record: RunRecord) -> float:
        return record.losses[-1]

    failed = check(a_record(status="failed", steps=[]), at_most("last loss", last_loss, 1.0))
    assert failed.passed is False
    assert "status: failed (wanted: done)" in repr(failed)


def test_the_chapters_own_run_is_no_answer() -> None:
    chapter = a_record("chapter")
    assert check(chapter, other_than=[chapter]).passed is False
    assert check(a_record("mine"), other_than=[chapter]).passed


def test_something_that_is_no_run_is_refused_in_words() -> None:
    verdict = check(Plan(dp=2))  # type: ignore[arg-type]
    assert verdict.passed is False
    assert "Plan is no run: assign what labkit.train(...) returned" in repr(verdict)


DEMO = find_device("demo")


@pytest.mark.parametrize(
    ("emulation", "found"),
    [
        ({"declared": asdict(DEMO)}, "demo"),
        ({"declared": asdict(replace(DEMO, across=DEMO.inside))}, "another than this demo"),
        ({}, "no device"),
    ],
    ids=["the device", "another of its name", "measured"],
)
def test_a_run_is_emulated_on_the_very_device(emulation: dict[str, Any], found: str) -> None:
    verdict = check(a_record(emulation=emulation), emulated_on(DEMO))
    assert verdict.passed == (found == "demo")
    assert f"emulated on: {found} (wanted: demo)" in repr(verdict)
