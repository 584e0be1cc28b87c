"""Records made by hand, as files and as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.plan import Plan
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.record import RunRecord, Span, Step
from labkit.workload import find_workload


def make_run(run: str = "20260101-000000-abc", plan: Plan | None = None, **more: Any) -> RunRecord:
    """A measured run of three steps, the first of them warm-up."""
    plan = plan or Plan(dp=2)
    values: dict[str, Any] = {
        "run": run,
        "workload": find_workload("fruit").with_settings(global_batch=64).to_dict(),
        "plan": plan.to_dict(),
        "strategy": plan.strategy,
        "world_size": plan.world_size,
        "planned_steps": 3,
        "status": "done",
        "warmup_steps": 1,
        "steps": [
            Step(0, 0.7, 64, 0.5, 0.5),
            Step(1, 0.6, 64, 0.1, 0.6),
            Step(2, 0.5, 64, 0.3, 0.9),
        ],
        "spans": [
            Span(rank, 0, "forward", "step", 0.0, 0.1, -1, 0, 0) for rank in range(plan.world_size)
        ],
    }
    return RunRecord(**(values | more))


@pytest.fixture(name="make_run")
def make_run_fixture() -> Callable[..., RunRecord]:
    """The function itself: test files cannot import from here."""
    return make_run


@pytest.fixture
def emulation() -> dict[str, Any]:
    """What the record of an emulated run says of it."""
    return {
        "device": "demo",
        "time_scale": 20.0,
        "lateness": 0.01,
        "trustworthy": True,
        "advice": "",
    }


@pytest.fixture
def curve() -> Curve:
    """One strategy on 1 and 2 devices."""
    curve = Curve(
        workload="fruit", kind="measured", scaling="strong", num_cores=2, repeats=1,
        planned_points=2, baseline_throughputs=[100.0], baseline_runs=["a"],
    )  # fmt: skip
    for devices, speedup in ((1, 1.0), (2, 1.8)):
        curve.put(
            CurvePoint(
                strategy="data", devices=devices, plan=Plan(dp=devices).to_dict(),
                throughput_samples_per_s=100 * speedup, speedup=speedup, speedup_low=speedup,
                speedup_high=speedup, kind="measured", runs=("a", "b"),
            )
        )  # fmt: skip
    return curve
