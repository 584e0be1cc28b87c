"""An emulated run's own judgement of how late it was."""

from __future__ import annotations

import pytest

from labkit.runs.lateness import judge_lateness, lateness_of
from labkit.runs.record import RunRecord
from labkit.train.job import RankResult


def rank(ends_s: list[float], nominal_s: list[float]) -> RankResult:
    return RankResult(
        rank=0, replica=0, stage=0, tensor_rank=0, steps=[], step_ends_s=ends_s, loop_start_s=0.0,
        spans=[], num_dropped_spans=0, comm_bytes={}, comm_bytes_formula={}, memory_bytes=0,
        nominal_ends_s=nominal_s,
    )  # fmt: skip


def record(scale: float = 3.0) -> RunRecord:
    return RunRecord(
        run="r", workload={"name": "fruit"}, plan={}, strategy="data", world_size=8,
        planned_steps=3, kind="emulated", warmup_steps=1, host={"num_cores": 2},
        emulation={"time_scale": scale},
    )  # fmt: skip


def test_a_run_on_time_is_not_late() -> None:
    assert lateness_of([rank([1, 2, 3], [1, 2, 3])], 1) == 0.0
    assert lateness_of([rank([], [])], 1) == 0.0


def test_the_worst_rank_counts_relative_to_the_declared_time_after_the_warm_up() -> None:
    results = [rank([1, 2, 3], [1, 2, 3]), rank([1, 2.1, 3.2], [1, 2, 3])]
    assert lateness_of(results, 1) == pytest.approx(0.1)


def test_steps_that_catch_up_after_a_late_warm_up_are_not_taken_for_fast_ones() -> None:
    assert lateness_of([rank([1.5, 2.2, 3.0], [1, 2, 3])], 1) == pytest.approx(0.25)


def test_above_five_percent_the_advice_is_a_scale_that_would_have_been_enough() -> None:
    late = judge_lateness([rank([1, 2, 8], [1, 2, 3])], record())
    assert late["lateness"] == pytest.approx(2.5)
    assert not late["trustworthy"]
    assert "250% late, since 8 of them share 2 cores" in late["advice"]
    assert "such as 15.8" in late["advice"]
    assert late["declared_step_s"] == pytest.approx(1.0)


def test_within_five_percent_there_is_nothing_to_advise() -> None:
    judged = judge_lateness([rank([1, 2, 3.08], [1, 2, 3])], record())
    assert judged["trustworthy"]
    assert judged["advice"] == ""
