"""Emulated runs: real ranks and messages whose declared times are those of the simulation.

What is compared here are the ranks' nominal clocks, which do not depend on how busy the machine
is; how late the wall was is printed by ``tests/benchmarks/bench_emulation.py``.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.emulate.device import find_device
from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.runs.sweep import sweep
from labkit.workload import WORKLOADS

STEPS = 3
TIMEOUT_S = 120.0
# Seconds on the wall for one of the device: fast, since nobody looks at the wall here.
TIME_SCALE = 2.0

PLANS = {
    "one device": Plan(),
    "accumulated": Plan(microbatches=4),
    "data": Plan(dp=2),
    "data in one bucket": Plan(dp=4, bucket_mb=100.0),
    "data in many buckets": Plan(dp=8, bucket_mb=0.01),
    "data checkpointed": Plan(dp=2, checkpoint_activations=True),
    "tensor": Plan(tp=2),
    "tensor across hosts": Plan(tp=8),
    "gpipe": Plan(pp=4, schedule="gpipe", microbatches=8),
    "1f1b": Plan(pp=4, schedule="1f1b", microbatches=8),
    "1f1b across hosts": Plan(pp=8, schedule="1f1b", microbatches=16),
    "interleaved": Plan(pp=4, schedule="interleaved1f1b", virtual_stages=2, microbatches=8),
    "zero bubble": Plan(pp=4, schedule="zero_bubble", microbatches=8),
    "uneven stages": Plan(pp=2, cuts=(5,), microbatches=4),
    "data x pipeline": Plan(dp=2, pp=2, microbatches=4),
    "data x tensor": Plan(dp=2, tp=2),
    "all three": Plan(dp=2, pp=2, tp=2, microbatches=4),
}


def run(cluster: Cluster, plan: Plan, *, emulated: bool, name: str = "deep") -> RunRecord:
    workload = WORKLOADS[name].with_settings(global_batch=64)
    how = {"emulate": "demo", "time_scale": TIME_SCALE} if emulated else {}
    live = labkit.train(workload, plan, cluster, steps=STEPS, evaluate=False, **how)
    return live.wait(TIMEOUT_S)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_declared_times_are_those_of_the_simulation_and_losses_those_of_the_unpaced_run(
    cluster8: Cluster, plan: Plan
) -> None:
    emulated = run(cluster8, plan, emulated=True)
    assert emulated.kind == "emulated"
    assert emulated.emulation["declared_step_s"] == pytest.approx(
        emulated.ideal["step_time_s"], rel=0.01
    )
    same = Plan.from_dict(emulated.plan)  # with the buckets that were emulated
    unpaced = run(cluster8, replace(same, cuts=cuts_of(emulated)), emulated=False)
    assert unpaced.losses == emulated.losses
    assert unpaced.comm_bytes == emulated.comm_bytes


def cuts_of(record: RunRecord) -> tuple[int, ...] | None:
    return tuple(stage[0] for stage in record.stages[1:]) or None


def test_an_emulated_run_knows_that_it_was_late_and_says_what_to_change(
    cluster4: Cluster,
) -> None:
    workload = WORKLOADS["digits"].with_settings(global_batch=64)
    record = labkit.train(
        workload, Plan(dp=4), cluster4, steps=4, evaluate=False, emulate="demo", time_scale=1e-6
    ).wait(TIMEOUT_S)
    assert record.emulation["lateness"] > 1
    assert record.emulation["trustworthy"] is False
    assert "choose a time scale above 1e-06" in record.emulation["advice"]
    assert record.status == "done"


@pytest.mark.parametrize("plan", [Plan(), Plan(dp=2), Plan(pp=2)], ids=lambda p: p.strategy)
def test_a_stopped_run_keeps_the_declared_time_of_its_steps(cluster4: Cluster, plan: Plan) -> None:
    workload = WORKLOADS["fruit"].with_settings(global_batch=64)
    live = labkit.train(
        workload, plan, cluster4, steps=1_000, evaluate=False, emulate="demo", time_scale=2_000.0
    )  # a step of many seconds on the wall, far more than a stop may take
    started = live._recovery.gang.changed
    with started:
        assert started.wait_for(lambda: live.status == "running", TIMEOUT_S)
    live.stop()
    record = live.wait(TIMEOUT_S)
    assert record.status == "stopped"
    assert 0 < len(record.steps) < 10
    assert record.emulation["lateness"] < 0.5
    assert record.steps[0].seconds >= 0.5 * record.ideal["step_time_s"]
    assert sum(record.attribution_s.values()) == pytest.approx(record.wall_s)


def test_one_scale_holds_for_all_points_of_an_emulated_sweep(cluster4: Cluster) -> None:
    workload = WORKLOADS["fruit"].with_settings(global_batch=64)
    curve = sweep(
        workload, cluster=cluster4, strategies=("data", "data+sync=ring", "tensor"),
        devices=(1, 2, 4), emulate="demo", time_scale=TIME_SCALE,
    )  # fmt: skip
    assert (curve.kind, curve.device, curve.time_scale) == ("emulated", "demo", TIME_SCALE)
    assert {point.kind for point in curve.points} == {"emulated"}
    for point in curve.points:
        assert point.lateness is not None
        assert point.ideal_speedup is not None
        assert 0 < point.ideal_speedup <= point.devices * (1 + 1e-9)
    assert [point.ideal_speedup for point in curve.points if point.devices == 1] == [1, 1, 1]
    assert curve.to_json()["kind"] == "emulated"


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        (Plan(dp=2, sync="async_parameter_server"), "async"),
        (Plan(dp=2, compression="powersgd"), "powersgd"),
        (Plan(tp=2, tensor_style="dtensor"), "dtensor"),
    ],
)
def test_what_cannot_be_emulated_is_refused_before_anything_starts(
    cluster4: Cluster, plan: Plan, word: str
) -> None:
    with pytest.raises(PlanError, match=f"cannot be emulated: .*{word}.*leave emulate out"):
        labkit.train("fruit", plan, cluster4, steps=3, emulate="demo")


def test_unknown_devices_and_impossible_scales_are_refused(cluster4: Cluster) -> None:
    with pytest.raises(SettingError, match=r"device 'warp' is not declared; choose from .*demo"):
        labkit.train("fruit", Plan(), cluster4, steps=3, emulate="warp")
    with pytest.raises(SettingError, match="time_scale=0 stops the clock"):
        labkit.train("fruit", Plan(), cluster4, steps=3, emulate="demo", time_scale=0)
    with pytest.raises(SettingError, match="time_scale=2 is for emulated runs"):
        labkit.train("fruit", Plan(), cluster4, steps=3, time_scale=2)


def test_a_device_of_ones_own_can_be_emulated(cluster4: Cluster) -> None:
    slow = replace(find_device("demo"), name="mine", flops_per_s=1e9)
    workload = WORKLOADS["fruit"].with_settings(global_batch=64)
    record = labkit.train(
        workload, Plan(dp=2), cluster4, steps=3, evaluate=False, emulate=slow, time_scale=1.0
    ).wait(TIMEOUT_S)
    assert record.emulation["device"] == "mine"
