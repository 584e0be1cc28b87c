"""Where each rank's time goes: the newest steps, one row a rank, like an oscilloscope.

The picture starts at the beginning of a step and holds whole steps, so it stands still while a
run is live and two pictures can be compared.
"""

from __future__ import annotations

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from labkit.figures.axis_units import Unit, said_time, show_in, time_unit
from labkit.figures.picture import Picture
from labkit.figures.rank_place import rank_label
from labkit.figures.remark import remark_on
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
    nice_ceiling,
    place_axes,
    style_axes,
)
from labkit.figures.windows import MAX_STEPS_SHOWN, Window, kinds_shown, newest_steps
from labkit.runs.record import COMM_KINDS, RunRecord, Span

COMPUTE_LANE = (-0.40, 0.12)  # top and bottom, in rows; communication runs below it
COMM_LANE = (0.15, 0.40)


class TimelinePicture(Picture[RunRecord]):
    """Spans of every rank over the newest whole steps.

    Each row has two lanes, computing above and communication below, so that what overlaps is
    seen to overlap.
    """

    def __init__(self, record: RunRecord, theme: Theme = LIGHT) -> None:
        rows = record.world_size
        remark = remark_on([record])
        super().__init__(height_in=1.45 + 0.52 * max(rows, 2), remark=remark, theme=theme)
        self._width_s = 0.0
        self._unit: Unit | None = None
        self.axes = place_axes(
            self.figure, left=1.55, right=0.25, bottom=0.55 + self.foot_in, top=0.72
        )
        style_axes(self.axes, theme, grid="x")
        self._count_in(time_unit(1e-3))
        self.axes.set_ylim(rows - 0.45, -0.95)
        self.axes.set_yticks(range(rows), [rank_label(r, record.plan) for r in range(rows)])
        self.axes.tick_params(axis="y", length=0, labelsize=SMALL_PT)
        add_title(self.axes, theme, "Where each rank's time goes", remark.kind_note, pad=30)
        self._colours = SpanColours(theme, record.plan)
        self._kinds: list[str] = []
        self._bars = bar_collection(self.axes, theme)
        self._cuts = LineCollection([], colors=theme.muted, linewidths=1.0, linestyles="dotted")
        self.axes.add_collection(self._cuts, autolim=False)
        self._steps = [
            self.axes.text(0, -0.55, "", fontsize=TICK_PT, color=theme.muted, clip_on=True)
            for _ in range(MAX_STEPS_SHOWN)
        ]
        self._empty = self.axes.text(
            0.5, 0.5, "waiting for the first whole step", transform=self.axes.transAxes,
            ha="center", va="center", color=theme.muted, fontsize=TICK_PT,
        )  # fmt: skip
        self._numbers = Numbers(self.axes)
        self.keep_moving(self._bars, self._cuts, *self._steps, self._empty, self._numbers.artist)
        self.update(record)

    def update(self, shown: RunRecord) -> bool:
        """Show the newest whole steps; the axis changes only when their length does."""
        changed = self.say(remark_on([shown])) | self._list_kinds(shown)
        window = newest_steps(shown)
        self._empty.set_visible(window is None)
        if window is None:
            self.alt = f"Timeline of {shown.world_size} ranks: no whole step yet"
            self._width_s = self._width_s or 1e-3
            return changed
        live = shown.status in ("starting", "running")
        resized = self._fit(window.length_s, slack=1.7 if live else 1.0)
        self._draw_bars(window)
        self._draw_steps(window)
        self._draw_numbers(window, shown)
        first, last = min(window.step_starts_s), max(window.step_starts_s)
        self.alt = (
            f"Timeline of {shown.world_size} ranks, steps {first + 1} to {last + 1}, "
            f"{said_time(window.length_s)}{remark_on([shown]).spoken}"
        )
        return changed | resized

    def _list_kinds(self, shown: RunRecord) -> bool:
        """Name a kind of span as soon as there is one."""
        kinds = kinds_shown(shown.plan, self.theme, shown.spans)
        if kinds == self._kinds:
            return False
        self._kinds = kinds
        self._colours.add_legend(self.axes, kinds)
        return True

    def _fit(self, width_s: float, slack: float) -> bool:
        """Grow at once, shrink only when more than ``slack`` times too wide: less flicker."""
        wanted = nice_ceiling(width_s)
        if wanted <= self._width_s <= slack * wanted:
            return False
        self._width_s = wanted
        self.axes.set_xlim(0, wanted)
        self._count_in(time_unit(wanted))
        return True

    def _count_in(self, unit: Unit) -> None:
        if unit != self._unit:
            self._unit = unit
            show_in(self.axes.xaxis, unit)
            label_axes(
                self.axes, self.theme, x=f"{unit.name} since the beginning of the first step shown"
            )

    def _draw_bars(self, window: Window) -> None:
        corners = []
        for span in window.spans:
            top, bottom = COMM_LANE if span.kind in COMM_KINDS else COMPUTE_LANE
            corners.append(rectangle(*_edges_s(span, window), span.rank + top, span.rank + bottom))
        self._bars.set_verts(corners)
        self._bars.set_facecolor([self._colours.of(span) for span in window.spans])

    def _draw_steps(self, window: Window) -> None:
        bottom = self.axes.get_ylim()[0]
        cuts = []
        starts = [(step, at_s - window.start_s) for step, at_s in window.step_starts_s.items()]
        for label, (step, at_s) in zip(self._steps, starts, strict=False):
            label.set_position((at_s + 0.004 * self._width_s, -0.52))
            label.set_text(f"step {step + 1}")
            cuts.append([(at_s, bottom), (at_s, -0.85)])
        for label in self._steps[len(starts) :]:
            label.set_text("")
        self._cuts.set_segments([*cuts, [(window.length_s, bottom), (window.length_s, -0.85)]])

    def _draw_numbers(self, window: Window, shown: RunRecord) -> None:
        """Microbatch numbers on the spans of a pipeline that have room for them."""
        numbered = (
            [span for span in window.spans if span.kind in NUMBERED_KINDS]
            if shown.plan.get("pp", 1) > 1
            else []
        )
        height = sum(COMPUTE_LANE) / 2
        self._numbers.show(
            [
                (*_edges_s(s, window), s.rank + height, s.microbatch, self._colours.of(s))
                for s in numbered
            ],
            self._width_s,
        )


def _edges_s(span: Span, window: Window) -> tuple[float, float]:
    left_s = span.start_s - window.start_s
    return left_s, left_s + span.duration_s


def timeline_figure(record: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Spans of every rank over the newest whole steps, coloured by kind.

    Args:
        record: a live or finished run.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the ranks.
    """
    return TimelinePicture(record, theme).figure
