"""What a pipeline's run was, and what its schedule alone would have taken."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.project.ideal_replicas import SPANS
from labkit.project.ideal_timeline import ideal_timeline, measured_step
from labkit.project.memory import pipeline_actions
from labkit.runs.record import RunRecord, Span, Step

WAIT_S = 0.25  # before every action of the made-up runs
STEP_S = 100.0


def make_record(
    plan: Plan, *, seconds: dict[tuple[str, int], float], num_steps: int = 4, first_step: int = 0
) -> RunRecord:
    """A run whose ranks did one action after the other, always waiting before it."""
    actions = pipeline_actions(plan)
    spans: list[Span] = []
    for rank in range(plan.world_size):
        for step in range(first_step, num_steps):
            now_s = 7.0 + STEP_S * step
            for kind, stage, microbatch in actions[rank // plan.tp % plan.pp]:
                took_s = seconds[kind, stage] * (10 if step == 0 else 1)  # the warm-up
                now_s += WAIT_S
                name = SPANS[kind]
                spans.append(Span(rank, stage, *name, now_s, took_s, microbatch, 0, step))
                now_s += took_s
            spans.append(Span(rank, 0, "optimizer", "sgd", now_s, 0.5, -1, 0, step))
    lengths = [90.0, 3.0, 5.0, 4.0]
    return RunRecord(
        run="r1",
        workload={"name": "fruit"},
        plan=plan.to_dict(),
        strategy=plan.strategy,
        world_size=plan.world_size,
        planned_steps=num_steps,
        warmup_steps=1,
        spans=spans,
        steps=[Step(n, 0.0, 64, lengths[n % 4], 0.0) for n in range(num_steps)],
    )


def same_on_all(num_stages: int, **seconds: float) -> dict[tuple[str, int], float]:
    """Durations by kind, equal on all stages."""
    return {(kind, stage): s for kind, s in seconds.items() for stage in range(num_stages)}


def length_s(spans: list[Span]) -> float:
    """To the end of the last forward or backward."""
    return max(s.start_s + s.duration_s for s in spans if s.kind != "optimizer")


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_the_ideal_is_the_schedules_own_formula(schedule: Any) -> None:
    plan = Plan(pp=4, microbatches=8, schedule=schedule)
    spans = ideal_timeline(make_record(plan, seconds=same_on_all(4, F=1.0, B=2.0)))
    assert length_s(spans) == pytest.approx((8 + 3) * 3.0)
    assert min(span.start_s for span in spans) == 0.0
    assert {span.rank for span in spans} == {0, 1, 2, 3}
    assert sum(span.kind == "optimizer" for span in spans) == 4


def test_halved_backwards_keep_their_own_times() -> None:
    plan = Plan(pp=4, microbatches=8, schedule="zero_bubble")
    spans = ideal_timeline(make_record(plan, seconds=same_on_all(4, F=1.0, I=1.5, W=0.5)))
    assert length_s(spans) == pytest.approx(8 * 3.0 + 3 * (1.0 + 1.5 - 0.5))
    assert {span.kind for span in spans} == {"forward", "backward", "weight_grad", "optimizer"}


def test_stages_of_one_rank_have_their_own_times() -> None:
    plan = Plan(pp=2, microbatches=4, schedule="interleaved1f1b")
    seconds = {("F", s): 1.0 + s for s in range(4)} | {("B", s): 2.0 for s in range(4)}
    spans = ideal_timeline(make_record(plan, seconds=seconds))
    forward = {s.stage: s.duration_s for s in spans if s.kind == "forward"}
    assert forward == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    assert {span.stage for span in spans if span.rank == 1 and span.microbatch >= 0} == {1, 3}


def test_every_rank_of_a_hybrid_gets_its_row() -> None:
    plan = Plan(dp=2, pp=2, tp=2, microbatches=4)
    spans = ideal_timeline(make_record(plan, seconds=same_on_all(2, F=1.0, B=2.0)))
    rows = [[s[1:] for s in spans if s.rank == rank] for rank in range(8)]
    assert rows[0] == rows[1] == rows[4] == rows[5]
    assert rows[2] == rows[3] == rows[6] == rows[7] != rows[0]


def test_the_measured_step_is_of_median_length_and_begins_at_0() -> None:
    plan = Plan(pp=2, microbatches=4)
    record = make_record(plan, seconds=same_on_all(2, F=1.0, B=2.0))
    spans = measured_step(record)
    assert {span.step for span in spans} == {3}  # 4 s, between 3 and 5
    assert min(span.start_s for span in spans) == 0.0
    assert len(spans) == 2 * (8 + 1)


def test_a_step_of_which_spans_were_dropped_is_not_shown() -> None:
    plan = Plan(pp=2, microbatches=4)
    record = make_record(plan, seconds=same_on_all(2, F=1.0, B=2.0), first_step=2)
    assert {span.step for span in measured_step(record)} == {3}
    record.spans = [span for span in record.spans if span.step == 2]
    with pytest.raises(SettingError, match="no whole step in its record; let it do more steps"):
        measured_step(record)


def test_a_rank_without_spans_leaves_no_whole_step() -> None:
    record = make_record(Plan(pp=2, microbatches=4), seconds=same_on_all(2, F=1.0, B=2.0))
    record.spans = [span for span in record.spans if span.rank == 0]
    with pytest.raises(SettingError, match="no whole step"):
        measured_step(record)


@pytest.mark.parametrize("plan", [Plan(dp=2), Plan(pp=2, placement="branches")])
def test_a_run_without_a_pipeline_is_refused(plan: Plan) -> None:
    record = make_record(Plan(pp=2, microbatches=4), seconds=same_on_all(2, F=1.0, B=2.0))
    record.plan = plan.to_dict()
    with pytest.raises(SettingError, match="had no pipeline of layers"):
        ideal_timeline(record)


def test_a_stage_that_has_done_nothing_is_named() -> None:
    record = make_record(Plan(pp=2, microbatches=4), seconds=same_on_all(2, F=1.0, B=2.0))
    record.spans = [span for span in record.spans if span.stage != 1 or span.kind != "backward"]
    with pytest.raises(SettingError, match="has no backward of stage 1 in its record"):
        ideal_timeline(record)
