"""Curves from real runs, and sweeps that are refused before anything starts."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import PlanError, SettingError, WorkloadError
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord
from labkit.runs.sweep import sweep
from labkit.runs.sweep_plan import plan_sweep, sweep_length

SOON_S = 60.0  # only reached when something is wrong


def small(name: str = "fruit") -> labkit.Workload:
    return labkit.workload.find_workload(name).with_settings(global_batch=64)


def test_a_sweep_measures_every_point_beside_its_own_baseline(cluster4: Cluster) -> None:
    updates: list[int] = []
    curve = sweep(
        small(),
        cluster=cluster4,
        strategies=("data", "pipeline"),
        devices=(2, 1),
        steps=4,
        repeats=2,
        on_update=lambda c: updates.append(sum(len(p.runs) for p in c.points)),
    )
    assert curve.strategies == ["data", "pipeline"]
    assert len(curve.baseline_throughputs) == 2
    for strategy in curve.strategies:
        one, two = curve.of(strategy)
        assert (one.devices, two.devices) == (1, 2)
        assert one.speedup == one.speedup_low == one.speedup_high == 1.0
        assert two.speedup_low <= two.speedup <= two.speedup_high
        assert two.efficiency == two.speedup / 2
        assert len(two.runs) == 2
        assert two.plan["dp" if strategy == "data" else "pp"] == 2
    # Both strategies at one device are the baseline, whose runs they share.
    runs = {run for point in curve.points for run in point.runs}
    assert len(runs) == 2 * 3
    assert updates == sorted(updates)
    assert json.loads(json.dumps(curve.to_json()))["baseline"]["devices"] == 1


def test_equal_plans_are_measured_once(cluster4: Cluster) -> None:
    curve = sweep(
        small(), cluster=cluster4, strategies=("pipeline", "hybrid"), devices=(2,), steps=3,
        repeats=1,
    )  # fmt: skip
    pipeline, hybrid = curve.points
    assert pipeline.runs == hybrid.runs


def test_a_sweep_needs_a_step_after_those_that_warm_up() -> None:
    assert sweep_length(3, 1) == (3, 1)
    assert sweep_length(2, 1, emulated=True) == (2, 1)
    with pytest.raises(SettingError, match="nothing after 1 warm-up step; choose >= 2"):
        sweep_length(1, 1, emulated=True)


def test_weak_scaling_grows_the_global_batch_with_the_devices() -> None:
    points = plan_sweep(small(), ("data",), (1, 2, 4), scaling="weak")
    assert [p.workload.global_batch for p in points] == [64, 128, 256]
    points = plan_sweep(small(), ("data",), (1, 2, 4), scaling="strong")
    assert {p.workload.global_batch for p in points} == {64}


def test_a_stopped_sweep_returns_what_it_has_and_frees_the_workers(cluster4: Cluster) -> None:
    asked_at: list[float] = []

    def in_the_second_run() -> bool:
        """Asked while a run is live; the baseline is done once there is a point."""
        if curves and cluster4._gangs:
            asked_at.append(time.monotonic())
        return bool(asked_at)

    curves: list[Curve] = []
    curve = sweep(
        small(),
        cluster=cluster4,
        strategies=("data",),
        devices=(1, 4),
        steps=400,
        repeats=1,
        on_update=curves.append,
        should_stop=in_the_second_run,
    )
    assert time.monotonic() - asked_at[0] < 2.0
    assert [point.devices for point in curve.points] == [1]
    assert cluster4.run_ranks(lambda context: context.rank, 4) == [0, 1, 2, 3]


def test_a_worker_that_is_lost_between_two_runs_is_waited_for(own_cluster: Cluster) -> None:
    lost: list[int] = []

    def lose_one(record: RunRecord) -> None:
        if lost:
            return
        lost.append(own_cluster.workers[1]["pid"])
        os.kill(lost[0], signal.SIGKILL)
        deadline = time.monotonic() + SOON_S
        while own_cluster.num_workers > 1:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    curve = sweep(
        small("digits"), cluster=own_cluster, strategies=("data",), devices=(1, 2), steps=3,
        repeats=1, on_record=lose_one,
    )  # fmt: skip
    assert [point.devices for point in curve.points] == [1, 2]
    assert lost[0] not in [worker["pid"] for worker in own_cluster.workers]


def test_a_sweep_stopped_before_its_first_run_is_empty(cluster4: Cluster) -> None:
    curve = sweep(small(), cluster=cluster4, devices=(1,), should_stop=lambda: True)
    assert curve.points == []


def test_weak_scaling_beyond_the_samples_is_refused_before_anything_is_measured(
    cluster4: Cluster,
) -> None:
    measured: list[Curve] = []
    with pytest.raises(WorkloadError, match=r"global batch of 2048 but the dataset has"):
        sweep(
            small("digits").with_settings(global_batch=512),
            cluster=cluster4,
            strategies=("data",),
            devices=(1, 4),
            scaling="weak",
            on_update=measured.append,
        )
    assert measured == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"strategies": ()}, SettingError, "nothing to sweep"),
        ({"strategies": ("magic",)}, SettingError, "strategy 'magic' is unknown"),
        ({"devices": (0,)}, SettingError, "devices=0 is not a count"),
        ({"devices": (8,)}, PlanError, "data on 8 devices: .* but 4 devices are available"),
        ({"devices": (3,)}, PlanError, r"data on 3 devices: dp\(3\) does not divide"),
        ({"scaling": "elastic"}, SettingError, "scaling='elastic' is unknown"),
        ({"steps": 2}, SettingError, "steps=2 leaves nothing after 2 warm-up steps"),
        ({"repeats": 0}, SettingError, "repeats=0 is not a count"),
    ],
)
def test_a_sweep_that_cannot_run_is_refused_before_anything_starts(
    cluster4: Cluster, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    settings = {"strategies": ("data",), "devices": (1, 2), **settings}
    with pytest.raises(error, match=message):
        sweep(small(), cluster=cluster4, **settings)
