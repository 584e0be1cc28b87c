"""Records made by hand, so that every picture can be checked against known numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from labkit.plan import Plan
from labkit.plan_for import plan_for
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.record import RunRecord, Span, Step

STEP_S = 0.1


def make_record(
    plan: Plan, num_steps: int, *, planned: int = 20, status: Any = "done", **fields: Any
) -> RunRecord:
    """A run whose ranks do the same in every step of 100 ms; the loss of step n is 2 / n."""
    record = RunRecord(
        **{"run": "made", "workload": {"name": "text"}, **fields},
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
    count = plan.num_microbatches * plan.num_virtual_stages
    piece_s = 0.08 / (2 * count)
    spans = [Span(rank, stage, "data", "data", start_s, 0.005, -1, 0, step)]
    for at in range(2 * count):
        kind, piece = ("forward", "backward")[at % 2], at // 2
        chunk, microbatch = divmod(piece, plan.num_microbatches)
        begin_s, of_stage = start_s + 0.005 + at * piece_s, stage + chunk * plan.pp
        spans.append(Span(rank, of_stage, kind, kind, begin_s, piece_s, microbatch, 0, step))
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
def emulated() -> dict[str, Any]:
    """Fields of a run on the declared device ``demo`` that was 8 % late."""
    emulation = {"device": "demo", "time_scale": 35.0, "lateness": 0.08, "trustworthy": False}
    return {"kind": "emulated", "emulation": emulation}


@pytest.fixture
def emulated_curve(curve: Curve) -> Curve:
    """The points of ``curve`` on the declared device ``demo``; the last one was 9 % late."""
    lateness = [0.01] * (len(curve.points) - 1) + [0.09]
    points = [
        replace(point, kind="emulated", ideal_speedup=1.1 * point.speedup, lateness=late)
        for point, late in zip(curve.points, lateness, strict=True)
    ]
    return replace(curve, kind="emulated", device="demo", time_scale=35.0, points=points)


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
