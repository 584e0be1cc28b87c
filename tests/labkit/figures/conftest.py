"""Records made by hand, so that every picture can be checked against known numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.plan import Plan, plan_for
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.record import RunRecord, Span, Step

STEP_S = 0.1


def make_record(
    plan: Plan, num_steps: int, *, planned: int = 20, status: Any = "done"
) -> RunRecord:
    """A run whose ranks do the same in every step of 100 ms; the loss of step n is 2 / n."""
    record = RunRecord(
        run="made",
        workload={"name": "text"},
        plan=plan.to_dict(),
        strategy=plan.strategy,
        world_size=plan.world_size,
        planned_steps=planned,
        status=status,
        steps=[Step(n, 2 / (n + 1), 64, STEP_S, (n + 1) * STEP_S) for n in range(num_steps)],
    )
    for step in range(num_steps):
        for rank in range(plan.world_size):
            record.spans += _spans(plan, rank, step)
    return record


def _spans(plan: Plan, rank: int, step: int) -> list[Span]:
    start_s, stage = step * STEP_S, rank // plan.tp % plan.pp
    piece_s = 0.08 / (2 * plan.num_microbatches)
    spans = [Span(rank, stage, "data", "data", start_s, 0.005, -1, 0, step)]
    for at in range(2 * plan.num_microbatches):
        kind, microbatch = ("forward", "backward")[at % 2], at // 2
        begin_s = start_s + 0.005 + at * piece_s
        spans.append(Span(rank, stage, kind, kind, begin_s, piece_s, microbatch, 0, step))
    if plan.dp > 1:
        spans.append(Span(rank, stage, "comm_dp", "bucket", start_s + 0.05, 0.03, -1, 4096, step))
    spans.append(Span(rank, stage, "optimizer", "sgd", start_s + 0.09, 0.01, -1, 0, step))
    return spans


@pytest.fixture(name="make_record")
def make_record_fixture() -> Callable[..., RunRecord]:
    """The function itself: test files cannot import from here."""
    return make_record


@pytest.fixture
def record() -> RunRecord:
    """A finished run of 10 steps on two replicas."""
    return make_record(Plan(dp=2), 10)


@pytest.fixture
def curve() -> Curve:
    """Two strategies on 1, 2 and 4 devices, measured on two cores."""
    curve = Curve(
        workload="text",
        kind="measured",
        scaling="strong",
        num_cores=2,
        repeats=3,
        planned_points=6,
    )
    speedups = {"data": (1.0, 1.8, 1.7), "tensor": (1.0, 1.2, 0.9)}
    for strategy, values in speedups.items():
        for devices, speedup in zip((1, 2, 4), values, strict=True):
            curve.put(
                CurvePoint(
                    strategy=strategy,
                    devices=devices,
                    plan=plan_for(strategy, devices).to_dict(),
                    throughput_samples_per_s=100 * speedup,
                    speedup=speedup,
                    speedup_low=speedup - 0.1,
                    speedup_high=speedup + 0.05,
                    kind="measured",
                    runs=("a", "b", "c"),
                )
            )
    return curve
