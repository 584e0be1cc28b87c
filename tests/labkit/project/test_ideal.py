"""Ideal steps: closed formulas where they exist, sums that add up everywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from labkit.emulate.device import Device, Link
from labkit.plan import Plan
from labkit.project.breakdown import PARTS, IdealStep
from labkit.project.collectives import all_reduce_s, point_to_point_s
from labkit.project.ideal import ideal_step, why_no_ideal
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.runs.record import COMPUTE_KINDS
from labkit.workload import Workload

WHOLE = 2_400 + 6 * 80_800 + 808  # bytes of the parameters
FORWARD_S = (6 * 1e6 + 2 * 1e5) / 1e9  # of a sample
UPDATE_S = 5 * WHOLE / 1e12

PLANS: list[dict[str, Any]] = [
    {},
    {"microbatches": 4},
    {"checkpoint_activations": True},
    {"dp": 4},
    {"dp": 8, "bucket_mb": 0.1, "microbatches": 2},
    {"dp": 4, "checkpoint_activations": True},
    {"dp": 4, "compression": "fp16"},
    *({"dp": 8, "sync": sync} for sync in ("ring", "average", "parameter_server")),
    *({"dp": 8, "shard": shard} for shard in ("optimizer", "gradients", "parameters")),
    {"dp": 4, "split": "features"},
    *({"pp": 4, "schedule": s, "microbatches": 8} for s in ("gpipe", "1f1b", "zero_bubble")),
    {"pp": 4, "schedule": "interleaved1f1b", "microbatches": 8},
    {"pp": 8, "microbatches": 8, "checkpoint_activations": True},
    {"tp": 4},
    {"tp": 8, "microbatches": 2, "checkpoint_activations": True},
    {"tp": 4, "sequence_parallel": True},
    {"dp": 2, "tp": 2, "sequence_parallel": True},
    {"dp": 2, "pp": 2},
    {"dp": 2, "pp": 3, "microbatches": 4},
    {"dp": 4, "tp": 2},
    {"dp": 2, "pp": 2, "tp": 2, "schedule": "zero_bubble"},
    {"dp": 2, "pp": 2, "tp": 2, "schedule": "interleaved1f1b"},
]


@pytest.fixture
def equal_layers() -> ModelProfile:
    """Eight equal layers that hand on nothing, so that stages are equal and messages are free."""
    layer = LayerProfile(name="0", forward_flops=1e6, parameter_bytes=(1_000,))
    return ModelProfile(layers=(layer,) * 8, input_bytes=0)


@pytest.fixture
def no_latency(device: Device) -> Device:
    """Links on which an empty message takes no time."""
    return replace(device, inside=Link(1e9, 0.0), across=Link(1e8, 0.0))


def step_of(profile: ModelProfile, device: Device, workload: Workload, **plan: Any) -> IdealStep:
    found = ideal_step(Plan(**plan), profile, device, workload)
    assert found is not None
    return found


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_parts_add_up_to_the_step_and_spans_fit_into_it(
    profile: ModelProfile, device: Device, workload: Workload, plan: dict[str, Any]
) -> None:
    found = step_of(profile, device, workload, **plan)
    assert tuple(found.breakdown_s) == PARTS
    assert sum(found.breakdown_s.values()) == pytest.approx(found.step_s)
    assert all(seconds >= -1e-12 for seconds in found.breakdown_s.values())
    assert {span.rank for span in found.timeline} == set(range(Plan(**plan).world_size))
    assert min(span.start_s for span in found.timeline) == pytest.approx(0.0)
    for rank in {span.rank for span in found.timeline}:
        computing = [s for s in found.timeline if s.rank == rank and s.kind in COMPUTE_KINDS]
        for one, next_one in pairwise(sorted(computing, key=lambda span: span.start_s)):
            assert one.start_s + one.duration_s <= next_one.start_s + 1e-9
        assert sum(span.duration_s for span in computing) <= found.step_s + 1e-9


def test_one_device_computes_and_updates(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    for plan in ({}, {"microbatches": 8}):
        found = step_of(profile, device, workload, **plan)
        assert found.step_s == pytest.approx(64 * 3 * FORWARD_S + UPDATE_S)
        assert found.breakdown_s["optimizer"] == pytest.approx(UPDATE_S)


def test_forgotten_activations_cost_a_forward(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, checkpoint_activations=True)
    assert found.breakdown_s["compute"] == pytest.approx(64 * 4 * FORWARD_S)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_equal_stages_take_the_formula_of_the_pipeline(
    equal_layers: ModelProfile, no_latency: Device, workload: Workload, schedule: str
) -> None:
    found = step_of(equal_layers, no_latency, workload, pp=4, microbatches=16, schedule=schedule)
    microbatch_s = 3 * 4 * 2 * 1e6 / 1e9  # both directions of 4 samples on 2 layers
    assert found.step_s == pytest.approx((16 + 3) * microbatch_s + 5 * 2_000 / 1e12)
    assert found.breakdown_s["bubble"] == pytest.approx(3 * microbatch_s)
    assert found.breakdown_s["pp_comm"] == pytest.approx(0.0)


def test_interleaving_and_zero_bubble_shrink_the_bubble_by_their_formulas(
    equal_layers: ModelProfile, no_latency: Device, workload: Workload
) -> None:
    chunk_s = 4 * 1e6 / 1e9  # a forward of 4 samples on 1 layer
    interleaved = step_of(
        equal_layers, no_latency, workload, pp=4, microbatches=16, schedule="interleaved1f1b"
    )
    assert interleaved.breakdown_s["bubble"] == pytest.approx(3 * 3 * chunk_s)
    zero_bubble = step_of(
        equal_layers, no_latency, workload, pp=4, microbatches=16, schedule="zero_bubble"
    )
    assert zero_bubble.breakdown_s["bubble"] == pytest.approx(3 * 2 * chunk_s)  # F + I - W


def test_gpipe_of_one_microbatch_hands_it_through_and_back(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, pp=4, microbatches=1, schedule="gpipe")
    messages_s = 6 * point_to_point_s(64 * 400, device.inside)
    update_s = 5 * (2_400 + 80_800) / 1e12  # of the first rank, which is done last
    assert found.step_s == pytest.approx(64 * 3 * FORWARD_S + messages_s + update_s)


def test_stages_on_two_hosts_are_linked_by_the_slow_link_once(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, pp=8, microbatches=1, schedule="gpipe")
    inside, across = (point_to_point_s(64 * 400, link) for link in (device.inside, device.across))
    update_s = 5 * 2_400 / 1e12
    assert found.step_s == pytest.approx(64 * 3 * FORWARD_S + 2 * (6 * inside + across) + update_s)


def test_slices_wait_for_a_sum_in_each_direction_of_each_region(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    found = step_of(profile, device, workload, tp=4, microbatches=2)
    sums_s = 2 * 6 * 2 * all_reduce_s(32 * 400, 4, device.inside)
    computing_s = 64 * 3 * (6 * (2e5 + 8e5 / 4) + 2e5) / 1e9
    assert found.breakdown_s["tp_comm"] == pytest.approx(sums_s)
    assert found.breakdown_s["compute"] == pytest.approx(computing_s)


def test_forgetful_slices_do_not_sum_the_last_region_of_a_layer_again(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    block = replace(
        profile.layers[1], region_input_bytes=(400, 400), region_output_bytes=(400, 400)
    )
    model = ModelProfile(layers=(block,), input_bytes=20)
    found = step_of(model, device, workload, tp=4, checkpoint_activations=True)
    # Forward 2, the first of them again, backward 2.
    assert found.breakdown_s["tp_comm"] == pytest.approx(
        5 * all_reduce_s(64 * 400, 4, device.inside)
    )


def test_split_sequences_send_as_much_and_sum_what_is_not_sliced_once(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    plain = step_of(profile, device, workload, tp=4)
    split = step_of(profile, device, workload, tp=4, sequence_parallel=True)
    unsliced = 2_400 + 6 * 800 + 808
    assert split.breakdown_s["tp_comm"] - plain.breakdown_s["tp_comm"] == pytest.approx(
        all_reduce_s(unsliced, 4, device.inside)
    )
    assert split.breakdown_s["compute"] < plain.breakdown_s["compute"]


def test_a_hybrid_sums_each_stages_gradients_over_its_replicas(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    pipeline = step_of(
        profile, device, workload.with_settings(global_batch=32), pp=2, microbatches=4
    )
    hybrid = step_of(profile, device, workload, dp=2, pp=2, microbatches=4)
    stage_bytes = 2_400 + 3 * 80_800  # of the first stage, which is done last
    assert hybrid.step_s - pipeline.step_s == pytest.approx(
        all_reduce_s(stage_bytes, 2, device.inside)
    )


def test_replicas_that_cross_hosts_elsewhere_wait_for_the_slower_one(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    # Four devices a host: replica 0 is on ranks 0 to 2, replica 1 on 3 to 5, of two hosts.
    slow = replace(device, across=Link(1e6, 1e-3))
    found = step_of(profile, slow, workload, dp=2, pp=3, microbatches=4)
    waits = {
        rank: sum(s.duration_s for s in found.timeline if s.rank == rank and s.name == "gradients")
        for rank in (0, 3)
    }
    assert waits[0] > waits[3]
    alone = step_of(profile, slow, workload.with_settings(global_batch=32), pp=3, microbatches=4)
    assert found.step_s > alone.step_s + all_reduce_s(2_400 + 2 * 80_800, 2, slow.across)


def test_unequal_stages_run_at_the_pace_of_the_slowest(
    profile: ModelProfile, no_latency: Device, workload: Workload
) -> None:
    even = step_of(profile, no_latency, workload, pp=2, microbatches=32, cuts=(4,))
    uneven = step_of(profile, no_latency, workload, pp=2, microbatches=32, cuts=(2,))
    assert uneven.step_s > 1.4 * even.step_s
    assert uneven.breakdown_s["compute"] == pytest.approx(even.breakdown_s["compute"])


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"dp": 2, "sync": "async_parameter_server"}, "no step is shared by all ranks"),
        ({"pp": 3, "placement": "branches"}, "the cost of each branch counts"),
        ({"dp": 2, "compression": "powersgd"}, "computes on the gradients"),
        ({"tp": 2, "tensor_style": "dtensor"}, "the library chooses the collectives"),
    ],
)
def test_where_there_is_no_ideal_there_is_a_reason(
    profile: ModelProfile, device: Device, workload: Workload, plan: dict[str, Any], reason: str
) -> None:
    assert reason in why_no_ideal(Plan(**plan))
    assert ideal_step(Plan(**plan), profile, device, workload) is None


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_where_there_is_an_ideal_there_is_no_reason(plan: dict[str, Any]) -> None:
    assert why_no_ideal(Plan(**plan)) == ""


def test_settings_of_an_axis_that_is_not_split_do_not_matter(
    profile: ModelProfile, device: Device, workload: Workload
) -> None:
    plain = step_of(profile, device, workload)
    for plan in ({"sync": "async_parameter_server"}, {"virtual_stages": 2}, {"schedule": "gpipe"}):
        assert step_of(profile, device, workload, **plan).step_s == pytest.approx(plain.step_s)
