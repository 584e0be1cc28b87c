"""How each step of preprocessing changed the data: one row of small pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from labkit.figures.style import (
    GREY,
    LIGHT,
    SMALL_PT,
    TICK_PT,
    TITLE_PT,
    Theme,
    new_figure,
    place_axes,
    style_axes,
)

HEIGHT_IN, COLUMN_IN = 3.3, 1.8
TOP_IN, BOTTOM_IN = 0.84, 0.5  # above and below the small pictures
LEFT_IN, RIGHT_IN = 0.12, 0.1  # around each of them
TINY_PT = 8.0
OUTCOMES = ("duplicates", "merged", "set_aside")
MAX_BARS = 7


def preprocessing_figure(report: Mapping[str, Any], theme: Theme = LIGHT) -> Figure:
    """One small picture a step, from the report of ``labkit.preprocess``.

    Args:
        report: ``Dataset.to_json()``, or the report so far: the steps it has are drawn.
        theme: light or dark.
    Returns:
        A figure of 900 x 330 px at 100 dpi.
    """
    figure = new_figure(HEIGHT_IN, theme)
    _heading(figure, theme, report)
    for place, step in enumerate(report["steps"]):
        if step["name"] in _DRAW:
            left = place * COLUMN_IN + LEFT_IN
            figure.text(
                left / figure.get_figwidth(), 1 - 0.48 / HEIGHT_IN, f"{place + 1} {step['name']}",
                va="center", fontsize=TICK_PT, fontweight="bold", color=theme.foreground,
            )  # fmt: skip
            _DRAW[step["name"]](figure, left, step["picture"], theme)
    return figure


def _heading(figure: Figure, theme: Theme, report: Mapping[str, Any]) -> None:
    rows = f"{report['rows_in']:,} raw rows"
    if report["rows_out"]:
        rows += f" became {report['rows_out']:,} clean ones in {report['seconds']:.1f} s"
    figure.text(
        0.013, 1 - 0.07 / HEIGHT_IN, rows, va="top",
        fontsize=TITLE_PT, fontweight="bold", color=theme.foreground,
    )  # fmt: skip
    figure.text(
        0.987, 1 - 0.09 / HEIGHT_IN, "MEASURED: counted on the workers", va="top", ha="right",
        fontsize=TICK_PT, color=theme.muted,
    )  # fmt: skip


def _statistics(figure: Figure, left: float, picture: Mapping[str, Any], theme: Theme) -> None:
    """Gaps by column, the most first."""
    gaps = sorted(picture["missing"].items(), key=lambda item: -item[1])
    axes = _axes(figure, left, theme)
    _bars(axes, theme, [(name, count, theme.spans["forward"]) for name, count in gaps if count])
    _say(axes, theme, "values missing, by column")


def _integration(figure: Figure, left: float, picture: Mapping[str, Any], theme: Theme) -> None:
    """Rows of each source, what was taken away, and what remains."""
    bars = [
        (name, rows, theme.spans["forward"]) for name, rows in picture["rows_per_source"].items()
    ]
    bars += [
        (f"- {name.replace('_', ' ')}", picture[name], theme.spans["comm_dp"]) for name in OUTCOMES
    ]
    bars.append(("= one row a fruit", picture["rows_out"], theme.spans["optimizer"]))
    axes = _axes(figure, left, theme)
    _bars(axes, theme, bars)
    _say(axes, theme, "rows of the sources")


def _cleaning(figure: Figure, left: float, picture: Mapping[str, Any], theme: Theme) -> None:
    """Histogram of a column by class, before above after; a logarithmic height shows outliers."""
    edges = np.asarray(picture["edges"])
    name, _, unit = picture["column"].rpartition("_")
    highest = max(max(counts) for counts in picture["before"]["counts"].values())
    for row, side in enumerate(("before", "after")):
        axes = _axes(figure, left, theme, row=row)
        for colour, counts in zip(theme.classes, picture[side]["counts"].values(), strict=False):
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.75)
        axes.set_yscale("log")
        axes.set_ylim(0.7, 3 * max(highest, 1))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_yticks([])
        outside = picture[side]["below"] + picture[side]["above"]
        _inside(axes, theme, f"{side}: {outside} outside" if outside else side)
    axes.set_xlabel(
        f"{name} ({unit}), log counts", fontsize=TINY_PT, color=theme.foreground, labelpad=2
    )
    classes = list(picture["before"]["counts"])
    _legend(figure, left, theme, classes)


def _reduction(figure: Figure, left: float, picture: Mapping[str, Any], theme: Theme) -> None:
    """The first two components of some fruits, by class, and what the kept ones explain."""
    axes = _axes(figure, left, theme)
    points = picture["points"]
    for name, colour in zip(sorted(set(points["class"])), theme.classes, strict=False):
        mine = [at for at, one in enumerate(points["class"]) if one == name]
        axes.scatter(
            [points["x"][at] for at in mine], [points["y"][at] for at in mine],
            s=5, color=colour, alpha=0.7, linewidths=0,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    kept = picture["num_kept"]
    explained = sum(picture["explained"][:kept])
    axes.set_xlabel(
        f"components 1 and 2;\n{kept} of {len(picture['explained'])} keep {explained:.0%} "
        "of the variance",
        fontsize=TINY_PT, color=theme.foreground, labelpad=3,
    )  # fmt: skip


def _transformation(figure: Figure, left: float, picture: Mapping[str, Any], theme: Theme) -> None:
    """Distribution of each component, before above after: all come to the same width."""
    edges = np.asarray(picture["edges"])
    middles = (edges[:-1] + edges[1:]) / 2
    colours = [theme.spans[kind] for kind in ("forward", "comm_dp", "optimizer", "comm_tp")]
    for row, side in enumerate(("before", "after")):
        axes = _axes(figure, left, theme, row=row)
        for at, column in enumerate(picture["columns"]):
            counts = np.sum(list(picture[side][column]["counts"].values()), axis=0)
            colour = colours[at] if at < len(colours) else GREY
            axes.plot(middles, counts, color=colour, lw=1.1)
        axes.set_ylim(bottom=0)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_yticks([])
        _inside(axes, theme, side)
    axes.set_xlabel("value of each component", fontsize=TINY_PT, color=theme.foreground, labelpad=2)


_DRAW: Mapping[str, Callable[[Figure, float, Mapping[str, Any], Theme], None]] = MappingProxyType(
    {
        "statistics": _statistics,
        "integration": _integration,
        "cleaning": _cleaning,
        "reduction": _reduction,
        "transformation": _transformation,
    }
)


def _axes(figure: Figure, left: float, theme: Theme, row: int | None = None) -> Axes:
    """Axes in the column that begins ``left`` inches from the left: all of it, or one row."""
    height = HEIGHT_IN - TOP_IN - BOTTOM_IN
    half = (height - 0.12) / 2
    axes = place_axes(
        figure,
        left=left,
        right=figure.get_figwidth() - left - COLUMN_IN + LEFT_IN + RIGHT_IN,
        bottom=BOTTOM_IN + (half + 0.12 if row == 0 else 0.0),
        top=TOP_IN + (half + 0.12 if row == 1 else 0.0),
    )
    style_axes(axes, theme)
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=TINY_PT, length=2, pad=1.5)
    if row == 0:
        axes.tick_params(labelbottom=False)
    return axes


def _bars(axes: Axes, theme: Theme, bars: Sequence[tuple[str, int, str]]) -> None:
    """Horizontal bars with their name above and their number behind."""
    bars = bars[:MAX_BARS]
    most = max((count for _, count, _ in bars), default=1)
    for row, (name, count, colour) in enumerate(bars):
        axes.barh(row + 0.22, count, height=0.36, color=colour)
        axes.text(0, row - 0.02, name, va="bottom", fontsize=TINY_PT, color=theme.foreground)
        axes.text(
            most, row - 0.02, f"{count:,}", va="bottom", ha="right",
            fontsize=TINY_PT, color=theme.foreground,
        )  # fmt: skip
    axes.set_ylim(MAX_BARS - 0.4, -0.5)
    axes.set_xlim(0, most)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)


def _say(axes: Axes, theme: Theme, text: str) -> None:
    axes.set_xlabel(text, fontsize=TINY_PT, color=theme.foreground, labelpad=3)


def _inside(axes: Axes, theme: Theme, text: str) -> None:
    axes.text(
        0.98, 0.93, text, transform=axes.transAxes, ha="right", va="top",
        fontsize=TINY_PT, color=theme.foreground,
    )  # fmt: skip


def _legend(figure: Figure, left: float, theme: Theme, classes: Sequence[str]) -> None:
    handles = [
        Patch(color=colour, label=name)
        for name, colour in zip(classes, theme.classes, strict=False)
    ]
    figure.legend(
        handles=handles, loc="center left", frameon=False, ncols=2, fontsize=SMALL_PT,
        bbox_to_anchor=(left / figure.get_figwidth(), 1 - 0.71 / HEIGHT_IN),
        labelcolor=theme.foreground, handlelength=0.8, handleheight=0.8, columnspacing=0.8,
        handletextpad=0.3, borderpad=0,
    )  # fmt: skip
