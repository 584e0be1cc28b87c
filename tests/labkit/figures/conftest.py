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


EDGES = [0.0, 10.0, 20.0, 30.0]
DIRTY = {"counts": {"orange": [90, 2, 0], "watermelon": [1, 30, 40]}, "below": 3, "above": 2}
CLEAN = {"counts": {"orange": [92, 0, 0], "watermelon": [0, 31, 45]}, "below": 0, "above": 0}


@pytest.fixture
def preprocessed() -> dict[str, Any]:
    """What ``Dataset.to_json()`` holds, with small numbers: fruit through all five steps."""
    sources = {"orchard": 100, "market": 60, "questionnaire": 20}
    number = {
        "count": 170, "missing": 10, "min": 2.0, "q25": 8.0, "median": 10.0, "q75": 22.0,
        "max": 48.0, "mean": 14.0, "std": 9.0,
    }  # fmt: skip
    names = {"count": 179, "missing": 1, "mode": "orange", "distinct": 2,
             "counts": {"orange": 100, "watermelon": 79}}  # fmt: skip
    text = {"count": 180, "missing": 0, "mode": "ripe", "distinct": 31}
    statistics = {"weight_g": number, "fruit": names, "note": text}
    weight = {"edges": [1.0, 10.0, 100.0, 1000.0], "before": DIRTY, "after": CLEAN}
    diameter = {"edges": EDGES, "before": DIRTY, "after": CLEAN}
    integration = {
        "rows_per_source": sources, "duplicates": 5, "merged": 7, "set_aside": 0,
        "conflicts": {"weight_g": 3, "fruit": 0}, "rows_out": 168,
    }  # fmt: skip
    pictures: dict[str, dict[str, Any]] = {
        "statistics": {
            "rows_per_source": sources, "missing": {"weight_g": 7, "red": 0, "fruit": 1},
        },
        "integration": {
            **integration,
            "came_from": {"weight_g": {"orchard": 90, "market": 70}, "fruit": {"orchard": 160}},
        },
        "cleaning": {
            "column": "diameter_cm", **diameter,
            "columns": {"diameter_cm": diameter, "weight_g": weight},
            "missing_before": {"weight_g": 8, "diameter_cm": 2, "fruit": 0},
            "missing_after": {"weight_g": 0, "diameter_cm": 1, "fruit": 0},
        },
        "reduction": {
            "explained": [0.6, 0.3, 0.1], "num_kept": 2, "axes": ["component_1", "component_2"],
            "points": {"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 1.0], "class": ["orange"] * 3},
            "importance": {"weight_g": 0.8, "diameter_cm": 0.9},
            "correlation": {
                "columns": ["weight_g", "diameter_cm"], "matrix": [[1.0, 0.9], [0.9, 1.0]],
            },
        },
        "transformation": {
            "columns": ["component_1", "component_2"], "edges": EDGES,
            "before": {"component_1": DIRTY, "component_2": DIRTY},
            "after": {"component_1": CLEAN, "component_2": CLEAN},
            "categories": {"city": {"Spain": 60, "Italy": 40}},
        },
    }  # fmt: skip
    details: dict[str, dict[str, Any]] = {
        "statistics": {"by_class": {"orange": statistics}, "by_source": {"orchard": statistics}},
        "integration": {**integration, "set_aside_reasons": {"no readable key": 2}},
        "cleaning": {
            "outliers": {"weight_g": 4}, "slips": {"weight_g": 2}, "sentinels": {}, "rules": {},
            "filled": {"weight_g": 8}, "relabelled": 3,
        },
        "reduction": {"dropped": {"batch_no": "an identifier"}, "label_bits": 0.97},
        "transformation": {
            "generalised": {"city": {"names": ["Spain", "Italy"], "unplaced": ["Atlantis"]}},
            "encoded": {"city": "one_hot"},
        },
    }  # fmt: skip
    steps = [
        {
            "name": name, "seconds": 0.1, "rows_in": 180, "rows_out": 168, "note": f"{name} done",
            "picture": picture, "details": details[name],
        }
        for name, picture in pictures.items()
    ]  # fmt: skip
    return {
        "rows_in": 180, "rows_out": 168, "seconds": 1.25, "set_aside": 2, "shards": 2,
        "steps": steps, "statistics": statistics,
    }  # fmt: skip
