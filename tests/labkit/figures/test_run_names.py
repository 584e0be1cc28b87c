"""Names of runs: short, and different where the runs are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.figures.run_names import plan_name, run_names, strategy_lines, workload_names
from labkit.plan import Plan
from labkit.runs.record import RunRecord

MakeRecord = Callable[..., RunRecord]


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (Plan(), "one device"),
        (Plan(dp=2, pp=2), "dp=2 pp=2"),
        (Plan(dp=4, sync="ring"), "dp=4 ring"),
        (Plan(dp=2, sync="average", sync_every=8), "dp=2 average sync_every=8"),
        (Plan(dp=2, shard="parameters"), "dp=2 shard=parameters"),
        (Plan(pp=4, schedule="interleaved1f1b"), "pp=4 interleaved1f1b"),
        (
            Plan(pp=2, schedule="zero_bubble", microbatches=6),
            "pp=2 zero_bubble microbatches=6",
        ),
        (Plan(pp=3, placement="branches"), "pp=3 branches"),
        (Plan(tp=2, sequence_parallel=True), "tp=2 sequence_parallel"),
        (Plan(pp=3, cuts=(2, 4)), "pp=3 cuts=2/4"),
    ],
)
def test_plan_is_named_by_what_is_not_usual(plan: Plan, name: str) -> None:
    assert plan_name(plan.to_dict()) == name


def test_plan_of_an_old_record_has_a_name() -> None:
    assert plan_name({"dp": 2, "pp": 1, "tp": 1}) == "dp=2"


def test_names_hold_what_differs_and_no_more(make_record: MakeRecord) -> None:
    first, second = make_record(Plan(dp=2), 1), make_record(Plan(dp=2, sync="ring"), 1)
    assert run_names([first, second]) == ["dp=2", "dp=2 ring"]
    other = make_record(Plan(dp=2), 1, workload={"name": "fruit"}, kind="emulated")
    assert run_names([first, other]) == ["text, dp=2, measured", "fruit, dp=2, emulated"]
    assert workload_names([first, other, second]) == "text and fruit"


def test_runs_that_are_equal_are_told_apart_by_their_identifier(make_record: MakeRecord) -> None:
    records = [make_record(Plan(dp=2), 1, run=run) for run in ("a", "b")]
    assert run_names(records) == ["dp=2, a", "dp=2, b"]


def test_variant_is_what_stands_behind_the_plus_signs() -> None:
    assert strategy_lines("data") == ("data", "")
    assert strategy_lines("data+sync=average+sync_every=8") == ("data", "average, sync_every=8")
    assert strategy_lines("tensor+sequence_parallel") == ("tensor", "sequence_parallel")
