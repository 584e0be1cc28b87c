"""Seconds of a layer: the roofline, and what a plan leaves of it to one rank."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.compute import (
    backward_s,
    forward_s,
    input_grad_s,
    layers_of_rank,
    optimizer_s,
    rank_parameter_bytes,
    recompute_s,
    updated_bytes,
    weight_grad_s,
)
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.workload import Workload


def test_arithmetic_limits_where_memory_is_fast(profile: ModelProfile, device: Device) -> None:
    assert forward_s(profile.layers[1], 10, device) == pytest.approx(10 * 1e6 / 1e9)


def test_memory_limits_where_it_is_slow(profile: ModelProfile, device: Device) -> None:
    slow = replace(device, memory_bytes_per_s=1e6)
    # Parameters once; of each sample what is kept and what leaves.
    assert forward_s(profile.layers[1], 10, slow) == pytest.approx((80_800 + 10 * 1_600) / 1e6)


def test_every_layer_and_direction_costs_the_overhead(
    profile: ModelProfile, device: Device
) -> None:
    slow = replace(device, overhead_s=0.5)
    layer = profile.layers[1]
    assert forward_s(layer, 10, slow) - forward_s(layer, 10, device) == pytest.approx(0.5)
    assert backward_s(layer, 10, slow) - backward_s(layer, 10, device) == pytest.approx(1.0)


def test_slices_divide_what_is_inside_regions_only(profile: ModelProfile, device: Device) -> None:
    assert forward_s(profile.layers[1], 1, device, tp=4) == pytest.approx((2e5 + 8e5 / 4) / 1e9)
    assert forward_s(profile.layers[0], 1, device, tp=4) == forward_s(profile.layers[0], 1, device)
    assert rank_parameter_bytes(profile.layers[1], 4) == 800 + 20_000


def test_a_backward_is_twice_a_forward_where_there_are_weights(
    profile: ModelProfile, device: Device
) -> None:
    layer = profile.layers[1]
    bare = LayerProfile(name="0", forward_flops=1e6)
    assert backward_s(layer, 3, device) == pytest.approx(2 * forward_s(layer, 3, device))
    assert backward_s(bare, 3, device) == input_grad_s(bare, 3, device)
    assert weight_grad_s(bare, 3, device) == 0.0


def test_an_update_moves_five_times_the_weights(device: Device) -> None:
    assert optimizer_s(1000, device) == pytest.approx(5 * 1000 / 1e12)


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", 4000), ("float64", 4000), ("bfloat16", 8000)]
)
def test_bfloat16_weights_are_updated_in_float32(
    workload: Workload, precision: str, expected: int
) -> None:
    assert updated_bytes(4000, workload.with_settings(precision=precision)) == expected


def test_split_features_divide_the_first_layer_only(profile: ModelProfile) -> None:
    layers = layers_of_rank(profile, Plan(dp=4, split="features"))
    assert layers[0].forward_flops == 1e5 / 4
    assert layers[1:] == profile.layers[1:]


def test_split_sequences_divide_all_but_the_embedding_and_the_inputs_of_regions(
    profile: ModelProfile,
) -> None:
    layers = layers_of_rank(profile, Plan(tp=4, sequence_parallel=True))
    assert layers[0] == profile.layers[0]
    assert layers[1].split_flops == layers[1].forward_flops
    assert layers[1].split_saved_bytes == 1_200 - 400
    assert layers[1].output_bytes == 100


def test_other_plans_leave_the_layers_as_they_are(profile: ModelProfile) -> None:
    for plan in (Plan(), Plan(dp=4), Plan(tp=2), Plan(pp=2)):
        assert layers_of_rank(profile, plan) == profile.layers


def test_a_layer_that_no_gradient_reaches_has_no_backward(
    profile: ModelProfile, device: Device
) -> None:
    layer = replace(profile.layers[1], parameter_bytes=(), has_backward=False)
    assert forward_s(layer, 8, device) > 0
    assert backward_s(layer, 8, device) == recompute_s(layer, 8, device) == 0.0
