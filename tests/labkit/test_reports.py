"""Tables say whose seconds they show, and what a plan changes."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.plan import Plan
from labkit.reports import (
    check_folder,
    columns,
    cores_note,
    curve_table,
    demo_table,
    describe_kind,
    describe_plan,
    preprocess_table,
    train_table,
)
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.record import RunRecord, Step


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


def make_record(**more: Any) -> RunRecord:
    plan = Plan(dp=2)
    return RunRecord(
        run="made", workload={"name": "fruit", "global_batch": 64}, plan=plan.to_dict(),
        strategy="data", world_size=2, planned_steps=2, status="done",
        steps=[Step(0, 0.7, 64, 0.2, 0.2), Step(1, 0.6, 64, 0.2, 0.4)], **more,
    )  # fmt: skip


def test_a_record_shows_formulas_where_they_differ_and_the_ideal() -> None:
    text = train_table(
        make_record(
            comm_bytes={
                "measured": {"comm_dp": 1000, "comm_tp": 50},
                "formula": {"comm_dp": 1000, "comm_tp": 40},
            },
            memory_bytes={"measured": [3e6, 5e6], "formula": [{"parameters": 1e6}]},
            ideal={"step_time_s": 0.1, "speedup": 1.9},
            repeats="earlier",
        )
    )
    assert "comm_dp 1,000 B  comm_tp 50 B (formula 40 B)" in text
    assert "grew by 5.0 MB, formula 1.0 MB" in text
    assert "200 ms, ideal 100 ms (ideal speedup 1.90)" in text
    assert "repeats" in text
    assert "error" not in text


def test_a_failed_record_shows_its_cause() -> None:
    text = train_table(make_record(error="rank 1 raised ValueError"))
    assert "rank 1 raised ValueError" in text
    assert "ideal" not in text


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


def test_a_folder_is_checked_without_being_made(tmp_path: Any) -> None:
    check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_preprocessing_is_told_by_step_column_and_quality() -> None:
    step = {"name": "integration", "seconds": 0.5, "rows_in": 100, "rows_out": 95}
    step |= {"note": "5 duplicates removed", "details": {"duplicates": 5, "conflicts": {}}}
    fruit = {"count": 99, "missing": 1, "mode": "orange"}
    weight = {"count": 90, "missing": 10, "min": 1.0, "median": 2.5}
    report = {
        "rows_in": 100, "rows_out": 95, "set_aside": 0, "shards": 2, "seconds": 1.25,
        "steps": [step], "statistics": {"weight_g": weight, "fruit": fruit},
    }  # fmt: skip
    steps, statistics, quality, total = preprocess_table(report).split("\n\n")
    assert steps.splitlines()[1].split(maxsplit=4)[-1] == "5 duplicates removed"
    assert statistics.splitlines()[1].split() == ["weight_g", "90", "10", "1", "2.5"]
    assert statistics.splitlines()[2].endswith("orange")
    assert "uniqueness     95.00%  100.00%  rows that repeat no other" in quality
    assert "validity            -        -  values" in quality
    assert total == "100 rows in, 95 out, 0 set aside, 2 shards, 1.2 s"


def test_preprocessing_without_statistics_has_no_empty_table() -> None:
    report = {"rows_in": 1, "rows_out": 0, "set_aside": 1, "shards": 0, "seconds": 0.0}
    text = preprocess_table({**report, "steps": [], "statistics": {}})
    assert "most often" not in text


def test_a_record_tells_of_its_checkpoints_and_where_it_went_on_from() -> None:
    written = [
        {"step": 20, "seconds": 0.25, "folder": "c/step-000020", "bytes": 3_000},
        {"step": 40, "seconds": 0.25, "folder": "c/step-000040", "bytes": 3_001},
        {"step": 60, "seconds": 0.1, "error": "No space left on device"},
    ]
    resumed = {"folder": "runs/a/checkpoints/step-000010", "step": 10}
    text = train_table(make_record(checkpoints=written, resumed=resumed))
    assert "2 in 0.50 s, the newest after step 40 (3,001 B); 1 failed: No space left" in text
    assert "went on from" in text
    assert "runs/a/checkpoints/step-000010" in text
    assert "checkpoints" not in train_table(make_record())


def test_a_record_tells_that_it_was_attacked() -> None:
    attacks = [
        {"what": "kill_leader", "target": 1, "at_s": 3.2, "step": 43},
        {"what": "slow_link", "target": "", "at_s": 9.0, "step": 90, "factor": 10, "seconds": 8},
    ]
    record = RunRecord(
        run="r", workload={"name": "digits", "global_batch": 64}, plan=Plan(dp=2).to_dict(),
        strategy="data", world_size=2, planned_steps=50, attacks=attacks,
    )  # fmt: skip
    table = train_table(record)
    assert "3.2 s: you killed rank 1, the leader\n" in table
    assert table.endswith("9.0 s: you slowed the links 10 times for 8 s")


def test_a_record_tells_what_it_went_on_after() -> None:
    entry = {
        "attempt": 1, "cause": "worker_lost", "rank": 1, "why": "its worker was lost", "at_s": 3.25,
        "detection_s": 0.04, "decided_by": "leader", "leader": 0, "term": 2, "recovery_s": None,
        "from_step": 40, "lost_steps": 7, "world_size": 2,
    }  # fmt: skip
    record = RunRecord(
        run="r", workload={"name": "digits", "global_batch": 64}, plan=Plan(dp=2).to_dict(),
        strategy="data", world_size=2, planned_steps=50, recoveries=[entry],
    )  # fmt: skip
    table = train_table(record)
    assert (
        "rank 1 worker lost at 3.2 s (its worker was lost), noticed after 0.04 s, not gone" in table
    )
    assert "decided by rank 0, the leader of term 2" in table
    record.recoveries = [entry | {"recovery_s": 1.5, "decided_by": "client"}]
    table = train_table(record)
    assert (
        "gone on 1.50 s later from step 40; decided by the client, as no leader was left" in table
    )
