"""The scale leaves the real work of every plan that is going to run enough of the wall."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.forecast import emulated_plan, forecast, single_step_s
from labkit.project.profile import ModelProfile
from labkit.project.time_scale import (
    BUSY_SHARE,
    LAYER_S,
    MESSAGE_S,
    ROUND_S,
    ROUND_WALL_S,
    STEP_WALL_S,
    RealWork,
    choose_time_scale,
    real_work,
)
from labkit.workload import Workload

NUM_CORES = 2
LARGE = [
    Plan(dp=16),
    Plan(dp=8, sync="ring"),
    Plan(dp=8, shard="parameters"),
    Plan(pp=8, microbatches=16),
    Plan(pp=4, schedule="zero_bubble", microbatches=16),
    Plan(pp=4, schedule="interleaved1f1b", virtual_stages=2, microbatches=8),
    Plan(dp=2, pp=2, tp=2, microbatches=4),
    Plan(dp=4, pp=2, tp=2, microbatches=4),
]  # fmt: skip


def scale(
    profile: ModelProfile, device: Device, workload: Workload, *plans: Plan, num_cores: int = 2
) -> float:
    points = [(plan, workload) for plan in plans]
    return choose_time_scale(profile, device, workload, points, num_cores)


def work_of(plan: Plan, profile: ModelProfile, device: Device, workload: Workload) -> RealWork:
    emulated = emulated_plan(plan, profile)
    ideal = forecast(emulated, profile, workload, device=device).ideal
    assert ideal is not None
    return real_work(emulated, profile, workload, ideal)


def test_one_device_and_few_ranks_take_the_scale_of_one_device(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    slow = replace(device, flops_per_s=device.flops_per_s / 10)
    single = scale(profile, slow, workload, Plan())
    assert single * single_step_s(profile, slow, workload) == pytest.approx(STEP_WALL_S)
    for plan in (Plan(dp=2), Plan(pp=2), Plan(tp=2), Plan(dp=4), Plan(dp=2, pp=2)):
        assert scale(profile, slow, workload, plan) == single


@pytest.mark.parametrize("plan", LARGE, ids=str)
def test_real_work_fits_into_its_share_of_the_step_on_the_wall(
    plan: Plan, profile: ModelProfile, device: Device, workload: Workload
) -> None:
    ideal = forecast(emulated_plan(plan, profile), profile, workload, device=device).ideal
    assert ideal is not None
    wall_s = scale(profile, device, workload, plan) * ideal.step_s
    busy_s = work_of(plan, profile, device, workload).wall_s(NUM_CORES)
    assert busy_s <= BUSY_SHARE * wall_s * (1 + 1e-9)


def test_the_most_demanding_plan_decides_for_all(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    alone = [scale(profile, device, workload, plan) for plan in LARGE]
    assert scale(profile, device, workload, Plan(), *LARGE) == max(alone)
    assert len(set(alone)) > 1


def test_more_arithmetic_and_fewer_cores_need_a_slower_clock(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    plan = Plan(dp=16)
    few, many = (scale(profile, device, workload, plan, num_cores=n) for n in (1, 64))
    assert few > many
    layers = tuple(replace(layer, measured_s=1e-2) for layer in profile.layers)
    heavy = replace(profile, layers=layers)
    assert scale(heavy, device, workload, plan) > scale(profile, device, workload, plan)


def test_what_a_step_costs_is_counted_piece_by_piece(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    pipeline = work_of(Plan(pp=2, microbatches=4), profile, device, workload)
    # 8 layers, 4 microbatches, 2 directions; activations and gradients; a report of 2 ranks.
    calls, messages, rounds = 8 * 4 * 2, 2 * 4, 2 * 2
    assert pipeline.cpu_s == pytest.approx(
        calls * LAYER_S + messages * MESSAGE_S + rounds * ROUND_S
    )
    tensor = work_of(Plan(tp=2), profile, device, workload)
    # 6 regions sum their outputs and, backward, their inputs: each with the time that it began.
    calls, rounds = 8 * 2, 2 * (6 * 2 * 2 + 1)
    assert tensor.cpu_s == pytest.approx(2 * (calls * LAYER_S + rounds * ROUND_S))
    assert tensor.chain_s == pytest.approx(calls * LAYER_S + rounds * ROUND_WALL_S)
