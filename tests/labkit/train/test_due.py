"""Checkpoints come when they are due, cost little, and meet the ranks where they report."""

from __future__ import annotations

import pytest

from labkit.train.checkpoint_files import Checkpoints
from labkit.train.due import MIN_INTERVAL_S, Due


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def run(due: Due, clock: Clock, *, num_steps: int, step_s: float, cost_s: float) -> list[int]:
    """Train, reporting after every step; the steps after which one was written."""
    written = []
    for done in range(1, num_steps + 1):
        clock.now_s += step_s
        if due.is_due(done):
            clock.now_s += cost_s
            due.saved(done, cost_s)
            written.append(done)
    return written


@pytest.mark.parametrize("cost_s", [0.001, 0.05, 0.3, 2.0])
def test_by_the_clock_they_cost_at_most_a_fiftieth(cost_s: float) -> None:
    clock = Clock()
    due = Due(Checkpoints(folder="x"), 1, 0, clock)
    written = run(due, clock, num_steps=20_000, step_s=0.05, cost_s=cost_s)
    assert len(written) > 2
    assert written[0] * 0.05 >= MIN_INTERVAL_S
    assert (len(written) - 1) * cost_s <= 0.0201 * clock.now_s


def test_a_short_run_writes_none_by_the_clock() -> None:
    clock = Clock()
    due = Due(Checkpoints(folder="x"), 1, 0, clock)
    assert run(due, clock, num_steps=40, step_s=0.1, cost_s=0.1) == []
    assert not due.is_due_at_end(40)


def test_by_steps_they_come_at_multiples_and_at_the_end() -> None:
    clock = Clock()
    due = Due(Checkpoints(folder="x", every_steps=4), 1, 0, clock)
    assert run(due, clock, num_steps=14, step_s=0.01, cost_s=1.0) == [4, 8, 12]
    assert due.is_due_at_end(14)
    due.saved(14, 1.0)
    assert not due.is_due_at_end(14)


def test_after_a_resume_they_come_at_the_same_steps() -> None:
    clock = Clock()
    due = Due(Checkpoints(folder="x", every_steps=4), 1, 6, clock)
    assert not due.is_due_at_end(6)
    assert due.shorten(6, 64) == 2
    assert next(done for done in range(7, 13) if due.is_due(done)) == 8


def test_where_replicas_agree_only_now_and_then_they_come_there() -> None:
    due = Due(Checkpoints(folder="x", every_steps=4), 3, 0, Clock())
    written = []
    for done in range(1, 20):
        if due.is_due(done):
            due.saved(done, 0.0)
            written.append(done)
    assert written == [6, 9, 12, 18]
    assert not due.is_due_at_end(19)


def test_reports_come_where_a_checkpoint_may_be_due() -> None:
    by_steps = Due(Checkpoints(folder="x", every_steps=10), 1, 0, Clock())
    assert [by_steps.shorten(done, 64) for done in (0, 3, 9)] == [10, 7, 1]
    by_clock = Due(Checkpoints(folder="x"), 16, 0, Clock())
    assert [by_clock.shorten(done, 20) for done in (0, 4, 15)] == [16, 12, 17]
    assert by_clock.shorten(1, 3) == 3
    never = Due(None, 16, 0, Clock())
    assert never.shorten(1, 64) == 64
    assert not never.is_due(16)
    assert not never.is_due_at_end(16)
