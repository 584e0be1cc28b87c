"""Every schedule of a pipeline does the same training as one process, in the schedule's order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from labkit.plan import Plan
from labkit.project.schedules import schedule_actions
from labkit.train.job import RankResult

Compare = Callable[..., Any]
Train = Callable[..., list[RankResult]]

NUM_STEPS = 20
KINDS = {"forward": "F", "backward": "B", "input gradient": "I", "weight gradient": "W"}

PLANS = {
    "gpipe2": Plan(pp=2, schedule="gpipe", microbatches=4),
    "gpipe4-few": Plan(pp=4, schedule="gpipe", microbatches=2),
    "1f1b2": Plan(pp=2, schedule="1f1b", microbatches=4),
    "1f1b3": Plan(pp=3, schedule="1f1b", microbatches=4),
    "1f1b4": Plan(pp=4, schedule="1f1b", microbatches=8),
    "interleaved2-2": Plan(pp=2, schedule="interleaved1f1b", microbatches=4),
    "interleaved2-3": Plan(pp=2, schedule="interleaved1f1b", microbatches=4, virtual_stages=3),
    "zero_bubble2": Plan(pp=2, schedule="zero_bubble", microbatches=4),
    "zero_bubble4": Plan(pp=4, schedule="zero_bubble", microbatches=8),
    "cuts2": Plan(pp=2, microbatches=4, cuts=(1,)),
    "cuts3-zero_bubble": Plan(pp=3, schedule="zero_bubble", microbatches=4, cuts=(3, 4)),
    "cuts2-interleaved": Plan(
        pp=2, schedule="interleaved1f1b", microbatches=2, cuts=(1, 2, 5)
    ),
}  # fmt: skip


def assert_equal_to_one_process(found: Any) -> None:
    """Losses, weights and gradients agree within float32 rounding that 20 steps have amplified."""
    assert found.loss <= 1e-5
    assert found.weights <= 1e-4
    assert found.gradients <= 1e-3
    for result in found.results:
        assert result.comm_bytes == result.comm_bytes_formula
        assert result.comm_bytes["comm_pp"] > 0


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_every_schedule_equals_one_process(compare: Compare, plan: Plan) -> None:
    assert_equal_to_one_process(compare("digits", plan))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(pp=4, schedule="interleaved1f1b", microbatches=4),
        Plan(pp=2, schedule="zero_bubble", microbatches=4),
    ],
    ids=["interleaved4-2", "zero_bubble2"],
)
def test_a_transformer_equals_one_process(compare: Compare, plan: Plan) -> None:
    assert_equal_to_one_process(compare("text", plan))


@pytest.mark.parametrize("name", ["gpipe2", "1f1b3", "interleaved2-3", "zero_bubble4"])
def test_each_rank_computes_what_its_schedule_lists(train_small: Train, name: str) -> None:
    plan = PLANS[name]
    lists = schedule_actions(plan.schedule, plan.pp, plan.num_microbatches, plan.num_virtual_stages)
    for result in train_small("digits", plan, num_steps=2):
        for step in range(2):
            done = [
                (KINDS[span.name], span.stage, span.microbatch)
                for span in result.spans
                if span.step == step and span.name in KINDS
            ]
            assert done == list(lists[result.rank])


def test_a_stage_records_what_it_hands_over_and_waits_for(train_small: Train) -> None:
    first, second = train_small("digits", PLANS["interleaved2-2"], num_steps=1)
    messages: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for span in (*first.spans, *second.spans):
        if span.kind == "comm_pp":
            messages[span.name].add((span.stage, span.microbatch))
    assert messages == {
        "post receives": {(0, 0), (1, 0)},  # once a step, for the first that are expected
        "send activation": {(stage, m) for stage in (0, 1, 2) for m in range(4)},
        "receive activation": {(stage, m) for stage in (1, 2, 3) for m in range(4)},
        "send gradient": {(stage, m) for stage in (1, 2, 3) for m in range(4)},
        "receive gradient": {(stage, m) for stage in (0, 1, 2) for m in range(4)},
    }
    assert {s.stage for s in first.spans if s.kind == "forward"} == {0, 2}
    assert {s.stage for s in second.spans if s.kind == "forward"} == {1, 3}


def test_only_the_ends_of_a_pipeline_read_the_batch(train_small: Train) -> None:
    results = train_small("digits", Plan(pp=4, microbatches=4), num_steps=1)
    reads = [any(span.kind == "data" for span in result.spans) for result in results]
    assert reads == [True, False, False, True]
