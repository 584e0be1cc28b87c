"""Memory by formula, against figures worked out by hand from the made-up model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.plan import Plan
from labkit.project.memory import memory_by_rank
from labkit.project.profile import ModelProfile
from labkit.project.stage_cuts import stage_ranges
from labkit.workload import WORKLOADS, Workload

WHOLE = 2_400 + 6 * 80_800 + 808  # parameters
SAVED = 20 + 6 * 1_200 + 400  # activations of a sample


def memory(profile: ModelProfile, workload: Workload, **plan: Any) -> tuple[Mapping[str, int], ...]:
    """Of every rank, with equal counts of layers in the stages."""
    split = Plan(**plan)
    found = memory_by_rank(split, profile, workload, stage_ranges(8, split.num_stages, split.cuts))
    assert found is not None
    assert len(found) == split.world_size
    return found


def test_one_device_keeps_everything_of_the_whole_batch(
    profile: ModelProfile, workload: Workload
) -> None:
    assert memory(profile, workload) == (
        {
            "parameters": WHOLE,
            "gradients": WHOLE,
            "optimizer": WHOLE,
            "activations": 64 * SAVED,
        },
    )


def test_sgd_without_momentum_keeps_no_state(profile: ModelProfile, workload: Workload) -> None:
    (found,) = memory(profile, workload.with_settings(momentum=0.0))
    assert found["optimizer"] == 0


def test_bfloat16_keeps_momentum_and_weights_in_float32(
    profile: ModelProfile, workload: Workload
) -> None:
    (found,) = memory(profile, workload.with_settings(precision="bfloat16"))
    assert found["optimizer"] == 2 * 2 * WHOLE


def test_replicas_and_accumulation_divide_the_activations_only(
    profile: ModelProfile, workload: Workload
) -> None:
    for plan in ({"dp": 4}, {"microbatches": 4}):
        for found in memory(profile, workload, **plan):
            assert found["activations"] == 16 * SAVED
            assert found["parameters"] == found["gradients"] == found["optimizer"] == WHOLE


@pytest.mark.parametrize(
    ("shard", "sharded"),
    [
        ("optimizer", {"optimizer"}),
        ("gradients", {"optimizer", "gradients"}),
        ("parameters", {"optimizer", "gradients", "parameters"}),
    ],
)
def test_each_stage_of_zero_shards_one_thing_more(
    profile: ModelProfile, workload: Workload, shard: str, sharded: set[str]
) -> None:
    for found in memory(profile, workload, dp=4, shard=shard):
        for part in ("optimizer", "gradients", "parameters"):
            assert found[part] == (WHOLE // 4 if part in sharded else WHOLE)


def test_only_the_server_keeps_the_optimizer(profile: ModelProfile, workload: Workload) -> None:
    server, *workers = memory(profile, workload, dp=4, sync="parameter_server")
    assert server["optimizer"] == WHOLE
    assert [worker["optimizer"] for worker in workers] == [0, 0, 0]


def test_slices_divide_what_is_inside_regions(profile: ModelProfile, workload: Workload) -> None:
    for found in memory(profile, workload, tp=4):
        assert found["parameters"] == 2_400 + 6 * (800 + 20_000) + 808
        assert found["activations"] == 64 * (20 + 6 * (400 + 200) + 400)


def test_split_sequences_divide_what_is_between_regions_too(
    profile: ModelProfile, workload: Workload
) -> None:
    for found in memory(profile, workload, tp=4, sequence_parallel=True):
        # A block keeps its region's input whole, 400, and a quarter of the other 800.
        assert found["activations"] == 64 * (20 + 6 * (400 + 200) + 100)


def test_split_features_divide_the_columns_of_the_first_weight(
    profile: ModelProfile, workload: Workload
) -> None:
    # 2000 bytes of 5 columns: ranks 0 and 1 of 3 take two each.
    found = memory(profile, workload, dp=3, split="features")
    assert [WHOLE - rank["parameters"] for rank in found] == [1_200, 1_200, 1_600]
    assert all(rank["activations"] == 64 * SAVED for rank in found)


def block_bytes(num_in_flight: int, num_samples: int) -> int:
    """Activations of two blocks, a stage of the middle."""
    return num_in_flight * num_samples * 2 * 1_200


def test_gpipe_keeps_all_microbatches_and_1f1b_a_few(
    profile: ModelProfile, workload: Workload
) -> None:
    gpipe = memory(profile, workload, pp=4, microbatches=16, schedule="gpipe")
    one_f_one_b = memory(profile, workload, pp=4, microbatches=16, schedule="1f1b")
    assert gpipe[1]["activations"] == block_bytes(16, 4)
    assert one_f_one_b[1]["activations"] == block_bytes(3, 4)
    assert one_f_one_b[2]["activations"] == block_bytes(2, 4)
    assert sum(rank["parameters"] for rank in gpipe) == WHOLE


def test_zero_bubble_keeps_as_much_as_the_first_rank_of_1f1b(
    profile: ModelProfile, workload: Workload
) -> None:
    found = memory(profile, workload, pp=4, microbatches=16, schedule="zero_bubble")
    assert [rank["activations"] for rank in found[1:3]] == [block_bytes(4, 4)] * 2


def test_interleaving_keeps_more_than_1f1b(profile: ModelProfile, workload: Workload) -> None:
    virtual = memory(profile, workload, pp=2, microbatches=8, schedule="interleaved1f1b")
    plain = memory(profile, workload, pp=2, microbatches=8, schedule="1f1b")
    assert virtual[1]["activations"] > plain[1]["activations"]
    assert sum(rank["parameters"] for rank in virtual) == WHOLE


def test_forgetful_layers_keep_their_inputs_and_one_layer_at_a_time(
    profile: ModelProfile, workload: Workload
) -> None:
    (found,) = memory(profile, workload, checkpoint_activations=True)
    assert found["activations"] == 64 * ((20 + 7 * 400) + 1_200)
    stages = memory(profile, workload, pp=4, microbatches=16, checkpoint_activations=True)
    assert stages[1]["activations"] == 4 * (3 * 2 * 400 + 1_200)


def test_a_hybrid_counts_every_axis_once(profile: ModelProfile, workload: Workload) -> None:
    found = memory(profile, workload, dp=2, pp=2, tp=2, microbatches=4)
    first, last = found[0], found[2]
    assert found == (first, first, last, last) * 2
    assert first["parameters"] == 2_400 + 3 * (800 + 40_000)
    assert first["activations"] == 2 * 8 * (20 + 3 * (400 + 400))


def test_placed_branches_have_no_formula(profile: ModelProfile) -> None:
    plan = Plan(pp=3, placement="branches")
    assert memory_by_rank(plan, profile, WORKLOADS["branches"], [range(8)]) is None
