"""Tables say whose seconds they show, and what a plan changes."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.plan import Plan
from labkit.reports import (
    columns,
    cores_note,
    curve_table,
    demo_table,
    describe_kind,
    describe_plan,
)
from labkit.runs.curve import Curve, CurvePoint


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Plan(), "one device"),
        (Plan(dp=2, pp=2), "dp 2 x pp 2, 1f1b, 8 microbatches"),
        (Plan(dp=2, microbatches=4), "dp 2, microbatches 4"),
        (Plan(dp=4, sync="average"), "dp 4, sync average, sync_every 4"),
        (Plan(dp=2, bucket_mb=0.1275), "dp 2, bucket_mb 0.128"),
        (Plan(tp=2, sequence_parallel=True), "tp 2, sequence_parallel"),
        (Plan(pp=2, cuts=(3,)), "pp 2, 1f1b, 8 microbatches, cuts 3"),
        (Plan(pp=3, placement="branches"), "pp 3, placement branches"),
        (
            Plan(pp=2, schedule="interleaved1f1b"),
            "pp 2, interleaved1f1b, 8 microbatches, virtual_stages 2",
        ),
    ],
)
def test_a_plan_is_told_by_what_it_changes(plan: Plan, text: str) -> None:
    assert describe_plan(plan.to_dict()) == text


def test_a_plan_of_the_version_before_is_told_too() -> None:
    older = {"dp": 1, "pp": 2, "tp": 1, "schedule": "gpipe", "microbatches": 8}
    assert describe_plan(older) == "pp 2, gpipe, 8 microbatches"


@pytest.mark.parametrize(
    ("kind", "emulation", "text"),
    [
        ("measured", {}, "MEASURED: real ranks, real clock"),
        ("projected", {}, "PROJECTED"),
        ("emulated", {}, "EMULATED on a declared device"),
        (
            "emulated",
            {"device": "demo", "time_scale": 12.345, "lateness": 0.011, "trustworthy": True},
            "EMULATED on demo, time x 12.3, 1.1% late",
        ),
        (
            "emulated",
            {"device": "demo", "lateness": 0.3, "trustworthy": False, "advice": "fewer devices"},
            "EMULATED on demo, 30.0% late: UNTRUSTWORTHY, fewer devices",
        ),
    ],
)
def test_the_kind_says_whose_seconds_these_are(
    kind: str, emulation: dict[str, Any], text: str
) -> None:
    assert describe_kind(kind, emulation) == text


def make_curve(kind: Any, **facts: Any) -> Curve:
    curve = Curve(
        workload="fruit", kind=kind, scaling="strong", num_cores=2, repeats=1, planned_points=1,
        device="" if kind == "measured" else "demo", time_scale=None,
    )  # fmt: skip
    curve.put(
        CurvePoint(
            strategy="data", devices=4, plan=Plan(dp=4).to_dict(), throughput_samples_per_s=100.0,
            speedup=3.2, speedup_low=3.0, speedup_high=3.3, kind=kind, runs=("a",), **facts,
        )
    )  # fmt: skip
    return curve


def test_a_measured_curve_has_no_ideal_and_names_the_cores() -> None:
    text = curve_table(make_curve("measured"))
    assert text.startswith("MEASURED: real ranks, real clock; speedup of fruit, strong scaling")
    assert "ideal" not in text
    assert "4 ranks share them" in text


@pytest.mark.parametrize(("lateness", "mark"), [(0.04, "4.0%"), (0.2, "20.0% UNTRUSTWORTHY")])
def test_an_emulated_curve_has_the_ideal_beside_each_point(lateness: float, mark: str) -> None:
    text = curve_table(make_curve("emulated", ideal_speedup=3.6, lateness=lateness))
    assert text.startswith("EMULATED on demo; speedup")
    heading, point = text.splitlines()[2:4]
    assert heading.split()[-2:] == ["ideal", "late"]
    assert point.endswith(f"{mark}")
    assert "3.60" in point
    assert "cores" not in text, "emulated speedup is not bound by the cores"


@pytest.mark.parametrize("kind", ["measured", "emulated"])
def test_the_demo_says_its_kind(kind: str) -> None:
    result = {
        **make_curve(kind, ideal_speedup=3.6 if kind == "emulated" else None).to_json(),
        "accuracy": {"before": 0.5, "correct": 0.9}, "training": {"steps": 40}, "files": ["a.png"],
        "preprocess": {"rows_in": 10, "rows_out": 9, "seconds": 1.0}, "seconds": 2.0,
    }  # fmt: skip
    text = demo_table(result)
    assert text.startswith("MEASURED" if kind == "measured" else "EMULATED on demo")
    assert ("ideal" in text) == (kind == "emulated")
    assert ("4 ranks share them" in text) == (kind == "measured")


def test_words_go_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("name", "size", "plan"), ("a", "1", "dp 2"), ("longer", "1,000", "one device")]
    assert columns(rows, left=["plan"]).splitlines() == [
        "name     size  plan",
        "a           1  dp 2",
        "longer  1,000  one device",
    ]


def test_cores_are_named_only_where_they_bind() -> None:
    assert cores_note(4, 4) == ""
    assert cores_note(None, 8) == ""
    assert "above 2 cannot" in cores_note(2, 4).replace("cores ", "")
