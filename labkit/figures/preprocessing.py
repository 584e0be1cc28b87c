"""How each step of preprocessing changed the data: one row of small pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from labkit.figures.preprocess_cleaning import columns_drawn
from labkit.figures.preprocess_drawing import (
    MEASURED,
    TINY_PT,
    Bar,
    accent,
    class_colours,
    class_legend,
    colours_of,
    draw_bars,
    draw_histogram,
    highest_of,
    is_log,
    outside_of,
    say_nothing,
)
from labkit.figures.preprocess_words import class_order, named_unit, picture_of
from labkit.figures.style import (
    GREY,
    LIGHT,
    TICK_PT,
    TITLE_PT,
    WIDTH_IN,
    Theme,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.figures.wrap import wrapped

HEIGHT_IN, COLUMN_IN = 3.3, 1.8
TOP_IN, BOTTOM_IN = 0.84, 0.5  # above and below the small pictures
LEFT_IN, RIGHT_IN = 0.12, 0.1  # around each of them
OUTCOMES = ("duplicates", "merged", "set_aside")
MAX_BARS, MAX_POINTS = 7, 500

Report = Mapping[str, Any]


class Column(NamedTuple):
    """Where a step's small picture stands, inches."""

    left: float
    width: float


def preprocessing_figure(report: Report, theme: Theme = LIGHT) -> Figure:
    """One small picture a step, from the report of ``labkit.preprocess``.

    Args:
        report: ``Dataset.to_json()``, or the report so far: the steps it has are drawn.
        theme: light or dark.
    Returns:
        A figure of 900 x 330 px at 100 dpi.
    """
    figure = new_figure(HEIGHT_IN, theme)
    _heading(figure, theme, report)
    steps = [step["name"] for step in report["steps"] if step["name"] in _DRAW]
    # A finished report of few steps fills the width; while it grows, nothing moves.
    width = max(COLUMN_IN, WIDTH_IN / max(len(steps), 3)) if report["rows_out"] else COLUMN_IN
    for place, name in enumerate(steps):
        column = Column(place * width + LEFT_IN, width)
        figure.text(
            column.left / WIDTH_IN, 1 - 0.48 / HEIGHT_IN, f"{place + 1} {name}",
            va="center", fontsize=TICK_PT, fontweight="bold", color=theme.foreground,
        )  # fmt: skip
        _DRAW[name](figure, column, report, theme)
    return figure


def _heading(figure: Figure, theme: Theme, report: Report) -> None:
    rows = f"{report['rows_in']:,} raw rows"
    if report["rows_out"]:
        rows += f" became {report['rows_out']:,} clean ones in {report['seconds']:.1f} s"
    figure.text(
        0.013, 1 - 0.07 / HEIGHT_IN, rows, va="top",
        fontsize=TITLE_PT, fontweight="bold", color=theme.foreground,
    )  # fmt: skip
    figure.text(
        0.987, 1 - 0.09 / HEIGHT_IN, MEASURED, va="top", ha="right",
        fontsize=TICK_PT, color=theme.muted,
    )  # fmt: skip


def _statistics(figure: Figure, column: Column, report: Report, theme: Theme) -> None:
    """Gaps by column, the most first."""
    missing = picture_of(report, "statistics").get("missing") or {}
    gaps = sorted(missing.items(), key=lambda item: -item[1])
    axes = _axes(figure, column, theme)
    _bars(axes, theme, [Bar(name, count, accent(theme)) for name, count in gaps if count])
    _say(axes, theme, "values missing, by column" if any(missing.values()) else "no gaps")


def _integration(figure: Figure, column: Column, report: Report, theme: Theme) -> None:
    """Rows of each source, what was taken away, and what remains."""
    picture = picture_of(report, "integration")
    sources = list((picture.get("rows_per_source") or {}).items())
    room = MAX_BARS - len(OUTCOMES) - 1
    if len(sources) > room:
        rest = sources[room - 1 :]
        sources = [*sources[: room - 1], (f"{len(rest)} more", sum(rows for _, rows in rest))]
    bars = [Bar(name, rows, accent(theme)) for name, rows in sources]
    bars += [
        Bar(f"- {name.replace('_', ' ')}", picture[name], theme.spans["comm_dp"])
        for name in OUTCOMES
        if picture.get(name) is not None
    ]
    if picture.get("rows_out") is not None:
        bars.append(Bar("= rows left", picture["rows_out"], theme.spans["optimizer"]))
    axes = _axes(figure, column, theme)
    _bars(axes, theme, bars)
    _say(axes, theme, "rows of the sources")


