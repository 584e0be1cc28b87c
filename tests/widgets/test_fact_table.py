"""Tables of runs in a chapter always say what is measured and what is emulated."""

from __future__ import annotations

from typing import Any

from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.workload import find_workload
from widgets.fact_table import fact_table


def a_record(**settings: Any) -> RunRecord:
    plan = Plan(dp=2)
    return RunRecord(
        run="one",
        workload=find_workload("fruit").to_dict(),
        plan=plan.to_dict(),
        strategy=plan.strategy,
        world_size=plan.world_size,
        planned_steps=2,
        **settings,
    )


def test_every_row_says_the_kind_of_its_run() -> None:
    late = {"device": "demo", "trustworthy": False}
    table = fact_table(
        {
            "here": a_record(),
            "there": a_record(kind="emulated", emulation=late | {"trustworthy": True}),
            "late": a_record(kind="emulated", emulation=late),
        },
        {"ranks": lambda r: r.world_size, "lost | gained": lambda r: 1 / 3},
    )
    assert table._repr_markdown_().splitlines() == [
        "| run | kind | ranks | lost / gained |",
        "| --- | --- | --: | --: |",
        "| here | measured | 2 | 0.333 |",
        "| there | emulated on demo | 2 | 0.333 |",
        "| late | emulated on demo, UNTRUSTWORTHY | 2 | 0.333 |",
    ]
    assert repr(table).splitlines()[0] == "here (measured): ranks 2, lost | gained 0.333"


def test_figures_are_written_for_people() -> None:
    columns = {"big": lambda r: 1234567.8, "whole": lambda r: 3.0, "text": lambda r: "yes"}
    assert fact_table({"run": a_record()}, columns).rows[0][2:] == ("1,234,568", "3", "yes")
