"""Ideal steps of data parallelism alone, against closed formulas."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.breakdown import IdealStep
from labkit.project.collectives import all_gather_s, all_reduce_s, point_to_point_s
from labkit.project.ideal import ideal_step
from labkit.project.profile import ModelProfile
from labkit.workload import Workload

WHOLE = 2_400 + 6 * 80_800 + 808  # bytes of the parameters
FORWARD_S = (6 * 1e6 + 2 * 1e5) / 1e9  # of a sample
UPDATE_S = 5 * WHOLE / 1e12


@pytest.fixture
def slow_links(device: Device) -> Device:
    """Links so slow that gradients take about as long as the backward."""
    inside = replace(device.inside, bandwidth_bytes_per_s=5e6)
    return replace(device, inside=inside, across=inside)


def step_of(profile: ModelProfile, device: Device, workload: Workload, **plan: Any) -> IdealStep:
    found = ideal_step(Plan(**plan), profile, device, workload)
    assert found is not None
    return found


def test_a_bucket_of_everything_waits_for_the_whole_backward(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, bucket_mb=25.0)
    expected = 16 * 3 * FORWARD_S + all_reduce_s(WHOLE, 4, device.inside) + UPDATE_S
    assert found.step_s == pytest.approx(expected)
    assert found.breakdown_s["dp_comm_exposed"] == pytest.approx(
        all_reduce_s(WHOLE, 4, device.inside)
    )


def test_fast_links_hide_all_buckets_but_the_last(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    # One bucket a block; what is left of the first and last layers makes the last one.
    found = step_of(profile, device, workload, dp=4, bucket_mb=80_000 / 2**20)
    last = WHOLE - 6 * 80_808
    sizes = [s.bytes for s in found.timeline if s.rank == 0 and s.kind == "comm_dp"]
    assert sum(sizes) == WHOLE
    assert found.breakdown_s["dp_comm_exposed"] == pytest.approx(
        all_reduce_s(sizes[-1], 4, device.inside)
    )
    assert sizes[-1] < last + 81_000


def test_slow_links_carry_one_bucket_behind_the_other(
    profile: ModelProfile, slow_links: Device, workload: Workload
) -> None:
    slow = replace(slow_links, inside=replace(slow_links.inside, bandwidth_bytes_per_s=1e5))
    found = step_of(profile, slow, workload, dp=4, bucket_mb=80_000 / 2**20)
    buckets = [s for s in found.timeline if s.rank == 0 and s.kind == "comm_dp"]
    for one, next_one in pairwise(buckets):
        assert next_one.start_s == pytest.approx(one.start_s + one.duration_s)
    total = sum(all_reduce_s(b.bytes, 4, slow.inside) for b in buckets)
    assert found.step_s == pytest.approx(buckets[0].start_s + total + UPDATE_S)


def test_accumulation_communicates_in_the_last_backward_only(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, microbatches=4)
    assert found.step_s == pytest.approx(step_of(profile, device, workload, dp=4).step_s)
    assert sum(s.kind == "comm_dp" for s in found.timeline if s.rank == 0) == 1


@pytest.mark.parametrize("compression", ["fp16", "bf16"])
@pytest.mark.parametrize(("precision", "itemsize"), [("float32", 4), ("float64", 8)])
def test_compressed_gradients_are_two_bytes_a_number_on_the_wire(
    profile: ModelProfile,
    device: Device,
    workload: Workload,
    compression: str,
    precision: str,
    itemsize: int,
) -> None:
    exact = workload.with_settings(precision=precision)
    found = step_of(profile, device, exact, dp=4, compression=compression)
    on_wire = WHOLE * 2 / itemsize
    assert found.breakdown_s["dp_comm_exposed"] == pytest.approx(
        all_reduce_s(on_wire, 4, device.inside)
    )


def test_a_ring_by_hand_takes_what_the_formula_of_the_ring_says(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, sync="ring")
    expected = 16 * 3 * FORWARD_S + all_reduce_s(WHOLE, 4, device.inside) + UPDATE_S
    assert found.step_s == pytest.approx(expected)
    rounds = [s for s in found.timeline if s.rank == 1 and s.kind == "comm_dp"]
    assert len(rounds) == 2 * 3


def test_a_ring_over_hosts_is_no_faster_than_its_slow_link_carries_chunks(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    slow = replace(device, across=replace(device.across, bandwidth_bytes_per_s=1e6))
    found = step_of(profile, slow, workload, dp=8, sync="ring")
    chunks_s = 14 * (WHOLE / 8) / 1e6
    assert found.step_s >= chunks_s
    # What the ranks behind the slow link lose, those before it gain: they run ahead meanwhile.
    assert found.step_s <= 8 * 3 * FORWARD_S + all_reduce_s(WHOLE, 8, slow.across) + UPDATE_S


def test_a_parameter_server_serves_one_worker_after_the_other(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, sync="parameter_server")
    messages_s = 2 * 3 * point_to_point_s(WHOLE, device.inside)
    assert found.step_s == pytest.approx(16 * 3 * FORWARD_S + messages_s + UPDATE_S)
    assert found.breakdown_s["optimizer"] == pytest.approx(UPDATE_S / 4)


def test_averages_are_spread_over_the_steps_between_them(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, sync="average", sync_every=5)
    average_s = all_reduce_s(2 * WHOLE, 4, device.inside)  # weights and momentum
    assert found.step_s == pytest.approx(16 * 3 * FORWARD_S + UPDATE_S + average_s / 5)


def test_a_sharded_optimizer_updates_its_part_and_gathers(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, shard="optimizer")
    communication_s = all_reduce_s(WHOLE, 4, device.inside) + all_gather_s(WHOLE, 4, device.inside)
    expected = 16 * 3 * FORWARD_S + communication_s + UPDATE_S / 4
    assert found.step_s == pytest.approx(expected)


@pytest.mark.parametrize(("shard", "num_gathers"), [("gradients", 1), ("parameters", 2)])
def test_fully_sharded_layers_gather_and_scatter_between_computing(
    profile: ModelProfile, device: Device, workload: Workload, shard: str, num_gathers: int
) -> None:
    found = step_of(profile, device, workload, dp=4, shard=shard, microbatches=2)
    # Each layer's collective has its own latency; a reduce_scatter takes as long as an all_gather.
    per_pass_s = sum(
        all_gather_s(layer.num_parameter_bytes, 4, device.inside) for layer in profile.layers
    )
    communication_s = 2 * (num_gathers + 1) * per_pass_s
    assert found.breakdown_s["dp_comm_exposed"] == pytest.approx(communication_s)
    assert found.step_s == pytest.approx(16 * 3 * FORWARD_S + communication_s + UPDATE_S / 4)


def test_split_features_sum_the_first_layers_output_once(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=4, split="features")
    computing_s = 64 * 3 * (FORWARD_S - 1e5 / 1e9 * 3 / 4)
    sum_s = all_reduce_s(400 * 64, 4, device.inside)
    assert found.step_s == pytest.approx(computing_s + sum_s + UPDATE_S)


def test_replicas_over_two_hosts_use_the_slow_link(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, dp=8)
    assert found.breakdown_s["dp_comm_exposed"] == pytest.approx(
        all_reduce_s(WHOLE, 8, device.across)
    )
