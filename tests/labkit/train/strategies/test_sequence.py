"""Tokens shared out between tensor regions: the same training, the bytes of the formula."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.models.text import build
from labkit.train.strategies.sequence import count_tokens, sequence_bytes_per_step
from labkit.train.strategies.shapes import empty_microbatch, trace_shapes
from labkit.workload import WORKLOADS

PLANS = {
    "2": Plan(tp=2, sequence_parallel=True),
    "4-accumulated": Plan(tp=4, sequence_parallel=True, microbatches=2),
    "2x2": Plan(dp=2, tp=2, sequence_parallel=True),
}


def assert_equal(both: Any, rounding: float = 1e-5) -> None:
    assert both.loss <= rounding
    assert both.weights <= 10 * rounding
    assert both.gradients <= 100 * rounding
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_sharded_tokens_equal_one_process(compare: Any, plan: Plan) -> None:
    assert_equal(compare("text", plan, num_steps=8))


@pytest.mark.parametrize(
    "recipe",
    [
        {"precision": "float64"},
        {"clip_norm": 0.5},
        {"keep_last": True, "global_batch": 6},
        {"num_tokens": 32},  # a dataset whose samples are longer than the workload says
    ],
    ids=["float64", "clip_norm", "keep_last", "longer"],
)
def test_sharded_tokens_keep_to_the_recipe(compare: Any, recipe: dict[str, Any]) -> None:
    rounding = 1e-11 if "precision" in recipe else 1e-5
    assert_equal(compare("text", PLANS["2"], num_steps=4, **recipe), rounding)


def test_a_region_gathers_its_input_and_scatters_its_sum_in_both_directions() -> None:
    shapes = trace_shapes(build((64,), 30), empty_microbatch((64,), "int64", 2))
    activation = 2 * 64 * 64 * 4  # samples, tokens, width, float32
    regions, directions, microbatches = 12, 2, 3
    for tp in (2, 4):
        gathered, scattered = activation // tp, activation
        assert sequence_bytes_per_step(shapes, microbatches, tp) == (
            microbatches * regions * directions * (gathered + scattered)
        )


def test_tokens_that_do_not_divide_are_refused() -> None:
    shapes = trace_shapes(build((6,), 5), empty_microbatch((6,), "int64", 2))
    assert count_tokens(shapes, Plan(tp=2, sequence_parallel=True)) == 3
    with pytest.raises(PlanError, match=r"over tp\(4\), but a sample has 6; choose a tp that div"):
        count_tokens(shapes, Plan(tp=4, sequence_parallel=True))


def test_every_collective_is_recorded_once_a_region_and_direction(compare: Any) -> None:
    both = compare("text", PLANS["2"], num_steps=8)
    for result in both.results:
        names = [span.name for span in result.spans if span.kind == "comm_tp"]
        for name in ("tokens", "output", "output gradient", "input gradient"):
            assert names.count(name) == 8 * 12
        assert names.count("gradients") == 8


@pytest.mark.parametrize(
    ("plan", "workload", "message"),
    [
        ({"tp": 2}, "fruit", "a sample of workload 'fruit' has 0 tokens"),
        ({"tp": 2, "pp": 2}, "text", "hands whole activations on; choose pp=1"),
        ({"tp": 2, "tensor_style": "dtensor"}, "text", "by hand, but tensor_style=dtensor"),
        ({"tp": 2, "checkpoint_activations": True}, "text", "is not available; choose one"),
    ],
)
def test_what_cannot_share_its_tokens_is_refused(
    plan: dict[str, Any], workload: str, message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(sequence_parallel=True, **plan).validate(WORKLOADS[workload])
