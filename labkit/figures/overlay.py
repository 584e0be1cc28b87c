"""One step of a pipeline as it ran, over the same step as it could have been at best."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.axis_units import said_time, show_in, time_unit
from labkit.figures.colours import mix
from labkit.figures.picture import describe
from labkit.figures.rank_place import rank_label
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.run_names import plan_name, workload_names
from labkit.figures.span_bars import (
    NUMBERED_KINDS,
    Numbers,
    SpanColours,
    bar_collection,
    rectangle,
)
from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.runs.record import COMM_KINDS, COMPUTE_KINDS, RunRecord, Span

FEW_RANKS = 8  # that have room for high rows
TINY_PT = 7.5
PALE = 0.5  # share of the paper in the colours of the ideal
RAN_LANE, COMM_LANE, IDEAL_LANE = (-0.46, -0.08), (-0.07, 0.03), (0.08, 0.38)


def overlay_figure(
    measured_spans: Sequence[Span],
    ideal_spans: Sequence[Span],
    record: RunRecord,
    theme: Theme = LIGHT,
) -> Figure:
    """A pipeline's step over its ideal: for each rank a row that ran and a pale one below it.

    Where a rank computes nothing until the step ends, grey shows through: the bubble. Lengths are
    those of the kinds of spans that the ideal has: without the optimiser, if it has none.

    Args:
        measured_spans: of one step of all ranks; times from any origin.
        ideal_spans: of the same step when nothing is late and messages take no time.
        record: of the run.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the ranks.
    Raises:
        ValueError: one of the two has no computing in it.
    """
    ran, ideal = _aligned(measured_spans), _aligned(ideal_spans)
    if not _computed_s(ran) or not _computed_s(ideal):
        raise ValueError("nothing to lay over each other; give the spans of one step and its ideal")
    kinds = {span.kind for span in ideal}
    compared = [span for span in ran if span.kind in kinds]
    if not compared:
        raise ValueError(f"the run has no spans of {', '.join(sorted(kinds))}, which its ideal has")
    ranks = record.world_size
    length_s, ideal_s = _length_s(compared), _length_s(ideal)
    remark = remark_on([record])
    height_in = 1.55 + (0.78 if ranks <= FEW_RANKS else 0.52) * ranks
    figure = new_figure(height_in + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=1.55, right=0.25, bottom=0.55 + remark.height_in, top=0.98)
    style_axes(axes, theme, grid="x")
    title = f"A step over its ideal: {workload_names([record])}"
    add_title(axes, theme, title, remark.kind_note, pad=48)
    _scale(axes, theme, record, 1.01 * max(_length_s(ran), ideal_s))
    _bars(axes, theme, record, ran, ideal, length_s)
    for end_s, style in ((length_s, "solid"), (ideal_s, (0, (4, 2)))):
        axes.axvline(end_s, color=theme.foreground, lw=1.2, ls=style)
    said = (
        f"{record.kind} {_said(compared, ranks)} (solid line); "
        f"ideal {_said(ideal, ranks)} (dashed): {length_s / ideal_s - 1:+.1%}"
    )
    axes.annotate(
        said, (0, 1), xycoords="axes fraction", xytext=(0, 25), textcoords="offset points",
        va="bottom", fontsize=TICK_PT, color=theme.foreground,
    )  # fmt: skip
    describe(figure, f"{title}, {plan_name(record.plan)}: {said}{remark.spoken}")
    return figure


def _scale(axes: Axes, theme: Theme, record: RunRecord, width_s: float) -> None:
    ranks = record.world_size
    unit = time_unit(width_s)
    axes.set_xlim(0, width_s)
    show_in(axes.xaxis, unit)
    label_axes(
        axes, theme, x=f"{unit.name} since the beginning of the step; {plan_name(record.plan)}"
    )
    axes.set_ylim(ranks - 0.55, -0.55)
    axes.set_yticks(range(ranks), [rank_label(rank, record.plan) for rank in range(ranks)])
    axes.tick_params(axis="y", length=0, labelsize=SMALL_PT if ranks <= FEW_RANKS else TINY_PT)


def _bars(
    axes: Axes, theme: Theme, record: RunRecord, ran: list[Span], ideal: list[Span],
    length_s: float,
) -> None:  # fmt: skip
    """Bubbles first, then what ran and, pale, what could have."""
    colours = SpanColours(theme, record.plan)
    corners, shades = [], []
    ends = ((RAN_LANE, length_s, 0.0), (IDEAL_LANE, _length_s(ideal), PALE))
    for lane, end_s, pale in ends:
        for rank in range(record.world_size):
            corners.append(rectangle(0, end_s, rank + lane[0], rank + lane[1]))
            shades.append(mix(theme.spans["idle"], theme.background, pale))
    for spans, lane, pale in ((ran, RAN_LANE, 0.0), (ideal, IDEAL_LANE, PALE)):
        for span in spans:
            top, bottom = COMM_LANE if span.kind in COMM_KINDS else lane
            if span.kind in COMM_KINDS and spans is ideal:
                continue
            left_s, right_s = span.start_s, span.start_s + span.duration_s
            corners.append(rectangle(left_s, right_s, span.rank + top, span.rank + bottom))
            shades.append(mix(colours.of(span), theme.background, pale))
    bars = bar_collection(axes, theme)
    bars.set_verts(corners)
    bars.set_facecolor(shades)
    height = sum(RAN_LANE) / 2
    Numbers(axes).show(
        [
            (s.start_s, s.start_s + s.duration_s, s.rank + height, s.microbatch, colours.of(s))
            for s in ran
            if s.kind in NUMBERED_KINDS
        ],
        axes.get_xlim()[1],
    )
    there = {span.kind for span in [*ran, *ideal]}
    colours.add_legend(
        axes,
        [kind for kind in theme.spans if kind in there],
        further={
            "bubble": theme.spans["idle"],
            "ideal (pale)": mix(theme.spans["forward"], theme.background, PALE),
        },
    )


def _aligned(spans: Sequence[Span]) -> list[Span]:
    """The same spans from time 0 on, without those that are idle anyway."""
    kept = [span for span in spans if span.kind != "idle"]
    start_s = min((span.start_s for span in kept), default=0.0)
    return [span._replace(start_s=span.start_s - start_s) for span in kept]


def _length_s(spans: Sequence[Span]) -> float:
    return max(span.start_s + span.duration_s for span in spans)


def _computed_s(spans: Sequence[Span]) -> float:
    return sum(span.duration_s for span in spans if span.kind in COMPUTE_KINDS)


def _said(spans: Sequence[Span], num_ranks: int) -> str:
    """The length of a step, and how much of the ranks' time in it no computing fills."""
    length_s = _length_s(spans)
    empty = 1 - _computed_s(spans) / (num_ranks * length_s)
    return f"{said_time(length_s)}, {max(empty, 0.0):.0%} not computing"
