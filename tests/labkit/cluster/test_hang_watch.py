"""When a run hangs, and which rank the others wait for."""

from __future__ import annotations

import threading
import time

import pytest

from labkit.cluster.hang_watch import (
    ASK_S,
    BUSY_S,
    FIRST_S,
    LAST_S,
    LAST_STEPS,
    HangWatch,
)
from labkit.cluster.position import find_culprit, has_moved, tell_position
from labkit.cluster.rank_context import RankContext


class Clock:
    """A clock that a test moves."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def steps(first: int, count: int) -> dict[str, object]:
    return {"type": "steps", "steps": [(first + k, 0.5) for k in range(count)]}


def running(step_s: float, reports: int = 10, num_steps: int = 1000) -> tuple[HangWatch, Clock]:
    """A watch that has seen reports of one step each."""
    clock = Clock()
    watch = HangWatch(num_steps, clock)
    watch.begin()
    for step in range(reports):
        clock.now_s += step_s
        watch.take(steps(step, 1))
    return watch, clock


@pytest.mark.parametrize(
    ("step_s", "limit_s"), [(0.001, 6.0), (0.35, 7.0), (1.0, 7.5), (2.5, 7.5), (5.0, 15.0)]
)
def test_a_run_may_be_silent_for_20_steps_within_bounds(step_s: float, limit_s: float) -> None:
    watch, clock = running(step_s)
    assert watch.limit_s == pytest.approx(limit_s)
    assert watch.due_s == pytest.approx(clock.now_s + limit_s)


def test_a_hang_is_known_within_ten_seconds_unless_steps_are_slow() -> None:
    assert running(2.5)[0].limit_s + 2 * ASK_S <= 10.0


@pytest.mark.parametrize("reports", [1, 2])
def test_steps_of_twelve_seconds_are_no_hang_from_the_first_report_on(reports: int) -> None:
    watch, clock = running(12.0, reports)
    clock.now_s += 2 * 12.0
    assert clock.now_s < watch.due_s


def test_a_hang_after_the_first_quick_report_is_known_within_ten_seconds() -> None:
    for start_s in (0.3, 2.5):
        watch, clock = running(start_s, reports=1)
        assert watch.due_s + 2 * ASK_S <= clock.now_s + 10.0


def test_how_long_the_start_took_no_longer_counts_once_a_step_is_known() -> None:
    watch, clock = running(60.0, reports=1)
    clock.now_s += 0.1
    watch.take(steps(1, 1))
    assert watch.limit_s == 6.0


def test_ranks_that_build_their_model_are_given_ten_minutes() -> None:
    watch, clock = running(0.1, reports=0)
    assert watch.due_s == clock.now_s + FIRST_S
    watch.expect_slow_steps(8.0)
    watch.take(steps(0, 1))
    assert watch.due_s < clock.now_s + 2 * 8.0


def test_nothing_is_due_before_the_ranks_have_started() -> None:
    assert HangWatch(10, Clock()).due_s == float("inf")


@pytest.mark.parametrize(("step_s", "given_s"), [(0.1, LAST_S), (2.0, LAST_STEPS * 2.0)])
def test_what_follows_the_last_step_has_a_deadline_too(step_s: float, given_s: float) -> None:
    watch, clock = running(step_s, reports=9, num_steps=10)
    assert not watch.after_last
    clock.now_s += step_s
    watch.take(steps(9, 1))
    assert watch.after_last
    assert watch.due_s == pytest.approx(clock.now_s + given_s)


def test_an_attempt_that_has_no_step_left_is_given_what_the_one_before_was() -> None:
    clock = Clock()
    watch = HangWatch(10, clock, start_step=10, step_s=2.0)
    watch.begin()
    assert watch.after_last
    assert watch.due_s == pytest.approx(clock.now_s + LAST_STEPS * 2.0)


def test_the_steps_of_an_earlier_attempt_do_not_hurry_those_of_fewer_ranks() -> None:
    clock = Clock()
    watch = HangWatch(1000, clock, start_step=8, step_s=0.1)
    watch.begin()
    clock.now_s += 9.0
    watch.take(steps(8, 1))
    assert watch.limit_s == pytest.approx(3 * 9.0)


def test_a_run_that_is_slowed_on_purpose_may_be_silent_for_longer() -> None:
    watch, clock = running(0.1)
    watch.expect_slow_steps(8.0)
    assert watch.due_s == pytest.approx(clock.now_s + 8.0 + watch.limit_s)


def test_reports_of_several_steps_count_for_each() -> None:
    watch, clock = running(0.4)
    for number in range(40):
        clock.now_s += 2.0
        watch.take(steps(10 + 20 * number, 20))
    assert watch.limit_s == 6.0


def test_ranks_that_do_something_else_are_excused_for_a_while() -> None:
    watch, clock = running(0.1)
    clock.now_s = watch.due_s
    assert watch.excuse()
    assert watch.due_s == pytest.approx(clock.now_s + watch.limit_s)
    clock.now_s += BUSY_S
    assert not watch.excuse()


def test_the_culprit_is_silent_or_has_started_the_fewest_collectives() -> None:
    at = {"collectives": 12, "doing": "", "at": "model.py:7 in forward"}
    behind = at | {"collectives": 10, "at": "model.py:9 in loop"}
    assert find_culprit({0: at, 2: at}, range(3)) == (1, "it does not answer")
    assert find_culprit({0: at, 1: behind}, [0, 1]) == (
        1,
        "2 collectives behind, at model.py:9 in loop",
    )
    assert find_culprit({0: at, 1: at}, [0, 1]) == (0, "at model.py:7 in forward")


def test_a_run_whose_ranks_still_start_collectives_is_only_slow() -> None:
    before = {0: {"collectives": 12}, 1: {"collectives": 10}}
    assert not has_moved(before, before)
    assert has_moved(before, {0: {"collectives": 12}, 1: {"collectives": 11}})


def test_a_rank_tells_where_its_program_is(alone_context: RankContext) -> None:
    found: list[dict[str, object]] = []
    asking = threading.Thread(target=lambda: found.append(tell_position(alone_context)))
    asking.start()
    while asking.is_alive():
        time.sleep(0.001)
    assert found[0]["type"] == "position"
    assert found[0]["doing"] == "resting"
    assert found[0]["collectives"] == 0
    assert "test_hang_watch.py" in str(found[0]["at"])


@pytest.fixture
def alone_context() -> RankContext:
    """Of a rank in this process."""
    return RankContext(
        run="test", rank=0, world_size=1, local_rank=0, device="cpu", backend="gloo",
        origin_s=time.time(), send=lambda event: None, doing="resting",
    )  # fmt: skip
