"""Time to quality: what each global batch took to reach a loss, and where larger ones stop helping.

Source: Shallue et al. 2018, arXiv:1811.03600; McCandlish et al. 2018, arXiv:1812.06162.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from labkit.figures.axis_units import said_time
from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on_kinds
from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    TICK_PT,
    WIDTH_IN,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)

PANEL_IN = 3.5  # width of one of the two pictures
MANY, TINY_PT = 8, 8.0  # batches whose numbers need smaller type
MARGIN = 1.6  # factor that the axes reach beyond the points


class QualityPoint(Protocol):
    """What one global batch took; ``labkit.runs.quality.BatchPoint`` is one."""

    @property
    def global_batch(self) -> int:
        """Samples of a step."""

    @property
    def steps(self) -> int:
        """Optimiser steps until the target, or until the run was given up."""

    @property
    def samples(self) -> int:
        """Samples of these steps."""

    @property
    def seconds(self) -> float:
        """Seconds of these steps."""

    @property
    def reached(self) -> bool:
        """Whether the target was reached."""

    @property
    def kind(self) -> str:
        """Whose seconds: measured or emulated."""


def quality_figure(
    points: Sequence[QualityPoint],
    *,
    target: float | None = None,
    workload: str = "",
    emulation: Mapping[str, Any] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Steps and samples to a loss against the global batch, both axes logarithmic.

    The dashed line is perfect scaling from the smallest batch: twice the batch, half the steps,
    the same samples. Where the points leave it, more devices stop helping.

    Args:
        points: one a global batch, in any order.
        target: the loss they were to reach.
        workload: name, for the title.
        emulation: the ``emulation`` entry of an emulated run among them.
        theme: light or dark.
    Returns:
        A figure of 900 x 360 px at 100 dpi.
    Raises:
        ValueError: no point.
    """
    if not points:
        raise ValueError("no global batch has been tried yet; wait for the first")
    points = sorted(points, key=lambda point: point.global_batch)
    kinds = list(dict.fromkeys(point.kind for point in points))
    remark = remark_on_kinds(kinds, [emulation] if emulation else [])
    figure = new_figure(3.6 + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    bottom = 0.55 + remark.height_in
    for left, values, name in (
        (0.8, [point.steps for point in points], "steps"),
        (8.75 - PANEL_IN, [point.samples for point in points], "samples"),
    ):
        axes = place_axes(
            figure, left=left, right=WIDTH_IN - left - PANEL_IN, bottom=bottom, top=0.72
        )
        style_axes(axes, theme, grid="both")
        _scale(axes, points, values)
        _draw(axes, theme, points, values, falls=name == "steps")
        label_axes(axes, theme, x="global batch, samples", y=f"{name} to the target")
    goal = "a loss" if target is None else f"loss {target:g}"
    title = f"What it takes to reach {goal}" + (f": {workload}" if workload else "")
    figure.axes[0].legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.35, borderpad=0, ncols=3,
        frameon=False, fontsize=TICK_PT, labelcolor=theme.foreground,
        handlelength=1.8, columnspacing=1.6, handletextpad=0.5,
    )  # fmt: skip
    add_title(figure.axes[0], theme, title, "", pad=26)
    add_title(figure.axes[1], theme, "", remark.kind_note, pad=26)
    describe(figure, _alt(title, points) + remark.spoken)
    return figure


def _scale(axes: Axes, points: Sequence[QualityPoint], values: Sequence[int]) -> None:
    batches = [point.global_batch for point in points]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(min(batches) / MARGIN, max(batches) * MARGIN)
    axes.set_ylim(max(min(values), 1) / MARGIN**1.5, max(*values, 1) * MARGIN**1.5)
    axes.xaxis.set_major_locator(FixedLocator(batches))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.tick_params(axis="x", labelsize=SMALL_PT if len(batches) < MANY else TINY_PT)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def _draw(
    axes: Axes, theme: Theme, points: Sequence[QualityPoint], values: Sequence[int], *, falls: bool
) -> None:
    colour = theme.strategies["data"]
    pairs = list(zip(points, values, strict=True))
    done = [(p.global_batch, value) for p, value in pairs if p.reached]
    given_up = [(p.global_batch, value) for p, value in pairs if not p.reached]
    if done:
        first, value = done[0]
        ends = [points[0].global_batch / MARGIN, points[-1].global_batch * MARGIN]
        perfect = [value * first / end if falls else value for end in ends]
        axes.plot(ends, perfect, color=theme.muted, lw=1.2, ls=(0, (5, 3)), label="perfect scaling")
        axes.plot(
            *zip(*done, strict=True), color=colour, marker="o", ms=8, lw=2.0,
            mec=theme.background, mew=0.8, label="to the target",
        )  # fmt: skip
    if given_up:
        axes.plot(
            *zip(*given_up, strict=True), ls="none", marker="^", ms=9, mfc="none", mec=colour,
            mew=1.6, label="not reached: more than this",
        )  # fmt: skip
    for batch, value in done:
        axes.annotate(
            _short(value), (batch, value), xytext=(5, 5) if falls else (0, 8),
            textcoords="offset points", ha="left" if falls else "center", fontsize=SMALL_PT,
            color=theme.foreground,
        )  # fmt: skip


def _short(value: float) -> str:
    """Three digits: ``950``, ``1.01k``, ``129k``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _alt(title: str, points: Sequence[QualityPoint]) -> str:
    said = [
        f"batch {p.global_batch:,}: {'' if p.reached else 'not reached after '}{p.steps:,} steps, "
        f"{p.samples:,} samples, {said_time(p.seconds)}"
        for p in points
    ]
    return f"{title}. {'; '.join(said)}"
