"""Where the time went: stacked bars that fill the axis."""

from __future__ import annotations

import pytest

from labkit.figures.attribution import attribution_figure, readable_on
from labkit.figures.style import KIND_NOTES
from labkit.runs.record import RunRecord

PARTS = {
    "compute": 6.0,
    "exposed_communication": 2.0,
    "bubble": 0.0,
    "imbalance": 1.9,
    "other": 0.1,
}


def test_bar_is_stacked_to_the_whole_wall_time(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record).axes[0]
    bars = [patch for container in axes.containers for patch in container]
    assert [bar.get_width() for bar in bars] == pytest.approx([0.6, 0.2, 0.19, 0.01])
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(1.0)
    assert axes.get_xlabel() == "share of the wall time"


def test_parts_without_time_are_not_in_the_legend(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["compute", "exposed communication", "imbalance", "other"]


def test_parts_are_numbered_where_there_is_room(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record).axes[0]
    assert [text.get_text() for text in axes.texts] == ["60%", "20%", "19%"]
    assert axes.get_title("right") == KIND_NOTES["measured"]


def test_several_runs_are_compared_one_bar_each(record: RunRecord) -> None:
    record.attribution_s = PARTS
    axes = attribution_figure(record, record).axes[0]
    assert len(axes.containers[0]) == 2
    assert axes.get_yticklabels()[0].get_text() == "text, dp=2\n100.0 ms a step"


def test_run_without_attribution_is_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="no run has an attribution yet"):
        attribution_figure(record)


def test_numbers_are_readable_on_their_colour() -> None:
    assert readable_on("#0072B2") == "white"
    assert readable_on("#F0E442") == "black"
