"""Plans: what they mean, and that one which cannot run is refused with the way out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from labkit.errors import LabError, PlanError, SettingError
from labkit.plan import STRATEGIES, Plan
from labkit.plan_for import plan_for
from labkit.workload import WORKLOADS

FRUIT = WORKLOADS["fruit"]


@pytest.mark.parametrize(
    ("degrees", "strategy"),
    [
        ({}, "single"),
        ({"dp": 2}, "data"),
        ({"pp": 4}, "pipeline"),
        ({"tp": 2}, "tensor"),
        ({"dp": 2, "pp": 2}, "hybrid"),
        ({"dp": 2, "pp": 2, "tp": 2}, "hybrid"),
    ],
)
def test_the_degrees_name_the_strategy(degrees: dict[str, int], strategy: str) -> None:
    assert Plan(**degrees).strategy == strategy


def test_a_pipeline_gets_four_microbatches_a_stage_unless_told_otherwise() -> None:
    assert Plan(pp=2).microbatches == 8
    assert Plan(pp=2, microbatches=4).num_microbatches == 4
    assert Plan(dp=4).num_microbatches == 1


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plan().dp = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dp": True}, "dp=True is not a degree"),
        ({"dp": 0}, "dp=0 is not a degree; choose a whole number >= 1"),
        ({"pp": 1.5}, "pp=1.5 is not a degree"),
        ({"schedule": "zigzag"}, "schedule='zigzag' is not available; choose gpipe or 1f1b or"),
        ({"sync": "gossip"}, "sync='gossip' is not available; choose all_reduce"),
        ({"shard": "all"}, "shard='all' is not available; choose none"),
        ({"microbatches": 0}, "microbatches=0 is not a count"),
        ({"bucket_mb": float("inf")}, "bucket_mb=inf holds no gradient, or more than any"),
        ({"bucket_mb": "big"}, "bucket_mb='big' holds no gradient"),
        ({"pp": 2, "cuts": 3}, "cuts=3 are no layers; give the index of the first layer"),
        ({"pp": 2, "cuts": (2.5,)}, r"cuts=\(2.5,\) are no layers"),
        ({"pp": 4, "microbatches": 2}, r"microbatches=2 < pp\(4\); use 4 or more, or .* gpipe"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(**settings)


@pytest.mark.parametrize(
    ("plan", "num_devices", "message"),
    [
        (
            Plan(dp=2, tp=3),
            4,
            r"dp\(2\) \* pp\(1\) \* tp\(3\) = 6 but 4 devices are available; "
            r"choose degrees whose product is at most 4",
        ),
        (Plan(pp=9), 16, r"pp\(9\) stages but workload 'fruit' has \d layers; choose pp at most"),
        (Plan(tp=3), 4, r"tp\(3\) does not divide the \d+ slices"),
        (Plan(dp=3), 4, r"dp\(3\) does not divide the global batch of 1024"),
        (Plan(pp=2, microbatches=7), 4, r"microbatches\(7\) does not divide the batch of 1024"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_the_numbers(
    plan: Plan, num_devices: int, message: str
) -> None:
    workload = dataclasses.replace(FRUIT, global_batch=1024)
    with pytest.raises(PlanError, match=message) as error:
        plan.validate(workload, num_devices)
    assert isinstance(error.value, LabError)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("workload", ["fruit", "digits", "text", "deep"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_every_bundled_workload_fits_every_strategy_on_one_two_and_four(
    workload: str, strategy: str, num_devices: int
) -> None:
    plan = plan_for(strategy, num_devices)
    plan.validate(WORKLOADS[workload], num_devices)
    assert plan.world_size == num_devices


@pytest.mark.parametrize(
    ("num_devices", "degrees"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (6, (3, 2)), (8, (4, 2)), (9, (3, 3))],
)
def test_hybrid_splits_the_model_in_small_groups_and_the_data_over_them(
    num_devices: int, degrees: tuple[int, int]
) -> None:
    plan = plan_for("hybrid", num_devices)
    assert (plan.dp, plan.pp) == degrees


def test_an_unknown_strategy_or_no_device_is_refused() -> None:
    with pytest.raises(SettingError, match=r"strategy 'magic' is unknown; choose from data"):
        plan_for("magic", 2)
    with pytest.raises(SettingError, match=r"devices=0 is not a count"):
        plan_for("data", 0)
