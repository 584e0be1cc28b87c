"""Speedup or efficiency over device counts, one line a strategy, beside the ideal line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from labkit.figures.device_axis import draw_cores, draw_linear_speedup, set_device_axis
from labkit.figures.end_labels import label_height
from labkit.figures.line_styles import LineStyles
from labkit.figures.picture import Picture
from labkit.figures.remark import is_late, remark_on_curves
from labkit.figures.run_names import strategy_lines
from labkit.figures.spread import spread_apart
from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    place_axes,
    style_axes,
)
from labkit.figures.wrap import wrapped
from labkit.runs.curve import Curve, CurvePoint

DODGE = 0.02  # shift between strategies, as a fraction of the axis, so that bars do not cover
NUM_SHIFTS = 4
VARIANT_PT = 8.5
NAME_WIDTH = 20  # characters of a name on one line

Quantity = Literal["speedup", "efficiency"]


@dataclass(slots=True)
class _Artists:
    """What one strategy is drawn with."""

    ideal: Line2D
    line: Line2D
    bars: LineCollection
    label: Text
    shift: float


class SpeedupPicture(Picture[Curve]):
    """Points of a sweep as they come, with the least and the greatest repeat as bars.

    Where a device is declared, a thin line with hollow markers shows what each plan could reach on
    it. Emulated points whose ranks were too late are crossed.
    """

    def __init__(
        self,
        curve: Curve,
        device_counts: Sequence[int],
        theme: Theme = LIGHT,
        quantity: Quantity = "speedup",
    ) -> None:
        remark = remark_on_curves([curve])
        super().__init__(height_in=4.2, remark=remark, theme=theme)
        self.counts = sorted({1, *device_counts})
        self._quantity = quantity
        most = self.counts[-1]
        self._top = 1.08 * most if quantity == "speedup" else 1.15
        self.axes = place_axes(
            self.figure, left=0.8, right=1.95, bottom=0.55 + self.foot_in, top=0.42
        )
        style_axes(self.axes, theme, grid="both")
        means = "throughput(N) / throughput(1)" if quantity == "speedup" else "speedup / devices"
        label_axes(self.axes, theme, x="devices", y=f"{quantity} = {means}")
        set_device_axis(self.axes, self.counts)
        self.axes.set_ylim(0, self._top)
        title = f"{quantity.capitalize()} of {curve.workload!r}, {curve.scaling} scaling"
        add_title(self.axes, theme, title, remark.kind_note)
        draw_linear_speedup(self.axes, theme, most, per_device=quantity == "efficiency")
        if curve.kind == "measured":
            draw_cores(self.axes, theme, curve.num_cores, most, per_device=quantity == "efficiency")
        self._styles = LineStyles(theme)
        self._artists: dict[str, _Artists] = {}
        self._signs = (False, False)
        (self._late,) = self.axes.plot(
            [], [], ls="none", marker="x", ms=13, mew=2.2, color=theme.foreground, zorder=6
        )
        self.keep_moving(self._late)
        self.update(curve)

    def update(self, shown: Curve) -> bool:
        """Show the points there are; the axis grows when a point lies above it."""
        changed = self._grow(shown)
        ends: list[tuple[str, float, str]] = []
        late: list[tuple[float, float]] = []
        for strategy in shown.strategies:
            points = shown.of(strategy)
            if strategy not in self._artists:
                self._artists[strategy] = self._new_artists(strategy)
            xs = self._place(self._artists[strategy], points)
            late += [
                (x, self._of(p.speedup, p))
                for x, p in zip(xs, points, strict=True)
                if is_late(p.lateness)
            ]
            if points[-1].devices > 1:
                value = self._of(points[-1].speedup, points[-1])
                ends.append((strategy, value, self._said(points[-1])))
        self._late.set_data([x for x, _ in late], [y for _, y in late])
        self._place_labels(ends)
        remark = remark_on_curves([shown])
        self.alt = _alt(shown, self._quantity) + remark.spoken
        has_ideal = any(point.ideal_speedup is not None for point in shown.points)
        return changed | self.say(remark) | self._explain(has_ideal, bool(late), shown.repeats > 1)

    def _of(self, speedup: float, point: CurvePoint) -> float:
        return speedup if self._quantity == "speedup" else speedup / point.devices

    def _said(self, point: CurvePoint) -> str:
        return f"{point.speedup:.2f}" if self._quantity == "speedup" else f"{point.efficiency:.0%}"

    def _grow(self, shown: Curve) -> bool:
        values = [self._of(p.speedup_high, p) for p in shown.points]
        values += [self._of(p.ideal_speedup, p) for p in shown.points if p.ideal_speedup]
        highest = max(values, default=0.0)
        if highest <= self._top:
            return False
        self._top = 1.08 * highest
        self.axes.set_ylim(0, self._top)
        return True

    def _new_artists(self, strategy: str) -> _Artists:
        style = self._styles.of(strategy)
        (ideal,) = self.axes.plot(
            [], [], color=style.colour, marker=style.marker, ms=8, mfc="none", mew=1.0, lw=0.9,
            ls=style.dashes, zorder=3,
        )  # fmt: skip
        (line,) = self.axes.plot(
            [], [], color=style.colour, marker=style.marker, ms=8, lw=2.0, ls=style.dashes,
            mec=self.theme.background, mew=0.8, zorder=5,
        )  # fmt: skip
        bars = LineCollection([], colors=style.colour, linewidths=2.0, capstyle="round", zorder=4)
        self.axes.add_collection(bars, autolim=False)
        label = self.axes.text(
            1.015, 0, "", transform=self.axes.transAxes, va="center", linespacing=1.1,
            color=style.colour, fontsize=TICK_PT, fontweight="bold",
        )  # fmt: skip
        self.keep_moving(ideal, bars, line, label)
        self.moving.sort(key=lambda artist: artist.get_zorder())  # as a saved picture draws them
        step = len(self._artists) % NUM_SHIFTS - (NUM_SHIFTS - 1) / 2
        return _Artists(ideal, line, bars, label, DODGE * step)

    def _place(self, artists: _Artists, points: list[CurvePoint]) -> list[float]:
        """Move a strategy's artists to its points; their places along the axis."""
        shift = artists.shift * (self.counts[-1] - 1 or 1)
        xs = [point.devices + (shift if point.devices > 1 else 0.0) for point in points]
        artists.line.set_data(xs, [self._of(p.speedup, p) for p in points])
        artists.bars.set_segments(
            [
                np.array([(x, self._of(p.speedup_low, p)), (x, self._of(p.speedup_high, p))])
                for x, p in zip(xs, points, strict=True)
            ]
        )
        ideals = [
            (x, self._of(p.ideal_speedup, p))
            for x, p in zip(xs, points, strict=True)
            if p.ideal_speedup is not None
        ]
        artists.ideal.set_data([x for x, _ in ideals], [y for _, y in ideals])
        return xs

    def _place_labels(self, ends: list[tuple[str, float, str]]) -> None:
        """Labels at the lines' ends, pushed apart where the lines meet."""
        for strategy, _, said in ends:
            base, variant = strategy_lines(strategy)
            short = len(variant) <= NAME_WIDTH - len(said)
            text = (
                f"{variant or base} {said}" if short else f"{wrapped(variant, NAME_WIDTH)}\n{said}"
            )
            label = self._artists[strategy].label
            label.set_text(text)
            label.set_fontsize(VARIANT_PT if variant else TICK_PT)
        heights = [label_height(self.axes, self._artists[s].label.get_text()) for s, _, _ in ends]
        places = spread_apart([value / self._top for _, value, _ in ends], heights)
        for place, (strategy, _, _) in zip(places, ends, strict=True):
            self._artists[strategy].label.set_y(place)

    def _explain(self, has_ideal: bool, has_late: bool, has_repeats: bool) -> bool:
        """A legend of the signs that need one, as soon as they are there."""
        if (has_ideal, has_late) == self._signs:
            return False
        self._signs = (has_ideal, has_late)
        muted, ink = self.theme.muted, self.theme.foreground
        handles = [Line2D([], [], color=muted, marker="o", ms=7, lw=2.0, label="run")]
        if has_repeats:
            handles[0].set_label("median run; bar: least to greatest")
        if has_ideal:
            hollow = Line2D([], [], color=muted, marker="o", ms=7, mfc="none", mew=1.0, lw=0.9)
            hollow.set_label("ideal of this plan on the declared device")
            handles.append(hollow)
        if has_late:
            cross = Line2D([], [], color=ink, marker="x", ms=10, mew=2.0, ls="none")
            cross.set_label("untrustworthy: more than 5% late")
            handles.append(cross)
        self.axes.legend(
            handles=handles, loc="upper left" if self._quantity == "speedup" else "lower left",
            frameon=False, fontsize=SMALL_PT, labelcolor=ink, borderaxespad=0.6,
        )  # fmt: skip
        return True


def _alt(shown: Curve, quantity: Quantity) -> str:
    name = f"{quantity.capitalize()} of {shown.workload}"
    if not shown.points:
        return f"{name}: no point yet"
    said = []
    for strategy in shown.strategies:
        for point in shown.of(strategy):
            value = f"{point.speedup:.2f}" if quantity == "speedup" else f"{point.efficiency:.0%}"
            late = ", untrustworthy" if is_late(point.lateness) else ""
            said.append(f"{strategy} {value} on {point.devices}{late}")
    return f"{name}, {len(shown.points)} of {shown.planned_points} points: {', '.join(said)}"


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


def efficiency_figure(curve: Curve, theme: Theme = LIGHT) -> Figure:
    """Speedup per device against device count; 1 where nothing is lost.

    Args:
        curve: a growing or finished sweep.
        theme: light or dark.
    Returns:
        A figure of 900 x 420 px at 100 dpi.
    """
    counts = [point.devices for point in curve.points]
    return SpeedupPicture(curve, counts, theme, quantity="efficiency").figure
