"""Speedup over device counts, one line a strategy, beside the ideal line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullLocator

from labkit.figures.picture import Picture
from labkit.figures.style import (
    LIGHT,
    STRATEGY_MARKERS,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    place_axes,
    style_axes,
)
from labkit.plan import STRATEGIES
from labkit.runs.curve import Curve, CurvePoint

DODGE = 0.035  # shift between strategies, as a fraction of the axis, so that bars do not cover
LABEL_ROUNDS = 20  # enough for four labels to come apart


@dataclass(slots=True)
class _Artists:
    """What one strategy is drawn with."""

    line: Line2D
    bars: LineCollection
    label: Text


class SpeedupPicture(Picture[Curve]):
    """Points of a sweep as they come, with the least and the greatest repeat as bars."""

    def __init__(self, curve: Curve, device_counts: Sequence[int], theme: Theme = LIGHT) -> None:
        super().__init__(height_in=4.2, theme=theme)
        self.counts = sorted({1, *device_counts})
        most = self.counts[-1]
        self._top = most * 1.08
        self.axes = place_axes(self.figure, left=0.72, right=1.55, bottom=0.55, top=0.42)
        style_axes(self.axes, theme, grid="both")
        label_axes(self.axes, theme, x="devices", y="speedup = throughput(N) / throughput(1)")
        margin = 0.06 * max(most - 1, 1)
        self.axes.set_xlim(1 - margin, most + 1.6 * margin)
        self.axes.set_ylim(0, self._top)
        self.axes.xaxis.set_major_locator(FixedLocator(self.counts))
        self.axes.xaxis.set_minor_locator(NullLocator())
        title = f"Speedup of {curve.workload!r}, {curve.scaling} scaling"
        add_title(self.axes, theme, title, curve.kind)
        self._draw_ideal(most)
        self._draw_cores(curve, most)
        self._artists: dict[str, _Artists] = {}
        self.update(curve)

    def _draw_ideal(self, most: int) -> None:
        self.axes.plot(
            [1, most], [1, most], color=self.theme.muted, lw=1.2, ls=(0, (5, 3)), zorder=1
        )
        self.axes.annotate(
            "ideal", (most, most), xytext=(10, 0), textcoords="offset points", va="center",
            color=self.theme.muted, fontsize=TICK_PT, annotation_clip=False,
        )  # fmt: skip

    def _draw_cores(self, curve: Curve, most: int) -> None:
        """Say where the machine ends: ranks that share cores cannot be faster than the cores."""
        cores = curve.num_cores
        if cores is None or cores >= most or curve.kind != "measured":
            return
        self.axes.axhspan(cores, 2 * self._top, color=self.theme.muted, alpha=0.12, lw=0)
        self.axes.axhline(cores, color=self.theme.muted, lw=1.0, ls="dotted")
        noun = "core" if cores == 1 else "cores"
        self.axes.text(
            0.985, cores + 0.02 * self._top,
            f"{cores} {noun}: speedup above {cores} cannot be measured here",
            transform=self.axes.get_yaxis_transform(), ha="right", va="bottom",
            color=self.theme.muted, fontsize=TICK_PT,
        )  # fmt: skip

    def update(self, shown: Curve) -> bool:
        """Show the points there are; the axis grows when a point lies above it."""
        grown = self._grow(shown)
        ends: list[tuple[float, str]] = []
        for strategy in shown.strategies:
            points = shown.of(strategy)
            if strategy not in self._artists:
                self._artists[strategy] = self._new_artists(strategy)
            self._place(self._artists[strategy], strategy, points)
            if points[-1].devices > 1:
                ends.append((points[-1].speedup, strategy))
        self._place_labels(ends)
        self.alt = _alt(shown)
        return grown

    def _grow(self, shown: Curve) -> bool:
        highest = max((point.speedup_high for point in shown.points), default=0.0)
        if highest <= self._top:
            return False
        self._top = 1.08 * highest
        self.axes.set_ylim(0, self._top)
        return True

    def _new_artists(self, strategy: str) -> _Artists:
        colour = self.theme.strategies[strategy]
        (line,) = self.axes.plot(
            [], [], color=colour, marker=STRATEGY_MARKERS[strategy], ms=8, lw=2.0,
            mec=self.theme.background, mew=0.8, zorder=4,
        )  # fmt: skip
        bars = LineCollection([], colors=colour, linewidths=2.0, capstyle="round", zorder=3)
        self.axes.add_collection(bars, autolim=False)
        label = self.axes.text(
            1.015, 0, "", transform=self.axes.get_yaxis_transform(), va="center",
            color=colour, fontsize=TICK_PT, fontweight="bold",
        )  # fmt: skip
        self.keep_moving(bars, line, label)
        return _Artists(line, bars, label)

    def _place(self, artists: _Artists, strategy: str, points: list[CurvePoint]) -> None:
        order = STRATEGIES.index(strategy) if strategy in STRATEGIES else 0
        width = self.counts[-1] - 1 or 1
        shift = DODGE * width * (order - (len(STRATEGIES) - 1) / 2) / 2
        xs = [point.devices + (shift if point.devices > 1 else 0.0) for point in points]
        artists.line.set_data(xs, [point.speedup for point in points])
        artists.bars.set_segments(
            [
                [(x, point.speedup_low), (x, point.speedup_high)]
                for x, point in zip(xs, points, strict=True)
            ]
        )
        last = points[-1]
        artists.label.set_text(f"{strategy} {last.speedup:.2f}" if last.devices > 1 else "")

    def _place_labels(self, ends: list[tuple[float, str]]) -> None:
        """Labels at the lines' ends, pushed apart evenly where the lines meet."""
        gap = 0.062 * self._top
        ends = sorted(ends)
        heights = [speedup for speedup, _ in ends]
        for _ in range(LABEL_ROUNDS):
            for lower in range(len(heights) - 1):
                overlap = gap - (heights[lower + 1] - heights[lower])
                if overlap > 0:
                    heights[lower] -= overlap / 2
                    heights[lower + 1] += overlap / 2
        for height, (_, strategy) in zip(heights, ends, strict=True):
            self._artists[strategy].label.set_y(height)


def _alt(shown: Curve) -> str:
    if not shown.points:
        return f"Speedup of {shown.workload}: no point yet"
    said = ", ".join(
        f"{p.strategy} {p.speedup:.2f} on {p.devices}"
        for strategy in shown.strategies
        for p in shown.of(strategy)
    )
    return (
        f"Speedup of {shown.workload}, {len(shown.points)} of {shown.planned_points} points: {said}"
    )


def speedup_figure(curve: Curve, theme: Theme = LIGHT) -> Figure:
    """Speedup against device count: median repeat, least to greatest as bars, and the ideal.

    Where ranks share processor cores, the region that cannot be measured is shaded.

    Args:
        curve: a growing or finished sweep.
        theme: light or dark.
    Returns:
        A figure of 900 x 420 px at 100 dpi.
    """
    return SpeedupPicture(curve, [point.devices for point in curve.points], theme).figure