def _cleaning(figure: Figure, column: Column, report: Report, theme: Theme) -> None:
    """Histogram of a column by class, before above after; a logarithmic height shows outliers."""
    columns = columns_drawn(report)
    first = picture_of(report, "cleaning").get("column")
    name = first if first in columns else next(iter(columns), "")
    if not name:
        say_nothing(_axes(figure, column, theme), theme, "no column to draw")
        return
    drawn = columns[name]
    colours = class_colours(theme, list(drawn["before"].get("counts", {})))
    highest = highest_of(drawn["before"], drawn["after"])
    for row, side in enumerate(("before", "after")):
        axes = _axes(figure, column, theme, row=row)
        draw_histogram(axes, theme, drawn["edges"], drawn[side], colours, highest=highest)
        axes.set_yticks([])
        axes.tick_params(labelbottom=row == 1)
        if is_log(drawn["edges"]):
            axes.xaxis.set_major_locator(LogLocator(numticks=4))
        outside = outside_of(drawn[side])
        _inside(axes, theme, f"{side}: {outside}" if outside else side)
    _say(axes, theme, wrapped(f"{named_unit(name)}, log counts", 30, 1), pad=2)
    if len(colours) <= 3:
        class_legend(figure, theme, colours, left=column.left, top=0.71)


def _reduction(figure: Figure, column: Column, report: Report, theme: Theme) -> None:
    """The first two components of some rows, by class, and what the kept ones explain."""
    picture = picture_of(report, "reduction")
    points = picture.get("points") or {}
    axes = _axes(figure, column, theme)
    if not points.get("x"):
        say_nothing(axes, theme, "no components")
        return
    labels = [str(name) for name in points.get("class") or [""] * len(points["x"])][:MAX_POINTS]
    for name, colour in colours_of(theme, labels, class_order(report)).items():
        mine = [at for at, one in enumerate(labels) if one == name]
        axes.scatter(
            [points["x"][at] for at in mine], [points["y"][at] for at in mine],
            s=5, color=colour, alpha=0.7, linewidths=0,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    all_explained = picture.get("explained") or []
    kept = picture.get("num_kept", len(all_explained))
    share = sum(all_explained[:kept])
    _say(
        axes,
        theme,
        f"components 1 and 2;\n{kept} of {len(all_explained)} keep {share:.0%} of variance",
    )


def _transformation(figure: Figure, column: Column, report: Report, theme: Theme) -> None:
    """Distribution of each number column, before above after: all come to the same width."""
    picture = picture_of(report, "transformation")
    names = [name for name in picture.get("columns") or () if name in picture.get("before", {})]
    if not names:
        say_nothing(_axes(figure, column, theme), theme, "no numbers to scale")
        return
    edges = np.asarray(picture["edges"])
    middles = (edges[:-1] + edges[1:]) / 2
    colours = [theme.spans[kind] for kind in ("forward", "comm_dp", "optimizer", "comm_tp")]
    for row, side in enumerate(("before", "after")):
        axes = _axes(figure, column, theme, row=row)
        for at, each in enumerate(names):
            counts = list(picture[side].get(each, {}).get("counts", {}).values())
            colour = colours[at] if at < len(colours) else GREY
            if counts:
                axes.plot(middles, np.sum(counts, axis=0), color=colour, lw=1.1)
        axes.set_ylim(bottom=0)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_yticks([])
        _inside(axes, theme, side)
    word = "component" if names[0].startswith("component_") else "column"
    _say(axes, theme, f"value of each {word}", pad=2)


_DRAW: Mapping[str, Callable[[Figure, Column, Report, Theme], None]] = MappingProxyType(
    {
        "statistics": _statistics,
        "integration": _integration,
        "cleaning": _cleaning,
        "reduction": _reduction,
        "transformation": _transformation,
    }
)


def _axes(figure: Figure, column: Column, theme: Theme, row: int | None = None) -> Axes:
    """Axes in a column of the figure: all of it, or one row."""
    height = HEIGHT_IN - TOP_IN - BOTTOM_IN
    half = (height - 0.12) / 2
    axes = place_axes(
        figure,
        left=column.left,
        right=WIDTH_IN - column.left - column.width + LEFT_IN + RIGHT_IN,
        bottom=BOTTOM_IN + (half + 0.12 if row == 0 else 0.0),
        top=TOP_IN + (half + 0.12 if row == 1 else 0.0),
    )
    style_axes(axes, theme)
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=TINY_PT, length=2, pad=1.5)
    if row == 0:
        axes.tick_params(labelbottom=False)
    return axes


def _bars(axes: Axes, theme: Theme, bars: list[Bar]) -> None:
    short = [bar._replace(name=wrapped(bar.name, 18, 1)) for bar in bars]
    draw_bars(axes, theme, short, rows=MAX_BARS, size_pt=TINY_PT)


def _say(axes: Axes, theme: Theme, text: str, pad: float = 3) -> None:
    axes.set_xlabel(text, fontsize=TINY_PT, color=theme.foreground, labelpad=pad)


def _inside(axes: Axes, theme: Theme, text: str) -> None:
    axes.text(
        0.98, 0.93, text, transform=axes.transAxes, ha="right", va="top",
        fontsize=TINY_PT, color=theme.foreground,
        bbox={"facecolor": theme.background, "edgecolor": "none", "alpha": 0.7, "pad": 0.8},
    )  # fmt: skip
