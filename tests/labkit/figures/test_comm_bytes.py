"""Bytes of collectives: counted, beside the formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.figures.comm_bytes import comm_bytes_figure
from labkit.figures.picture import alt_of
from labkit.plan import Plan
from labkit.runs.record import RunRecord

MakeRecord = Callable[..., RunRecord]


@pytest.fixture
def hybrid(make_record: MakeRecord) -> RunRecord:
    """Ten steps with 40 MB among replicas, exact, and 90 MB between stages, 100 by formula."""
    record = make_record(Plan(dp=2, pp=2), 10)
    record.comm_bytes = {
        "measured": {"comm_dp": 40_000_000, "comm_pp": 90_000_000},
        "formula": {"comm_dp": 40_000_000, "comm_pp": 100_000_000},
    }
    return record


def test_bars_hold_bytes_a_step_by_kind(hybrid: RunRecord) -> None:
    axes = comm_bytes_figure(hybrid).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [4e6, 4e6, 9e6, 10e6]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["dp=2 pp=2\ncomm_dp, among replicas", "comm_pp, between stages"]
    assert axes.get_xlabel() == "megabytes a step, payload of all ranks"


def test_ratio_to_the_formula_is_printed(hybrid: RunRecord) -> None:
    figure = comm_bytes_figure(hybrid)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["4 MB, exact", "9 MB, x 0.9"]
    assert "among replicas: 4 MB, exact" in alt_of(figure)


def test_several_runs_are_compared_a_step_each(hybrid: RunRecord, make_record: MakeRecord) -> None:
    other = make_record(Plan(dp=2, sync="async_parameter_server"), 5)
    other.comm_bytes = {"measured": {"comm_dp": 40_000_000}, "formula": {}}
    axes = comm_bytes_figure(hybrid, other).axes[0]
    assert len(axes.get_yticks()) == 3
    assert axes.texts[-1].get_text() == "8 MB, no formula"


def test_bytes_that_no_formula_expects_are_said(hybrid: RunRecord) -> None:
    hybrid.comm_bytes = {"measured": {"comm_dp": 100}, "formula": {"comm_dp": 0}}
    assert comm_bytes_figure(hybrid).axes[0].texts[0].get_text() == "10 B, x nothing expected"


def test_run_that_sent_nothing_is_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="no run has communicated"):
        comm_bytes_figure(record)
