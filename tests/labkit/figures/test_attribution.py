"""Where the time went: stacked bars that fill the axis."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.figures.attribution import attribution_figure
from labkit.figures.picture import alt_of
from labkit.figures.style import KIND_NOTES
from labkit.plan import Plan
from labkit.runs.record import RunRecord

PARTS = {
    "compute": 6.0,
    "exposed_communication": 2.0,
    "bubble": 0.0,
    "imbalance": 1.4,
    "startup": 0.5,
    "other": 0.1,
}
MakeRecord = Callable[..., RunRecord]


def test_bar_is_stacked_to_the_whole_wall_time(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record).axes[0]
    bars = [patch for container in axes.containers for patch in container]
    assert [bar.get_width() for bar in bars] == pytest.approx([0.6, 0.2, 0.14, 0.05, 0.01])
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(1.0)
    assert axes.get_xlabel() == "share of the wall time, mean of the ranks"


def test_parts_without_time_are_not_in_the_legend(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["compute", "exposed communication", "imbalance", "startup", "other"]


def test_parts_are_numbered_where_there_is_room(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record).axes[0]
    assert [text.get_text() for text in axes.texts] == ["60%", "20%", "14%", "5%"]
    assert axes.get_title("right") == KIND_NOTES["measured"]


def test_several_runs_are_compared_one_bar_each(make_record: MakeRecord) -> None:
    records = [make_record(Plan(dp=2), 9), make_record(Plan(dp=2, sync="ring"), 9)]
    for record in records:
        record.attribution_s = PARTS
    axes = attribution_figure(*records).axes[0]
    assert len(axes.containers[0]) == 2
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["dp=2\n100 ms a step", "dp=2 ring\n100 ms a step"]
    assert axes.get_title("left") == "Where the time of text went"


def test_sentence_tells_the_shares(record: RunRecord) -> None:
    record.attribution_s = PARTS
    said = alt_of(attribution_figure(record))
    assert said.startswith("Where the time of text went: dp=2: compute 60%, exposed communication")
    assert "startup 5%" in said


def test_run_without_attribution_is_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="no run has an attribution yet"):
        attribution_figure(record)
