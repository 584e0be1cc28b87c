"""The event simulation: equal to closed formulas where there are some, honest where not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from labkit.emulate.device import Link
from labkit.errors import PlanError
from labkit.project.schedules import Action, schedule_actions
from labkit.project.simulate import Pipeline, makespan_s, simulate, steady_step, until_settled

SHAPES = [(p, m) for p in range(1, 9) for m in range(p, 4 * p + 1)]


def seconds_of(f: float, i: float, w: float) -> Callable[[Action], float]:
    """The same durations on all stages: forward, input gradient, weight gradient."""
    return lambda action: {"F": f, "B": i + w, "I": i, "W": w}[action.kind]


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize("seconds", [(1.0, 1.0, 1.0), (1.0, 2.0, 0.5)])
def test_gpipe_and_1f1b_take_p_minus_1_microbatches_longer(
    schedule: str, seconds: tuple[float, float, float]
) -> None:
    for p, m in SHAPES:
        step = simulate(schedule_actions(schedule, p, m), seconds_of(*seconds))
        expected = (m + p - 1) * sum(seconds)
        assert makespan_s(step.ops[0]) == pytest.approx(expected)
        assert step.period_s == pytest.approx(expected)


def test_interleaving_divides_the_bubble_by_the_stages_of_a_rank() -> None:
    for p, m in SHAPES:
        for v in range(1, 5) if m % p == 0 else ():
            f, b = 1.0 / v, 2.0 / v
            step = simulate(
                schedule_actions("interleaved1f1b", p, m, v), seconds_of(f, b / 2, b / 2)
            )
            assert step.period_s == pytest.approx(m * v * (f + b) + (p - 1) * (f + b))


@pytest.mark.parametrize("seconds", [(1.0, 1.0, 1.0), (1.0, 1.0, 0.5), (1.0, 1.5, 1.0)])
def test_zero_bubble_leaves_a_bubble_of_p_minus_1_times_f_plus_i_minus_w(
    seconds: tuple[float, float, float],
) -> None:
    f, i, w = seconds
    for p, m in SHAPES:
        step = simulate(schedule_actions("zero_bubble", p, m), seconds_of(f, i, w))
        assert step.period_s == pytest.approx(m * (f + i + w) + (p - 1) * (f + i - w))


def test_no_rank_does_two_things_at_once_nor_starts_before_its_message_is_there() -> None:
    link = Link(100.0, 0.1)
    actions = schedule_actions("interleaved1f1b", 4, 8, 2)
    ops = Pipeline(
        actions, seconds_of(1, 1, 1), boundary_bytes=[20] * 8, link=lambda a, b: link
    ).step([0.0] * 4)
    ends = {op.action: op.end_s for of_rank in ops for op in of_rank}
    for of_rank in ops:
        assert all(a.end_s <= b.start_s for a, b in pairwise(of_rank))
        for op in of_rank:
            kind, stage, microbatch = op.action
            source = stage - 1 if kind == "F" else stage + 1
            if 0 <= source < 8:
                assert op.start_s >= ends[Action(kind, source, microbatch)] + 0.2 + 0.1 - 1e-9


def test_a_message_to_a_stage_on_the_same_rank_takes_no_time() -> None:
    actions = schedule_actions("interleaved1f1b", 1, 2, 3)
    step = simulate(
        actions, seconds_of(1, 1, 1), boundary_bytes=[10**6] * 3, link=lambda a, b: Link(1.0, 9.0)
    )
    assert step.period_s == pytest.approx(2 * 3 * 3)


def test_messages_on_one_link_queue() -> None:
    # GPipe sends two activations a second apart over a link that takes five for each.
    actions = schedule_actions("gpipe", 2, 2)
    link = Link(100.0, 0.0)
    _, second = Pipeline(
        actions, seconds_of(1, 1, 1), boundary_bytes=[500, 0], link=lambda a, b: link
    ).step([0.0, 0.0])
    assert [op.start_s for op in second[:2]] == [6.0, 11.0]
    assert [op.sent_s for op in second[:2]] == [1.0, 2.0]


def test_the_slowest_stage_sets_the_pace() -> None:
    actions = schedule_actions("1f1b", 4, 100)
    step = simulate(actions, lambda action: 2.0 if action.stage == 2 else 1.0)
    assert step.period_s == pytest.approx(100 * 4.0, rel=0.05)
    assert step.period_s > 100 * 4.0


def test_a_rank_goes_on_with_its_next_step_while_others_still_work() -> None:
    # The last rank is done early; its update falls into the time that it would wait anyway.
    actions = schedule_actions("1f1b", 4, 8)
    pipeline = Pipeline(actions, seconds_of(1, 1, 1))
    update = [[0.0, 0.0, 0.0, 5.0]]
    step = steady_step(
        [pipeline], lambda ends: [[e + u for e, u in zip(ends[0], update[0], strict=True)]]
    )
    assert step.period_s == pytest.approx((8 + 3) * 3.0)
    assert simulate(actions, seconds_of(1, 1, 1), update_s=5.0).period_s == pytest.approx(33 + 5)


def test_pipelines_that_meet_at_the_end_wait_for_the_slower_one() -> None:
    actions = schedule_actions("1f1b", 2, 4)
    fast, slow = (Pipeline(actions, seconds_of(t, t, t)) for t in (1.0, 2.0))

    def meet(ends: list[list[float]]) -> list[list[float]]:
        last = [max(of_place) + 1.0 for of_place in zip(*ends, strict=True)]
        return [last, last]

    assert steady_step([fast, slow], meet).period_s == pytest.approx((4 + 1) * 6.0 + 1.0)


def test_a_schedule_whose_ranks_wait_for_each_other_is_refused() -> None:
    first = (Action("F", 0, 0), Action("B", 0, 0), Action("F", 0, 1), Action("B", 0, 1))
    second = (Action("F", 1, 0), Action("F", 1, 1), Action("B", 1, 0), Action("B", 1, 1))
    with pytest.raises(PlanError, match=r"stands still: rank . waits for the .* of microbatch"):
        simulate((first, second), seconds_of(1, 1, 1))


def test_a_backward_before_its_forward_is_refused() -> None:
    with pytest.raises(PlanError, match="rank 0 does B of microbatch 0 on stage 0 before its F"):
        simulate(((Action("B", 0, 0), Action("F", 0, 0)),), seconds_of(1, 1, 1))


def test_ranks_that_take_turns_are_timed_over_a_whole_turn() -> None:
    def swap(starts_s: Sequence[float]) -> list[float]:
        return [starts_s[1] + 1.0, starts_s[0] + 3.0]  # two steps take 4 s, one takes 1 or 3 s

    _, period_s = until_settled(swap, 2)
    assert period_s == pytest.approx(2.0)


def test_steps_that_never_repeat_are_timed_by_their_mean() -> None:
    def drift(starts_s: Sequence[float]) -> list[float]:
        return [starts_s[0] + 1.0, starts_s[1] + 2.0]  # the slower one says how fast it goes

    _, period_s = until_settled(drift, 2)
    assert period_s == pytest.approx(2.0)
