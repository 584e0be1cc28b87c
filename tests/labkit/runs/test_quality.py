"""Time to quality: by hand on made records, and on real runs over global batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.cluster.cluster import Cluster
from labkit.errors import PlanError, SettingError, WorkloadError
from labkit.plan import Plan
from labkit.runs.quality import BatchPoint, Quality, plan_batches, sweep_batches, time_to_loss
from labkit.runs.record import RunRecord, Step
from labkit.workload import find_workload

MakeRun = Callable[..., RunRecord]


@pytest.fixture
def record(make_run: MakeRun) -> RunRecord:
    """Losses 1.0, 0.9, ... 0.1 of 10 samples and 2 s each, the last step half as large."""
    steps = [Step(i, 1.0 - i / 10, 10, 2.0, 2.0 * (i + 1)) for i in range(9)]
    return make_run(steps=[*steps, Step(9, 0.1, 5, 1.0, 19.0)])


@pytest.mark.parametrize(
    ("target", "smooth", "expected"),
    [
        (2.0, 1, Quality(steps=1, samples=10, seconds=2.0)),
        (0.75, 1, Quality(steps=4, samples=40, seconds=8.0)),
        (0.75, 3, Quality(steps=5, samples=50, seconds=10.0)),  # (0.8 + 0.7 + 0.6) / 3
        (0.95, 5, Quality(steps=2, samples=20, seconds=4.0)),  # the first steps have fewer
        (0.1, 1, Quality(steps=10, samples=95, seconds=19.0)),
        (0.1, 2, None),
        (0.05, 1, None),
    ],
)
def test_the_running_mean_decides(
    record: RunRecord, target: float, smooth: int, expected: Quality | None
) -> None:
    found = time_to_loss(record, target + 1e-9, smooth)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_diverged_run_never_reaches_anything(make_run: MakeRun) -> None:
    steps = [Step(i, float("nan"), 10, 1.0, 1.0 + i) for i in range(5)]
    assert time_to_loss(make_run(steps=steps), 1e9) is None
    assert time_to_loss(make_run(steps=[]), 1e9) is None


def test_no_mean_of_nothing(record: RunRecord) -> None:
    with pytest.raises(SettingError, match="smooth=0 is not a count"):
        time_to_loss(record, 1.0, 0)


def test_the_learning_rate_grows_with_the_batch_and_warms_up() -> None:
    fruit = find_workload("fruit").with_settings(global_batch=64, learning_rate=0.01)
    small, same, large = plan_batches(fruit, (32, 64, 256), 0.5, warmup_steps=4)
    assert [w.learning_rate_at(100) for w in (small, same, large)] == [0.005, 0.01, 0.04]
    assert [w.warmup_steps for w in (small, same, large)] == [0, 0, 4]
    assert large.learning_rate_at(0) == 0.01
    assert plan_batches(fruit.with_settings(reference_batch=128), (64,), 0.5)[0] == (
        fruit.with_settings(reference_batch=128)
    )


def test_larger_batches_take_more_samples_to_the_same_loss(cluster4: Cluster) -> None:
    updates: list[int] = []
    records: list[str] = []
    points = sweep_batches(
        find_workload("digits").with_settings(global_batch=32, learning_rate=0.005),
        cluster4,
        (32, 512),
        1.0,
        plan=Plan(dp=2),
        max_steps=300,
        on_record=lambda record: records.append(record.run),
        on_update=lambda points: updates.append(len(points)),
    )
    assert [point.global_batch for point in points] == [32, 512]
    assert all(point.reached for point in points)
    small, large = points
    assert large.steps <= small.steps
    assert large.samples > small.samples
    assert small.samples == 32 * small.steps
    assert all(point.seconds > 0 for point in points)
    assert all(point.kind == "measured" for point in points)
    assert records == [point.run for point in points]
    assert updates == [1, 2]


def test_a_run_ends_soon_after_it_has_reached_the_target(cluster4: Cluster) -> None:
    steps: list[int] = []
    (point,) = sweep_batches(
        find_workload("digits").with_settings(global_batch=64),
        cluster4,
        (64,),
        10.0,
        max_steps=100_000,
        on_record=lambda record: steps.append(len(record.steps)),
    )
    assert (point.steps, point.reached) == (1, True)
    assert steps[0] < 100_000


def test_an_emulated_run_ends_as_soon_though_its_steps_are_long(cluster4: Cluster) -> None:
    small = find_workload("digits").with_settings(global_batch=16)
    (point,) = sweep_batches(small, cluster4, (16,), 10.0, max_steps=1_000, emulate="demo")
    assert (point.steps, point.reached, point.kind) == (1, True, "emulated")


def test_a_batch_whose_rate_is_too_high_diverges_and_is_given_up(cluster4: Cluster) -> None:
    steep = find_workload("digits").with_settings(global_batch=16, learning_rate=0.5)
    (point,) = sweep_batches(steep, cluster4, (256,), 1.0, max_steps=100_000)
    assert not point.reached
    assert point.steps < 100_000


def test_a_target_that_is_not_reached_is_said_to_be(cluster4: Cluster) -> None:
    (point,) = sweep_batches("digits", cluster4, (64,), 1e-6, max_steps=6)
    assert (point.steps, point.samples, point.reached) == (6, 6 * 64, False)


def test_a_stopped_sweep_returns_what_it_has(cluster4: Cluster) -> None:
    done: list[BatchPoint] = []

    def after_the_first(points: list[BatchPoint]) -> None:
        done.extend(points)

    points = sweep_batches(
        "digits", cluster4, (64, 128), 1e-6, max_steps=4, on_update=after_the_first,
        should_stop=lambda: bool(done),
    )  # fmt: skip
    assert [point.global_batch for point in points] == [64]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"batches": ()}, SettingError, "no batch to train with"),
        ({"batches": (0,)}, WorkloadError, "global_batch=0"),
        ({"batches": (64, 1 << 20)}, WorkloadError, "global batch of 1048576 but the dataset"),
        ({"target": 0.0}, SettingError, "target=0.0 cannot be reached"),
        ({"max_steps": 0}, SettingError, "max_steps=0 is not a length"),
        ({"plan": Plan(dp=3)}, PlanError, r"dp\(3\) does not divide"),
        ({"plan": Plan(dp=8)}, PlanError, "4 devices are available"),
    ],
)
def test_a_sweep_that_cannot_run_is_refused_before_anything_starts(
    cluster4: Cluster, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    measured: list[RunRecord] = []
    chosen: dict[str, Any] = {"batches": (64,), "target": 0.5, **settings}
    with pytest.raises(error, match=message):
        sweep_batches("digits", cluster4, on_record=measured.append, **chosen)
    assert measured == []
