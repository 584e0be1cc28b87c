"""Step 3, cleaning, to look at: a column before and after, its gaps, and what was repaired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.preprocess_drawing import (
    Bar,
    bare,
    box,
    class_colours,
    class_legend,
    draw_bars,
    draw_histogram,
    head,
    headed_figure,
    highest_of,
    is_log,
    outside_of,
    say_nothing,
)
from labkit.figures.preprocess_words import counted, details_of, named_unit, picture_of
from labkit.figures.style import SMALL_PT, Theme, label_axes
from labkit.figures.wrap import wrapped

HEIGHT_IN, TOP_IN, BOTTOM_IN, GAP_IN = 4.9, 0.92, 0.58, 0.5
WIDE_IN = 5.3
GAP_ROWS = 4
SIDE_AT_IN, SIDE_IN = 6.25, 2.6
KINDS: Mapping[str, str] = {
    "outliers": "noise removed",
    "rules": "removed by a rule",
    "slips": "unit put right",
    "sentinels": "stood for missing",
    "relabelled": "label put right",
    "filled": "gap filled",
}


def cleaning_figure(report: Mapping[str, Any], theme: Theme, column: str | None = None) -> Figure:
    """Distribution of one column by class before and after; gaps and repairs beside it.

    Args:
        report: with ``picture["columns"]``, or its one ``column``; see ``preprocess/report.py``.
        theme: light or dark.
        column: one of ``columns_drawn(report)``; ``None`` takes the first.
    """
    columns = columns_drawn(report)
    name = column if column in columns else next(iter(columns), "")
    figure = headed_figure(f"Cleaning: {named_unit(name) or 'values'}", HEIGHT_IN, theme)
    height = (HEIGHT_IN - TOP_IN - BOTTOM_IN - GAP_IN) / 2
    if name:
        _two_sides(figure, theme, name, columns[name], height)
    else:
        axes = box(figure, theme, left=0.15, width=WIDE_IN, bottom=BOTTOM_IN, height=2 * height)
        say_nothing(axes, theme, "no column was counted before and after")
    picture = picture_of(report, "cleaning")
    upper = BOTTOM_IN + height + GAP_IN
    gaps = box(figure, theme, left=SIDE_AT_IN, width=SIDE_IN, bottom=upper, height=height)
    _gaps(gaps, theme, picture, name)
    repairs = box(
        figure, theme, left=SIDE_AT_IN, width=SIDE_IN, bottom=0.2, height=height + BOTTOM_IN - 0.2
    )
    _repairs(repairs, theme, repairs_of(details_of(report, "cleaning"), name), name)
    return figure


def columns_drawn(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Columns with a histogram before and after cleaning: ``edges``, ``before``, ``after``."""
    picture = picture_of(report, "cleaning")
    found = dict(picture.get("columns") or {})
    main = picture.get("column")
    if main in found:  # the one that was wrong most often comes first
        found = {main: found[main], **found}
    if not found and picture.get("column") and picture.get("edges"):
        found[picture["column"]] = picture
    return {
        name: each
        for name, each in found.items()
        if each.get("edges") and each.get("before") and each.get("after")
    }


def repairs_of(details: Mapping[str, Any], column: str = "") -> dict[str, int]:
    """Repairs by kind, of one column where they are counted by column, else of all."""
    found = {}
    for kind, words in KINDS.items():
        counts = details.get(kind) or 0
        if isinstance(counts, Mapping):
            number = counts.get(column, 0) if column else sum(counts.values())
        else:
            number = 0 if column else counts  # labels: of a row, not of a column
        if number:
            found[words] = number
    return found


def _two_sides(
    figure: Figure, theme: Theme, name: str, drawn: Mapping[str, Any], height: float
) -> None:
    edges = drawn["edges"]
    colours = class_colours(theme, list(drawn["before"].get("counts", {})))
    class_legend(figure, theme, colours, left=0.6, top=0.5)
    highest = highest_of(drawn["before"], drawn["after"])
    for row, side in enumerate(("before", "after")):
        bottom = BOTTOM_IN + (height + GAP_IN if row == 0 else 0.0)
        axes = box(figure, theme, left=0.62, width=WIDE_IN, bottom=bottom, height=height)
        draw_histogram(axes, theme, edges, drawn[side], colours, highest=highest)
        outside = outside_of(drawn[side])
        head(axes, theme, f"{side} ({outside})" if outside else side)
    scale = ", logarithmic" if is_log(edges) else ""
    label_axes(axes, theme, x=f"{named_unit(name)}{scale}; height: rows, logarithmic")


def _gaps(axes: Axes, theme: Theme, picture: Mapping[str, Any], chosen: str) -> None:
    """Missing values before and after; the chosen column first, then those with the most."""
    before, after = picture.get("missing_before") or {}, picture.get("missing_after") or {}
    names = sorted(before, key=lambda name: (name != chosen, -before[name]))
    names = [name for name in names if before[name] or after.get(name)]
    head(axes, theme, "values missing, before and after")
    if not names:
        say_nothing(axes, theme, "none")
        return
    bare(axes)
    shown = names if len(names) <= GAP_ROWS else names[: GAP_ROWS - 1]
    most = max(max(before[name], after.get(name, 0)) for name in shown)
    for row, name in enumerate(shown):
        counts = (before[name], after.get(name, 0))
        colours = (theme.spans["comm_dp"], theme.spans["optimizer"])
        for place, (count, colour) in enumerate(zip(counts, colours, strict=True)):
            axes.barh(row + 0.13 + 0.22 * place, count, height=0.2, color=colour)
        ends = ((0, "left", named_unit(name)), (most, "right", " to ".join(map(counted, counts))))
        for at, align, text in ends:
            axes.text(
                at, row, text, va="bottom", ha=align, fontsize=SMALL_PT, color=theme.foreground
            )
    if len(names) > len(shown):
        more = f"+ {len(names) - len(shown)} more"
        axes.text(0, len(shown) + 0.1, more, va="center", fontsize=SMALL_PT, color=theme.muted)
    axes.set_ylim(GAP_ROWS - 0.5, -0.45)
    axes.set_xlim(0, most)


def _repairs(axes: Axes, theme: Theme, found: Mapping[str, int], name: str) -> None:
    head(axes, theme, wrapped(f"repairs in {named_unit(name)}" if name else "repairs", 34, 1))
    bars = [Bar(words, number, theme.spans["optimizer"]) for words, number in found.items()]
    if bars:
        draw_bars(axes, theme, bars, rows=max(len(bars), 5))
    else:
        say_nothing(axes, theme, "none")
