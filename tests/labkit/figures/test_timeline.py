"""The timeline shows the newest whole steps of every rank."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex

from labkit.figures.rank_place import rank_label
from labkit.figures.style import KIND_NOTES, LIGHT
from labkit.figures.timeline import TimelinePicture, timeline_figure
from labkit.figures.windows import newest_steps
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Span

MakeRecord = Callable[..., RunRecord]


@pytest.fixture
def pipeline(make_record: MakeRecord) -> RunRecord:
    """A finished run of two stages and four microbatches."""
    return make_record(Plan(pp=2, microbatches=4), 5)


def test_window_holds_whole_steps_from_the_first_span_to_the_last(record: RunRecord) -> None:
    window = newest_steps(record)
    assert window is not None
    assert sorted(window.step_starts_s) == [7, 8, 9]
    assert window.start_s == pytest.approx(0.7)
    assert window.end_s == pytest.approx(1.0)
    assert {span.rank for span in window.spans} == {0, 1}


def test_live_window_leaves_out_the_step_that_still_grows(record: RunRecord) -> None:
    record.status = "running"
    window = newest_steps(record)
    assert window is not None
    assert max(window.step_starts_s) == 8


def test_nothing_is_shown_before_every_rank_has_a_whole_step(record: RunRecord) -> None:
    record.spans = [span for span in record.spans if span.rank == 0]
    assert newest_steps(record) is None
    picture = TimelinePicture(record)
    assert picture.alt == "Timeline of 2 ranks: no whole step yet"
    assert "waiting for the first whole step" in [
        text.get_text() for text in picture.axes.texts if text.get_visible()
    ]


def test_spans_of_no_step_are_left_out(record: RunRecord) -> None:
    before = newest_steps(record)
    record.spans.append(Span(0, 0, "idle", "evaluation", 5.0, 9.0, -1, 0, -1))
    assert newest_steps(record) == before


def test_each_span_is_a_bar_of_its_kind(record: RunRecord) -> None:
    bars = next(c for c in timeline_figure(record).axes[0].collections if type(c) is PolyCollection)
    window = newest_steps(record)
    assert window is not None
    assert len(bars.get_paths()) == len(window.spans)
    colours = {to_hex(colour) for colour in bars.get_facecolor()}
    used = ("forward", "backward", "optimizer", "comm_dp", "data")
    assert colours == {LIGHT.spans[kind].lower() for kind in used}


def test_communication_runs_below_computing_in_the_rank_s_row(record: RunRecord) -> None:
    bars = next(c for c in timeline_figure(record).axes[0].collections if type(c) is PolyCollection)
    window = newest_steps(record)
    assert window is not None
    middles: dict[str, set[float]] = {"comm_dp": set(), "forward": set()}
    for span, path in zip(window.spans, bars.get_paths(), strict=True):
        if span.rank == 1 and span.kind in middles:
            middles[span.kind].add(round(float(path.vertices[:, 1].mean()), 3))
    assert max(middles["forward"]) < min(middles["comm_dp"])  # the axis points down


def test_legend_has_the_kinds_that_the_plan_can_show(
    record: RunRecord, pipeline: RunRecord
) -> None:
    def labels(shown: RunRecord) -> list[str]:
        return [text.get_text() for text in timeline_figure(shown).axes[0].get_legend().get_texts()]

    common = ["forward", "backward", "optimizer"]
    assert labels(record) == [*common, "⇄ replicas", "data", "idle"]
    assert labels(pipeline) == [*common, "⇄ stages", "data", "idle"]


def test_pipeline_spans_carry_their_microbatch_number(pipeline: RunRecord) -> None:
    picture = TimelinePicture(pipeline)
    numbers = next(c for c in picture.axes.collections if type(c) is PathCollection)
    window = newest_steps(pipeline)
    assert window is not None
    numbered = [span for span in window.spans if span.microbatch >= 0]
    assert len(numbers.get_offsets()) == len(numbered) > 0


def test_rank_is_named_by_its_place_on_the_mesh() -> None:
    assert rank_label(0, Plan().to_dict()) == "rank 0"
    assert rank_label(3, Plan(dp=2, pp=2).to_dict()) == "rank 3\nreplica 1, stage 1"
    assert rank_label(5, Plan(dp=2, pp=2, tp=2).to_dict()) == "rank 5\nreplica 1, stage 0,\nslice 1"
    interleaved = Plan(pp=2, schedule="interleaved1f1b").to_dict()
    assert rank_label(1, interleaved) == "rank 1\nstages 1, 3"
    assert rank_label(0, Plan(dp=2, sync="parameter_server").to_dict()).endswith("0, server")
    assert rank_label(1, Plan(dp=2, split="features").to_dict()) == "rank 1\ncolumns 1"
    branches = Plan(pp=2, placement="branches").to_dict()
    assert [rank_label(rank, branches)[7:] for rank in (0, 1)] == ["trunk", "branch"]


def test_chunks_of_virtual_stages_are_told_apart_by_shade(make_record: MakeRecord) -> None:
    record = make_record(Plan(pp=2, schedule="interleaved1f1b", microbatches=4), 3)
    axes = timeline_figure(record).axes[0]
    bars = next(c for c in axes.collections if type(c) is PolyCollection)
    colours = {to_hex(colour) for colour in bars.get_facecolor()}
    plain = {LIGHT.spans[kind].lower() for kind in ("forward", "backward", "data", "optimizer")}
    assert plain < colours
    assert len(colours) == len(plain) + 2  # the second chunk's forward and backward
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:2] == ["forward by chunk", "backward by chunk"]


def test_gradients_of_weights_are_numbered_and_named(pipeline: RunRecord) -> None:
    pipeline.spans += [
        Span(rank, rank, "weight_grad", "weight_grad", 0.495, 0.04, 3, 0, 4) for rank in (0, 1)
    ]
    axes = timeline_figure(pipeline).axes[0]
    numbers = next(c for c in axes.collections if type(c) is PathCollection)
    window = newest_steps(pipeline)
    assert window is not None
    assert len(numbers.get_offsets()) == sum(span.microbatch >= 0 for span in window.spans)
    assert "weight gradient" in [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("scale", "unit"), [(100.0, "seconds"), (1.0, "milliseconds"), (1e-4, "microseconds")]
)
def test_unit_of_the_axis_follows_its_width(record: RunRecord, scale: float, unit: str) -> None:
    record.spans = [
        s._replace(start_s=scale * s.start_s, duration_s=scale * s.duration_s) for s in record.spans
    ]
    axes = timeline_figure(record).axes[0]
    assert axes.get_xlabel() == f"{unit} since the beginning of the first step shown"
    size = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6}[unit]
    assert float(axes.xaxis.get_major_formatter()(12 * size)) == pytest.approx(12)


def test_emulated_run_says_what_it_is_and_whether_to_trust_it(
    make_record: MakeRecord, emulated: dict[str, Any]
) -> None:
    record = make_record(Plan(pp=2), 5, status="running", **emulated)
    record.emulation = {**record.emulation, "lateness": None, "trustworthy": None}
    picture = TimelinePicture(record)
    said = [text.get_text() for text in picture.figure.texts]
    assert said[0].startswith("emulated demo, time x 35: checks protocol, schedule and overlap")
    assert said[1] == ""
    record.emulation = emulated["emulation"]
    assert picture.update(record)  # once it has ended
    assert [text.get_text() for text in picture.figure.texts][1] == "UNTRUSTWORTHY: 8% late"
    assert picture.alt.endswith("UNTRUSTWORTHY: 8% late")
    assert not picture.update(record)


def test_names_of_ranks_on_three_axes_stay_in_the_picture(make_record: MakeRecord) -> None:
    figure = timeline_figure(make_record(Plan(dp=2, pp=2, tp=2), 3))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert min(box.x0 for box in boxes) > 0
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


def test_axes_have_a_row_a_rank_and_say_measured(pipeline: RunRecord) -> None:
    axes = timeline_figure(pipeline).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["rank 0\nstage 0", "rank 1\nstage 1"]
    assert axes.get_title("right") == KIND_NOTES["measured"]
    assert "milliseconds" in axes.get_xlabel()


def test_background_changes_only_with_the_length_of_the_steps(make_record: MakeRecord) -> None:
    picture = TimelinePicture(make_record(Plan(dp=2), 9, status="running"))
    assert not picture.update(make_record(Plan(dp=2), 10, status="running"))
    assert picture.update(make_record(Plan(dp=2), 3, status="running"))  # one step, not three
