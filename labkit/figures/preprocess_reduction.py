"""Step 4, reduction, to look at: what was dropped and why, what the components hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labkit.figures.preprocess_drawing import (
    Bar,
    accent,
    bare,
    box,
    class_legend,
    colours_of,
    draw_bars,
    head,
    headed_figure,
    say_nothing,
)
from labkit.figures.preprocess_words import class_order, details_of, named_unit, picture_of
from labkit.figures.style import LABEL_PT, ORANGE, SMALL_PT, Theme, label_axes
from labkit.figures.wrap import wrapped

HEIGHT_IN, TOP_IN = 5.6, 0.92
LEFT_IN, LEFT_WIDE_IN = 0.62, 4.35
RIGHT_IN, RIGHT_WIDE_IN = 5.75, 3.05
MAX_COMPONENTS = 24
DROPPED_IN, LINE_PT, GAP_LINES = 1.52, 1.3 * SMALL_PT, 0.2
IMPORTANCE_ROWS, MAX_COMPARED = 5, 14


def reduction_figure(report: Mapping[str, Any], theme: Theme) -> Figure:
    """Scatter along two components, scree, importance, correlations, and what was dropped."""
    picture, details = picture_of(report, "reduction"), details_of(report, "reduction")
    figure = headed_figure("Reduction: what is left of the columns", HEIGHT_IN, theme)
    height = HEIGHT_IN - TOP_IN - 2.52
    scatter = box(figure, theme, left=LEFT_IN, width=LEFT_WIDE_IN, bottom=2.52, height=height)
    _scatter(figure, scatter, theme, picture, class_order(report))
    dropped = box(figure, theme, left=0.15, width=4.85, bottom=0.15, height=DROPPED_IN)
    _dropped(dropped, theme, reasons_of(details))
    right = {"left": RIGHT_IN, "width": RIGHT_WIDE_IN}
    scree = box(figure, theme, bottom=HEIGHT_IN - TOP_IN - 0.95, height=0.95, **right)
    _scree(scree, theme, picture)
    importance = box(figure, theme, bottom=1.82, height=1.1, **right)
    _importance(importance, theme, picture.get("importance") or {}, details.get("label_bits"))
    matrix = box(figure, theme, left=RIGHT_IN + 1.05, width=1.42, bottom=0.12, height=1.3)
    _correlations(matrix, theme, picture.get("correlation") or {})
    return figure


def reasons_of(details: Mapping[str, Any]) -> dict[str, str]:
    """Why each dropped column was dropped."""
    dropped = details.get("dropped") or {}
    if isinstance(dropped, Mapping):
        return {
            name: why.get("why") or why.get("reason", "") if isinstance(why, Mapping) else str(why)
            for name, why in dropped.items()
        }
    return {each["column"]: each.get("why") or each.get("reason", "") for each in dropped}


def _scatter(
    figure: Figure, axes: Axes, theme: Theme, picture: Mapping[str, Any], order: Sequence[str]
) -> None:
    """Rows along two components, coloured by class."""
    points = picture.get("points") or {}
    xs, names = points.get("x") or [], picture.get("axes")
    if not xs or names == []:
        head(axes, theme, "rows along the components")
        say_nothing(axes, theme, "no number is left, so there is nothing to draw")
        return
    first, second = [*(names or ["component_1", "component_2"]), ""][:2]
    ys = points.get("y") or [0.0] * len(xs)
    labels = [str(name) for name in points.get("class") or [""] * len(xs)]
    colours = colours_of(theme, labels, order)
    class_legend(figure, theme, colours, left=0.6, top=0.5)
    x, y = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    for name, colour in colours.items():
        mine = np.asarray([label == name for label in labels])
        axes.scatter(x[mine], y[mine], s=13, color=colour, alpha=0.7, linewidths=0)
    axes.grid(visible=True, color=theme.grid, linewidth=0.6)
    head(axes, theme, f"{len(xs):,} of the training rows")
    label_axes(axes, theme, x=named_unit(first), y=named_unit(second))
    axes.yaxis.labelpad = 2


def _scree(axes: Axes, theme: Theme, picture: Mapping[str, Any]) -> None:
    """Variance that each component explains; those that are kept in colour, their sum above."""
    explained: Sequence[float] = picture.get("explained") or []
    what = "energy by coefficient" if picture.get("energy") else "variance by component"
    head(axes, theme, what)
    if not explained:
        say_nothing(axes, theme, "the columns stay as they are")
        return
    kept = picture.get("num_kept", len(explained))
    shown = explained[:MAX_COMPONENTS]
    places = np.arange(1, len(shown) + 1)
    colours = [accent(theme) if at <= kept else theme.spans["idle"] for at in places]
    axes.bar(places, shown, width=0.72, color=colours)
    axes.plot(
        places, np.cumsum(shown), color=theme.spans["comm_dp"], lw=1.4, marker="o", markersize=3
    )
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.5, 1.0])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(0.4, len(shown) + 0.6)
    axes.set_xlabel(
        f"{kept} of {len(explained)} kept: {sum(explained[:kept]):.1%} of the variance",
        fontsize=SMALL_PT, color=theme.foreground, labelpad=3, loc="left",
    )  # fmt: skip


def _importance(
    axes: Axes, theme: Theme, importance: Mapping[str, Any], label_bits: float | None
) -> None:
    """What each column tells about the label, at most what the label holds."""
    of = f", of the label's {label_bits:.2f}" if label_bits else ""
    head(axes, theme, f"bits that a column tells{of}")
    found = sorted(
        ((name, value) for name, value in importance.items() if isinstance(value, int | float)),
        key=lambda item: -item[1],
    )
    if not found:
        say_nothing(axes, theme, "without a label nothing is more important")
        return
    bars = [Bar(wrapped(named_unit(n), 30, 1), v, theme.spans["optimizer"]) for n, v in found]
    draw_bars(axes, theme, bars, rows=IMPORTANCE_ROWS, size_pt=SMALL_PT - 1)


def _correlations(axes: Axes, theme: Theme, correlation: Mapping[str, Any]) -> None:
    """Pearson's r of each pair of columns: blue together, orange against each other."""
    names = (correlation.get("columns") or [])[:MAX_COMPARED]
    if len(names) < 2:
        bare(axes)
        return
    matrix = np.asarray(correlation["matrix"], dtype=float)[: len(names), : len(names)]
    colours = LinearSegmentedColormap.from_list("r", [ORANGE, theme.background, accent(theme)])
    axes.imshow(matrix, cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    size = SMALL_PT - 1 if len(names) <= 8 else SMALL_PT - 3
    axes.set_yticks(
        range(len(names)), [wrapped(named_unit(n), 18, 1) for n in names], fontsize=size
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(
        -1.05 / 1.42, 1.06, "correlation: blue together, orange against",
        transform=axes.transAxes, fontsize=LABEL_PT, color=theme.foreground,
    )  # fmt: skip


def _dropped(axes: Axes, theme: Theme, dropped: Mapping[str, str]) -> None:
    head(axes, theme, f"{len(dropped)} columns dropped, and why")
    if not dropped:
        say_nothing(axes, theme, "every column says something of its own")
        return
    say_nothing(axes, theme, "")
    room, used = DROPPED_IN * 72 / LINE_PT, 0.0  # lines
    for place, (name, why) in enumerate(dropped.items()):
        at = 1 - used / room
        reason = wrapped(why, 56, 2)
        left = len(dropped) - place
        needed = reason.count("\n") + 1
        if used + needed + (GAP_LINES + 1 if left > 1 else 0) > room:  # a line for those not shown
            axes.text(
                0, at, f"+ {left} more", va="top", fontsize=SMALL_PT,
                color=theme.muted, transform=axes.transAxes,
            )  # fmt: skip
            return
        for x, text, weight in (
            (0, wrapped(named_unit(name), 20, 1), "bold"),
            (0.29, reason, "normal"),
        ):
            axes.text(
                x, at, text, va="top", fontsize=SMALL_PT, fontweight=weight,
                color=theme.foreground, transform=axes.transAxes,
            )  # fmt: skip
        used += needed + GAP_LINES
