"""One step of each of several runs below each other, over one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.axis_units import said_time, show_in, time_unit
from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.run_names import run_names, workload_names
from labkit.figures.span_bars import (
    NUMBERED_KINDS,
    Numbers,
    SpanColours,
    bar_collection,
    rectangle,
)
from labkit.figures.style import (
    LIGHT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.figures.windows import Window, typical_step
from labkit.runs.record import COMM_KINDS, RunRecord

MOST_ROW_IN, LEAST_ROW_IN = 0.34, 0.14  # height of a rank's row
ROWS_IN = 5.0  # height that the rows share as long as they are not too small
HEAD_ROWS_IN = 0.34  # height of a run's name above its ranks
NUMBERED_ROW_IN = 0.22  # lower rows have no room for microbatch numbers
COMPUTE_LANE, COMM_LANE = (0.04, 0.62), (0.66, 0.94)  # fractions of a row, from its top


class _Shown(NamedTuple):
    """One run and where it is drawn: inches from the top of the axes."""

    name: str
    record: RunRecord
    window: Window
    top_in: float


def compare_timelines_figure(records: Sequence[RunRecord], theme: Theme = LIGHT) -> Figure:
    """A typical step of each run, rank by rank, all over the same time axis.

    Args:
        records: live or finished runs, drawn from top to bottom; those without a whole step are
            left out.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the ranks of all runs.
    Raises:
        ValueError: no run has a whole step yet.
    """
    found = [(record, window) for record in records if (window := typical_step(record)) is not None]
    if not found:
        raise ValueError("no run has a whole step yet; wait until one has")
    drawn = [record for record, _ in found]
    num_rows = sum(record.world_size for record in drawn)
    row_in = min(MOST_ROW_IN, max(LEAST_ROW_IN, ROWS_IN / num_rows))
    shown, height_in = [], 0.0
    for name, (record, window) in zip(run_names(drawn), found, strict=True):
        shown.append(_Shown(name, record, window, height_in + HEAD_ROWS_IN))
        height_in += HEAD_ROWS_IN + row_in * record.world_size
    remark = remark_on(drawn)
    figure = new_figure(height_in + 1.35 + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.85, right=0.25, bottom=0.6 + remark.height_in, top=0.75)
    style_axes(axes, theme, grid="x")
    title = f"A step of each run: {workload_names(drawn)}"
    add_title(axes, theme, title, remark.kind_note, pad=28)
    width_s = 1.01 * max(one.window.length_s for one in shown)
    unit = time_unit(width_s)
    axes.set_xlim(0, width_s)
    axes.set_ylim(height_in + 0.06, 0)
    show_in(axes.xaxis, unit)
    label_axes(axes, theme, x=f"{unit.name} since the beginning of the step")
    _bars(axes, theme, shown, row_in)
    _names(axes, theme, shown, row_in)
    said = "; ".join(f"{one.name}: {_said(one.record)}" for one in shown)
    describe(figure, f"{title}. {said}{remark.spoken}")
    return figure


def _bars(axes: Axes, theme: Theme, shown: Sequence[_Shown], row_in: float) -> None:
    corners, shades, numbered = [], [], []
    for one in shown:
        colours = SpanColours(theme, one.record.plan)
        for span in one.window.spans:
            lane = COMM_LANE if span.kind in COMM_KINDS else COMPUTE_LANE
            top, bottom = (one.top_in + row_in * (span.rank + edge) for edge in lane)
            left_s = span.start_s - one.window.start_s
            right_s = left_s + span.duration_s
            corners.append(rectangle(left_s, right_s, top, bottom))
            shades.append(colours.of(span))
            if span.kind in NUMBERED_KINDS and one.record.plan.get("pp", 1) > 1:
                middle = (top + bottom) / 2
                numbered.append((left_s, right_s, middle, span.microbatch, shades[-1]))
    bars = bar_collection(axes, theme)
    bars.set_verts(corners)
    bars.set_facecolor(shades)
    if row_in >= NUMBERED_ROW_IN:
        Numbers(axes).show(numbered, axes.get_xlim()[1])
    there = {span.kind for one in shown for span in one.window.spans}
    most_chunks = max(shown, key=lambda one: one.record.plan.get("virtual_stages") or 1)
    colours = SpanColours(theme, most_chunks.record.plan)
    colours.add_legend(axes, [kind for kind in theme.spans if kind in there])


def _names(axes: Axes, theme: Theme, shown: Sequence[_Shown], row_in: float) -> None:
    """Each run's name above its ranks, a line where its step ends, and the ranks' numbers."""
    ticks, labels = [], []
    for one in shown:
        ranks, end_s = one.record.world_size, one.window.length_s
        axes.text(
            0, one.top_in - 0.06, f"{one.name}: {_said(one.record)}", fontsize=TICK_PT,
            fontweight="bold", color=theme.foreground, va="bottom",
        )  # fmt: skip
        axes.plot(
            [end_s, end_s], [one.top_in, one.top_in + row_in * ranks], color=theme.foreground,
            lw=1.2, ls="dotted",
        )  # fmt: skip
        every = 1 if row_in >= 0.18 else 4
        for rank in range(0, ranks, every):
            ticks.append(one.top_in + row_in * (rank + 0.5))
            labels.append(f"rank {rank}")
    axes.set_yticks(ticks, labels)
    axes.tick_params(axis="y", length=0, labelsize=8.5)


def _said(record: RunRecord) -> str:
    return f"{said_time(record.step_time_s)} a step"
