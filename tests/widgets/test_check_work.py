"""Answers that are no runs are judged by what they do."""

from __future__ import annotations

from widgets.check_work import check_work
from widgets.checks import at_most, equals


def test_before_the_exercise_there_is_nothing_to_judge() -> None:
    assert check_work(None, equals("sum", sum, 3)).passed is None


def test_what_the_reader_made_is_used_and_judged() -> None:
    verdict = check_work([1, 2], equals("sum", sum, 3), at_most("length", len, 2, "d"))
    assert verdict.passed
    assert "[x] length: 2 (wanted: at most 2)" in repr(verdict)
    assert check_work([1, 1], equals("sum", sum, 3)).passed is False


def test_work_that_raises_fails_its_claim_with_the_reason() -> None:
    verdict = check_work(["a"], equals("sum", sum, 3), equals("length", len, 1))
    assert verdict.passed is False
    assert "[ ] sum: TypeError: unsupported operand" in repr(verdict)
    assert "[x] length: 1" in repr(verdict)
