"""Runs side by side: figures beside figures, and nothing compared that may not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.compare import compare
from labkit.runs.record import RunRecord, Step
from labkit.workload import find_workload

MakeRun = Callable[..., RunRecord]


def twice_as_fast(record: RunRecord) -> list[Step]:
    return [step._replace(seconds=step.seconds / 2) for step in record.steps]


def test_figures_stand_side_by_side(make_run: MakeRun) -> None:
    one = make_run("one", Plan())
    two = make_run(
        "two", Plan(dp=2), steps=twice_as_fast(one), ideal={"speedup": 1.9}, wall_s=2.0,
        comm_bytes={"measured": {"comm_dp": 800}, "formula": {"comm_dp": 800}},
        memory_bytes={
            "measured": [10, 30],
            "formula": [{"parameters": 5, "gradients": 5}, {"parameters": 4, "gradients": 4}],
        },
        attribution_s={"compute": 1.5, "imbalance": 0.5}, accuracy={"correct": 0.9},
    )  # fmt: skip
    comparison = compare([one, two])
    assert comparison.remarks == ()
    first, second = comparison.rows
    assert (first.speedup, second.speedup) == (1.0, pytest.approx(2.0))
    assert (first.ideal_speedup, second.ideal_speedup) == (None, 1.9)
    assert (first.devices, second.devices) == (1, 2)
    assert second.comm_bytes["measured"] == second.comm_bytes["formula"] == {"comm_dp": 800}
    assert first.memory_bytes == {"measured": None, "formula": None}
    assert second.memory_bytes == {"measured": 30, "formula": 10}
    assert second.attribution_s == {"compute": 1.5, "imbalance": 0.5}
    assert (second.final_loss, second.accuracy, second.lateness) == (0.5, 0.9, None)
    assert json.loads(json.dumps(comparison.to_json()))["rows"][1]["run"] == "two"


def test_different_workloads_are_not_compared_silently(make_run: MakeRun) -> None:
    digits = find_workload("digits").to_dict()
    comparison = compare([make_run("a"), make_run("b", workload=digits)])
    assert comparison.rows[1].speedup is None
    assert comparison.remarks == (
        "different workloads (fruit, digits): neither throughput nor loss can be compared",
    )


def test_measured_and_emulated_times_are_not_compared(
    make_run: MakeRun, emulation: dict[str, Any]
) -> None:
    late = emulation | {"lateness": 0.2, "trustworthy": False}
    comparison = compare(
        [
            make_run("a"),
            make_run("b", kind="emulated", emulation=emulation),
            make_run("c", kind="emulated", emulation=late),
        ]
    )
    assert [row.kind for row in comparison.rows] == ["measured", "emulated", "emulated"]
    assert [row.device for row in comparison.rows] == ["", "demo", "demo"]
    assert [row.speedup for row in comparison.rows] == [1.0, None, None]
    assert [row.trustworthy for row in comparison.rows] == [None, True, False]
    assert comparison.remarks == (
        "measured and emulated demo: times of different clocks are shown, not compared",
        "c is UNTRUSTWORTHY: 20% late",
    )


def test_two_devices_are_two_clocks(make_run: MakeRun, emulation: dict[str, Any]) -> None:
    other = emulation | {"device": "a100-80gb"}
    runs = [make_run(kind="emulated", emulation=e) for e in (emulation, other)]
    assert compare(runs).rows[1].speedup is None
    same = [make_run(kind="emulated", emulation=emulation) for _ in range(2)]
    assert compare(same).rows[1].speedup == 1.0


def test_other_samples_under_one_name_are_another_task(make_run: MakeRun) -> None:
    comparison = compare([make_run(num_samples=100), make_run(num_samples=200)])
    assert comparison.rows[1].speedup is None
    assert "different models or training samples under one name" in comparison.remarks[0]


def test_settings_that_differ_are_named_and_speedup_stays(make_run: MakeRun) -> None:
    fruit = find_workload("fruit")
    runs = [
        make_run(workload=fruit.with_settings(global_batch=size, seed=size).to_dict())
        for size in (64, 128)
    ]
    comparison = compare(runs)
    assert comparison.rows[1].speedup == 1.0
    assert comparison.remarks == (
        "global_batch differs (64, 128): losses may differ for that reason",
        "seed differs (64, 128): losses may differ for that reason",
    )


def test_an_older_record_that_lacks_a_setting_is_not_said_to_differ(make_run: MakeRun) -> None:
    older = make_run()
    del older.workload["clip_norm"], older.workload["precision"]
    assert compare([older, make_run()]).remarks == ()


def test_a_run_without_steps_is_shown_and_said_to_be(make_run: MakeRun) -> None:
    comparison = compare([make_run("a", steps=[], status="failed"), make_run("b")])
    assert comparison.rows[0].final_loss is None
    assert [row.speedup for row in comparison.rows] == [None, None]
    assert comparison.remarks == ("a is failed after 0 steps",)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(SettingError, match="nothing to compare"):
        compare([])
