"""Step 4, reduction, to look at: what was dropped and why, what the components hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labkit.figures.preprocess_drawing import (
    Bar,
    accent,
    box,
    class_colours,
    class_legend,
    draw_bars,
    head,
    headed_figure,
    say_nothing,
)
from labkit.figures.preprocess_words import details_of, named_unit, picture_of
from labkit.figures.style import SMALL_PT, Theme, label_axes
from labkit.figures.wrap import wrapped

HEIGHT_IN, TOP_IN = 4.9, 0.92
MAX_DROPPED, MAX_COMPONENTS = 5, 24


def reduction_figure(report: Mapping[str, Any], theme: Theme) -> Figure:
    """Scatter of the first two components by class, scree, importance and what was dropped."""
    picture, details = picture_of(report, "reduction"), details_of(report, "reduction")
    figure = headed_figure("Reduction: what is left of the columns", HEIGHT_IN, theme)
    scatter = box(figure, theme, left=0.62, width=4.2, bottom=0.58, height=HEIGHT_IN - 1.5)
    _scatter(figure, scatter, theme, picture.get("points") or {})
    importance = details.get("importance") or picture.get("importance") or {}
    width = 1.5 if importance else 3.4
    scree = box(figure, theme, left=5.4, width=width, bottom=2.78, height=1.2)
    _scree(scree, theme, picture)
    if importance:
        bars = box(figure, theme, left=7.3, width=1.55, bottom=2.36, height=1.62)
        _importance(bars, theme, importance)
    dropped = box(figure, theme, left=5.1, width=3.75, bottom=0.15, height=1.72)
    _dropped(dropped, theme, reasons_of(details))
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


def _scatter(figure: Figure, axes: Axes, theme: Theme, points: Mapping[str, Any]) -> None:
    xs = points.get("x") or []
    if not xs:
        head(axes, theme, "rows along the components")
        say_nothing(axes, theme, "no components were made")
        return
    ys = points.get("y") or [0.0] * len(xs)
    labels = [str(name) for name in points.get("class") or [""] * len(xs)]
    colours = class_colours(theme, sorted(set(labels)))
    class_legend(figure, theme, colours, left=0.6, top=0.5)
    x, y = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    for name, colour in colours.items():
        mine = np.asarray([label == name for label in labels])
        axes.scatter(x[mine], y[mine], s=13, color=colour, alpha=0.7, linewidths=0)
    axes.grid(visible=True, color=theme.grid, linewidth=0.6)
    head(axes, theme, f"{len(xs):,} rows along the first two components")
    label_axes(axes, theme, x="component 1", y="component 2")
    axes.yaxis.labelpad = 2


def _scree(axes: Axes, theme: Theme, picture: Mapping[str, Any]) -> None:
    """Variance that each component explains; those that are kept in colour, their sum above."""
    explained: Sequence[float] = picture.get("explained") or []
    head(axes, theme, "variance by component")
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
        f"{kept} of {len(explained)} kept:\n{sum(explained[:kept]):.1%} of the variance",
        fontsize=SMALL_PT, color=theme.foreground, labelpad=3, loc="left",
    )  # fmt: skip


def _importance(axes: Axes, theme: Theme, importance: Mapping[str, Any]) -> None:
    """What each column says about the label."""
    head(axes, theme, "importance, bits")
    found = sorted(
        ((name, value) for name, value in importance.items() if isinstance(value, int | float)),
        key=lambda item: -item[1],
    )
    bars = [Bar(wrapped(named_unit(n), 18, 1), v, theme.spans["optimizer"]) for n, v in found]
    draw_bars(axes, theme, bars, rows=6, size_pt=SMALL_PT - 1)


def _dropped(axes: Axes, theme: Theme, dropped: Mapping[str, str]) -> None:
    head(axes, theme, f"{len(dropped)} columns dropped, and why")
    if not dropped:
        say_nothing(axes, theme, "every column says something of its own")
        return
    say_nothing(axes, theme, "")
    items = list(dropped.items())
    more = len(items) - MAX_DROPPED
    shown = items if more <= 0 else items[: MAX_DROPPED - 1]
    line = 1 / MAX_DROPPED
    for row, (name, why) in enumerate(shown):
        at = 0.97 - row * line
        axes.text(
            0, at, wrapped(named_unit(name), 18, 1), va="top", fontsize=SMALL_PT,
            fontweight="bold", color=theme.foreground, transform=axes.transAxes,
        )  # fmt: skip
        axes.text(
            0.33, at, wrapped(why, 42, 2), va="top", fontsize=SMALL_PT,
            color=theme.foreground, transform=axes.transAxes,
        )  # fmt: skip
    if more > 0:
        axes.text(
            0, 0.97 - len(shown) * line, f"+ {more + 1} more", va="top", fontsize=SMALL_PT,
            color=theme.muted, transform=axes.transAxes,
        )  # fmt: skip
