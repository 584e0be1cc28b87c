"""Where each rank's time goes: the newest steps, one row a rank, like an oscilloscope.

The picture starts at the beginning of a step and holds whole steps, so it stands still while a
run is live and two pictures can be compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from labkit.figures.picture import Picture
from labkit.figures.style import (
    DPI,
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
from labkit.runs.record import COMM_KINDS, RunRecord, Span

MAX_STEPS_SHOWN = 3
MAX_SPANS_A_RANK = 80  # more than this in the picture and none can be told apart
NUMBER_PT = 7.5
DIGIT_WIDTH_PX = 7.0  # a span needs this much room for each digit of its microbatch number

COMPUTE_LANE = (-0.40, 0.12)  # top and bottom, in rows; communication runs below it
COMM_LANE = (0.15, 0.40)


class Window(NamedTuple):
    """The whole steps shown, and the spans in them."""

    start_s: float
    end_s: float
    spans: list[Span]
    step_starts_s: dict[int, float]


class TimelinePicture(Picture[RunRecord]):
    """Spans of every rank over the newest whole steps.

    Each row has two lanes, computing above and communication below, so that what overlaps is
    seen to overlap.
    """

    def __init__(self, record: RunRecord, theme: Theme = LIGHT) -> None:
        rows = record.world_size
        super().__init__(height_in=1.45 + 0.52 * max(rows, 2), theme=theme)
        self._width_ms = 0.0
        self.axes = place_axes(self.figure, left=1.55, right=0.25, bottom=0.55, top=0.72)
        style_axes(self.axes, theme, grid="x")
        label_axes(self.axes, theme, x="milliseconds since the beginning of the first step shown")
        self.axes.set_ylim(rows - 0.45, -0.95)
        self.axes.set_yticks(range(rows), [rank_label(r, record.plan) for r in range(rows)])
        self.axes.tick_params(axis="y", length=0, labelsize=SMALL_PT)
        add_title(self.axes, theme, "Where each rank's time goes", record.kind, pad=30)
        self._legend(record)
        self._bars = PolyCollection([], linewidths=0.5, edgecolors=theme.background)
        self._cuts = LineCollection([], colors=theme.muted, linewidths=1.0, linestyles="dotted")
        self.axes.add_collection(self._bars, autolim=False)
        self.axes.add_collection(self._cuts, autolim=False)
        self._steps = [
            self.axes.text(0, -0.55, "", fontsize=TICK_PT, color=theme.muted, clip_on=True)
            for _ in range(MAX_STEPS_SHOWN)
        ]
        self._empty = self.axes.text(
            0.5, 0.5, "waiting for the first whole step", transform=self.axes.transAxes,
            ha="center", va="center", color=theme.muted, fontsize=TICK_PT,
        )  # fmt: skip
        self._glyphs: dict[str, Path] = {}
        self._numbers = PathCollection([], linewidths=0)
        self._numbers.set_transform(self.figure.dpi_scale_trans)
        self._numbers.set_offset_transform(self.axes.transData)
        self.axes.add_collection(self._numbers, autolim=False)
        self.keep_moving(self._bars, self._cuts, *self._steps, self._empty, self._numbers)
        self.update(record)

    def _legend(self, record: RunRecord) -> None:
        kinds = ["forward", "backward", "optimizer"]
        kinds += [f"comm_{axis}" for axis in ("dp", "tp", "pp") if record.plan.get(axis, 1) > 1]
        kinds += ["data", "idle"]
        spans = self.theme.spans
        kinds += [k for k in spans if k not in kinds and any(s.kind == k for s in record.spans)]
        self.axes.legend(
            handles=[Patch(color=spans[kind], label=kind) for kind in kinds],
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.35, borderpad=0, ncols=9,
            frameon=False, fontsize=TICK_PT, labelcolor=self.theme.foreground,
            handlelength=1.0, handleheight=0.9, columnspacing=1.3, handletextpad=0.4,
        )  # fmt: skip

    def update(self, shown: RunRecord) -> bool:
        """Show the newest whole steps; the axis changes only when their length does."""
        window = newest_steps(shown)
        self._empty.set_visible(window is None)
        if window is None:
            self.alt = f"Timeline of {shown.world_size} ranks: no whole step yet"
            self._width_ms = self._width_ms or 1.0
            return False
        live = shown.status in ("starting", "running")
        resized = self._fit(1e3 * (window.end_s - window.start_s), slack=1.7 if live else 1.0)
        self._draw_bars(window)
        self._draw_steps(window)
        self._draw_numbers(window, shown)
        first, last = min(window.step_starts_s), max(window.step_starts_s)
        self.alt = (
            f"Timeline of {shown.world_size} ranks, steps {first + 1} to {last + 1}, "
            f"{1e3 * (window.end_s - window.start_s):.0f} ms"
        )
        return resized

    def _fit(self, width_ms: float, slack: float) -> bool:
        """Grow at once, shrink only when more than ``slack`` times too wide: less flicker."""
        wanted = nice_ceiling(width_ms)
        if wanted <= self._width_ms <= slack * wanted:
            return False
        self._width_ms = wanted
        self.axes.set_xlim(0, wanted)
        return True

    def _draw_bars(self, window: Window) -> None:
        corners, colours = [], []
        for span in window.spans:
            left, right = _edges_ms(span, window)
            lane = COMM_LANE if span.kind in COMM_KINDS else COMPUTE_LANE
            top, bottom = span.rank + lane[0], span.rank + lane[1]
            corners.append([(left, top), (right, top), (right, bottom), (left, bottom)])
            colours.append(self.theme.spans[span.kind])
        self._bars.set_verts(corners)
        self._bars.set_facecolor(colours)

    def _draw_steps(self, window: Window) -> None:
        bottom = self.axes.get_ylim()[0]
        cuts = []
        starts = [
            (step, 1e3 * (at_s - window.start_s)) for step, at_s in window.step_starts_s.items()
        ]
        for label, (step, at_ms) in zip(self._steps, starts, strict=False):
            label.set_position((at_ms + 0.004 * self._width_ms, -0.52))
            label.set_text(f"step {step + 1}")
            cuts.append([(at_ms, bottom), (at_ms, -0.85)])
        for label in self._steps[len(starts) :]:
            label.set_text("")
        end_ms = 1e3 * (window.end_s - window.start_s)
        self._cuts.set_segments([*cuts, [(end_ms, bottom), (end_ms, -0.85)]])

    def _draw_numbers(self, window: Window, shown: RunRecord) -> None:
        """Microbatch numbers on the spans of a pipeline that have room for them."""
        places: list[tuple[float, float]] = []
        glyphs: list[Path] = []
        colours: list[str] = []
        if shown.plan.get("pp", 1) > 1:
            px_per_ms = self.axes.get_window_extent().width / self.figure.dpi * DPI / self._width_ms
            for span in window.spans:
                if span.kind not in ("forward", "backward") or span.microbatch < 0:
                    continue
                left, right = _edges_ms(span, window)
                number = str(span.microbatch)
                if (right - left) * px_per_ms >= DIGIT_WIDTH_PX * len(number):
                    places.append(((left + right) / 2, span.rank + sum(COMPUTE_LANE) / 2))
                    glyphs.append(self._glyph(number))
                    colours.append("white" if span.kind == "forward" else "black")
        self._numbers.set_paths(glyphs)
        self._numbers.set_offsets(np.array(places).reshape(-1, 2))
        self._numbers.set_facecolor(colours)

    def _glyph(self, number: str) -> Path:
        """The outline of a number, centred, in inches: a hundred of them cost 1 ms to draw."""
        if number not in self._glyphs:
            outline = TextPath((0, 0), number, size=NUMBER_PT)
            box = outline.get_extents()
            middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
            centred = Affine2D().translate(-middle[0], -middle[1]).scale(1 / 72)
            self._glyphs[number] = outline.transformed(centred)
        return self._glyphs[number]


def newest_steps(record: RunRecord) -> Window | None:
    """The newest whole steps that every rank has spans of, at most ``MAX_STEPS_SHOWN``.

    Returns:
        The window, or ``None`` before the first whole step.
    """
    by_rank: dict[int, dict[int, list[Span]]] = {}
    for span in record.spans:
        if span.step >= 0:
            by_rank.setdefault(span.rank, {}).setdefault(span.step, []).append(span)
    if len(by_rank) < record.world_size:
        return None
    first = max(min(steps) for steps in by_rank.values())
    last = min(max(steps) for steps in by_rank.values())
    if record.status in ("starting", "running"):
        last -= 1  # the newest step may still be growing
        first += 1  # the oldest may have lost its beginning
    if last < first:
        return None
    busiest = max(len(steps.get(last, ())) for steps in by_rank.values())
    count = max(1, min(MAX_STEPS_SHOWN, MAX_SPANS_A_RANK // max(busiest, 1), last - first + 1))
    starts: dict[int, float] = {}
    spans: list[Span] = []
    for step in range(last - count + 1, last + 1):
        found = [span for steps in by_rank.values() for span in steps.get(step, ())]
        if found:
            starts[step] = min(span.start_s for span in found)
            spans += found
    if not spans:
        return None
    end_s = max(span.start_s + span.duration_s for span in spans)
    return Window(min(starts.values()), end_s, spans, starts)


def rank_label(rank: int, plan: dict[str, Any]) -> str:
    """The rank and its place on the mesh, row-major ``(dp, pp, tp)``; axes of degree 1 unsaid."""
    dp, pp, tp = (int(plan.get(axis, 1)) for axis in ("dp", "pp", "tp"))
    places = []
    if dp > 1:
        places.append(f"replica {rank // (pp * tp)}")
    if pp > 1:
        places.append(f"stage {rank // tp % pp}")
    if tp > 1:
        places.append(f"slice {rank % tp}")
    return "\n".join([f"rank {rank}", ", ".join(places)] if places else [f"rank {rank}"])


def _edges_ms(span: Span, window: Window) -> tuple[float, float]:
    left = 1e3 * (span.start_s - window.start_s)
    return left, left + 1e3 * span.duration_s


def timeline_figure(record: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Spans of every rank over the newest whole steps, coloured by kind.

    Args:
        record: a live or finished run.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the ranks.
    """
    return TimelinePicture(record, theme).figure
