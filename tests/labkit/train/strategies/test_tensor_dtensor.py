"""Tensor parallelism by torch's own styles does the training of the one by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.tensor.debug import CommDebugMode

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.batches import Batch
from labkit.train.models import digits, text
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.shapes import empty_microbatch
from labkit.train.strategies.tensor_dtensor import apply_dtensor, check_linear
from labkit.workload import WORKLOADS

DTENSOR = Plan(tp=2, tensor_style="dtensor")


def assert_equal(both: Any, rounding: float = 1e-5) -> None:
    assert both.loss <= rounding
    assert both.weights <= 10 * rounding
    assert both.gradients <= 100 * rounding
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


@pytest.mark.parametrize(
    ("workload", "plan"),
    [
        ("text", DTENSOR),
        ("fruit", DTENSOR),
        ("fruit", Plan(tp=4, tensor_style="dtensor", microbatches=2)),
    ],
)
def test_dtensors_equal_one_process(compare: Any, workload: str, plan: Plan) -> None:
    assert_equal(compare(workload, plan, num_steps=6))


@pytest.mark.parametrize(
    ("recipe", "rounding"),
    [
        ({"precision": "float64"}, 1e-11),
        ({"precision": "bfloat16"}, 2e-2),
        ({"clip_norm": 0.05}, 1e-5),
        ({"keep_last": True, "global_batch": 300}, 1e-5),
    ],
    ids=["float64", "bfloat16", "clip_norm", "keep_last"],
)
def test_dtensors_keep_to_the_recipe(compare: Any, recipe: dict[str, Any], rounding: float) -> None:
    assert_equal(compare("fruit", DTENSOR, num_steps=5, **recipe), rounding)


def test_dtensors_send_what_the_styles_by_hand_send(compare: Any) -> None:
    by_hand = compare("fruit", Plan(tp=2), num_steps=6)
    by_torch = compare("fruit", DTENSOR, num_steps=6)
    for one, other in zip(by_hand.results, by_torch.results, strict=True):
        assert one.comm_bytes == other.comm_bytes
        spans = [span for span in other.spans if span.kind == "comm_tp"]
        assert len(spans) == 6 * 6 * 2  # steps, regions, directions
        assert sum(span.bytes for span in spans) == other.comm_bytes["comm_tp"]


def count_collectives(ctx: RankContext) -> tuple[int, int]:
    """Collectives of one step: those that torch has seen, those that were recorded."""
    recorder, pace = SpanRecorder(ctx.now, rank=ctx.rank), RealTime(ctx.now)
    given = Given(
        workload=WORKLOADS["text"],
        plan=DTENSOR,
        place=Place.of(ctx.rank, DTENSOR),
        example=empty_microbatch((8,), "int64", 2),
        stages=(range(8),),
        device=torch.device("cpu"),
        recorder=recorder,
        pace=pace,
    )
    part = apply_dtensor(text.build((8,), 5), given)
    tokens = torch.zeros(2, 8, dtype=torch.int64)
    with CommDebugMode() as seen:
        part.forward_backward(Batch(tokens, tokens, 1 / 16))
    return seen.get_total_counts(), sum(s.kind == "comm_tp" for s in recorder.spans)


def test_no_collective_of_dtensor_goes_unseen(cluster4: Cluster) -> None:
    regions, directions = 12, 2
    for seen, recorded in cluster4.run_ranks(count_collectives, 2, timeout_s=60.0):
        assert seen == recorded == regions * directions


def test_forgetting_activations_costs_the_bytes_of_the_formula(compare: Any) -> None:
    plan = Plan(tp=2, tensor_style="dtensor", checkpoint_activations=True)
    assert_equal(compare("fruit", plan, num_steps=4))


def test_convolutions_are_refused_before_anything_starts() -> None:
    with pytest.raises(PlanError, match="would cut convolutions of workload 'digits'"):
        DTENSOR.validate(WORKLOADS["digits"])
    with pytest.raises(PlanError, match=r"ConvPair.w1 is Conv2d; choose tensor_style=plain"):
        check_linear(digits.build((1, 8, 8), 10), DTENSOR)
    check_linear(nn.Sequential(nn.Conv2d(1, 1, 1)), DTENSOR)  # not in a region
