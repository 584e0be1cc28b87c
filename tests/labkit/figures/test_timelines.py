"""Timelines of several runs over one axis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.collections import PolyCollection

from labkit.figures.picture import alt_of
from labkit.figures.style import DARK
from labkit.figures.timelines import compare_timelines_figure
from labkit.figures.windows import typical_step
from labkit.plan import Plan
from labkit.runs.record import RunRecord

MakeRecord = Callable[..., RunRecord]


def test_typical_step_has_the_median_length(record: RunRecord) -> None:
    for step in (3, 9):  # two odd ones
        record.spans = [
            s._replace(duration_s=9.0) if s.step == step and s.kind == "optimizer" else s
            for s in record.spans
        ]
    window = typical_step(record)
    assert window is not None
    assert list(window.step_starts_s) == [8]  # the newest of those like most
    assert window.length_s == pytest.approx(0.1)


def test_each_run_shows_one_step_of_every_rank(make_record: MakeRecord) -> None:
    records = [make_record(Plan(dp=2), 5), make_record(Plan(pp=4, microbatches=4), 5)]
    axes = compare_timelines_figure(records).axes[0]
    bars = next(c for c in axes.collections if type(c) is PolyCollection)
    windows = [typical_step(record) for record in records]
    assert len(bars.get_paths()) == sum(len(w.spans) for w in windows if w is not None)
    lefts = [path.vertices[:, 0].min() for path in bars.get_paths()]
    assert min(lefts) == pytest.approx(0.0, abs=1e-9)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *(f"rank {rank}" for rank in range(2)),
        *(f"rank {rank}" for rank in range(4)),
    ]


def test_names_say_plan_and_step_time(make_record: MakeRecord) -> None:
    records = [make_record(Plan(dp=2), 5), make_record(Plan(pp=2, schedule="gpipe"), 5)]
    figure = compare_timelines_figure(records)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["dp=2: 100 ms a step", "pp=2 gpipe: 100 ms a step"]
    assert alt_of(figure) == f"A step of each run: text. {'; '.join(said)}"


def test_rows_of_many_ranks_are_low(make_record: MakeRecord) -> None:
    records = [make_record(Plan(dp=16), 3, run=run) for run in ("a", "b", "c")]
    figure = compare_timelines_figure(records, DARK)
    assert figure.get_figheight() < 10
    figure.draw_without_rendering()


def test_runs_without_a_whole_step_are_left_out(make_record: MakeRecord) -> None:
    begun = make_record(Plan(dp=2), 1, status="running")
    assert len(compare_timelines_figure([begun, make_record(Plan(dp=2), 5)]).axes[0].texts) == 1
    with pytest.raises(ValueError, match="no run has a whole step yet"):
        compare_timelines_figure([begun])
