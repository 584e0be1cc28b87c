"""Step 5, transformation, to look at: columns before and after, and the names that were counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from labkit.figures.preprocess_drawing import (
    Bar,
    accent,
    box,
    class_colours,
    class_legend,
    draw_bars,
    draw_histogram,
    head,
    headed_figure,
    highest_of,
    outside_of,
    say_nothing,
)
from labkit.figures.preprocess_words import details_of, named_unit, picture_of, said
from labkit.figures.style import GREY, SMALL_PT, Theme, label_axes
from labkit.figures.wrap import wrapped

HEIGHT_IN, TOP_IN, BOTTOM_IN, GAP_IN = 4.6, 0.92, 0.58, 0.62
LEFT_IN, WIDE_IN = 0.62, 8.2
MIDDLE_IN = 0.72
NAME_ROWS, MAX_LINES, MAX_STRIPS = 9, 7, 24


def transformation_figure(
    report: Mapping[str, Any], theme: Theme, column: str | None = None
) -> Figure:
    """Distributions before and after; of a category, how often each of its names occurs.

    Args:
        report: see ``preprocess/report.py``.
        theme: light or dark.
        column: one of ``inputs_drawn(report)``; ``None`` draws all number columns on one scale.
    """
    picture = picture_of(report, "transformation")
    numbers = [name for name in picture.get("columns") or () if name in picture.get("before", {})]
    categories = picture.get("categories") or {}
    title = named_unit(column) if column else "the inputs of a model"
    figure = headed_figure(f"Transformation: {title}", HEIGHT_IN, theme)
    if column in categories:
        _names(figure, theme, str(column), categories[column], details_of(report, "transformation"))
    elif column in numbers:
        _one(figure, theme, str(column), picture)
    elif len(numbers) > MAX_LINES:
        _strips(figure, theme, numbers[:MAX_STRIPS], picture)
    elif numbers:
        _all(figure, theme, numbers, picture)
    elif categories:
        first = next(iter(categories))
        _names(figure, theme, first, categories[first], details_of(report, "transformation"))
    else:
        axes = box(figure, theme, left=0.15, width=8.6, bottom=BOTTOM_IN, height=2)
        say_nothing(axes, theme, "transformation did not run")
    return figure


def inputs_drawn(report: Mapping[str, Any]) -> list[str]:
    """Columns that can be looked at one by one."""
    picture = picture_of(report, "transformation")
    numbers = [name for name in picture.get("columns") or () if name in picture.get("before", {})]
    return [*numbers, *(picture.get("categories") or {})]


def _all(figure: Figure, theme: Theme, numbers: list[str], picture: Mapping[str, Any]) -> None:
    """Every number column as a line, before beside after, both between the same edges."""
    edges = np.asarray(picture["edges"])
    middles = (edges[:-1] + edges[1:]) / 2
    colours = _line_colours(theme, numbers)
    class_legend(figure, theme, {named_unit(n): c for n, c in colours.items()}, left=0.6, top=0.5)
    width = (WIDE_IN - MIDDLE_IN) / 2
    for place, side in enumerate(("before", "after")):
        axes = box(
            figure, theme, left=LEFT_IN + place * (width + MIDDLE_IN), width=width,
            bottom=BOTTOM_IN, height=HEIGHT_IN - TOP_IN - BOTTOM_IN,
        )  # fmt: skip
        for name in numbers:
            counts = _sum(picture[side].get(name) or {}, len(middles))
            axes.plot(middles, counts, color=colours[name], lw=1.4)
        axes.set_ylim(bottom=0)
        axes.set_xlim(edges[0], edges[-1])
        axes.grid(visible=True, color=theme.grid, linewidth=0.6)
        axes.yaxis.set_major_formatter(lambda value, _: said(value))
        head(axes, theme, side)
        label_axes(axes, theme, x="value")


def _strips(figure: Figure, theme: Theme, numbers: list[str], picture: Mapping[str, Any]) -> None:
    """Many number columns: one strip each, the stronger the more rows lie there."""
    edges = picture["edges"]
    paint = LinearSegmentedColormap.from_list("rows", [theme.background, accent(theme)])
    left, middle = 1.75, 0.3
    width = (WIDE_IN + LEFT_IN - left - middle) / 2
    for place, side in enumerate(("before", "after")):
        axes = box(
            figure, theme, left=left + place * (width + middle), width=width, bottom=BOTTOM_IN,
            height=HEIGHT_IN - TOP_IN - BOTTOM_IN,
        )  # fmt: skip
        counts = np.array([_sum(picture[side].get(n) or {}, len(edges) - 1) for n in numbers])
        share = np.sqrt(counts / np.maximum(counts.max(axis=1, keepdims=True), 1))
        axes.imshow(
            share, cmap=paint, vmin=0, vmax=1, aspect="auto", interpolation="nearest",
            extent=(edges[0], edges[-1], len(numbers) - 0.5, -0.5),
        )  # fmt: skip
        names = [wrapped(named_unit(name), 22, 1) for name in numbers] if place == 0 else []
        size = SMALL_PT if len(numbers) <= 18 else SMALL_PT - 2
        axes.set_yticks(range(len(names)), names, fontsize=size)
        axes.hlines(
            np.arange(len(numbers) - 1) + 0.5, edges[0], edges[-1], color=theme.background, lw=2
        )
        axes.tick_params(axis="y", length=0)
        head(axes, theme, f"{side}: the stronger, the more rows" if place == 0 else side)
        label_axes(axes, theme, x="value")


def _line_colours(theme: Theme, names: list[str]) -> dict[str, str]:
    kinds = ("forward", "comm_dp", "optimizer", "comm_tp", "comm_pp", "backward", "weight_grad")
    palette = [theme.spans[kind] for kind in kinds]
    return {name: palette[at] if at < len(palette) else GREY for at, name in enumerate(names)}


def _one(figure: Figure, theme: Theme, name: str, picture: Mapping[str, Any]) -> None:
    """One number column by class: on its own scale before, on the common one after."""
    own = picture.get("own_edges") or {}
    before_edges = own.get(name) or picture["edges"]
    before = (picture.get("own_before") if own else picture["before"]) or picture["before"]
    sides = (
        ("before", before_edges, before.get(name) or {}),
        ("after", picture["edges"], picture["after"].get(name) or {}),
    )
    colours = class_colours(theme, list(sides[0][2].get("counts", {})))
    class_legend(figure, theme, colours, left=0.6, top=0.5)
    width = (WIDE_IN - MIDDLE_IN) / 2
    for place, (side, edges, counts) in enumerate(sides):
        axes = box(
            figure, theme, left=LEFT_IN + place * (width + MIDDLE_IN), width=width,
            bottom=BOTTOM_IN, height=HEIGHT_IN - TOP_IN - BOTTOM_IN,
        )  # fmt: skip
        draw_histogram(
            axes, theme, edges, counts, colours, highest=highest_of(counts), log_counts=False
        )
        axes.yaxis.set_major_formatter(lambda value, _: said(value))
        outside = outside_of(counts)
        head(axes, theme, f"{side} ({outside})" if outside else side)
        label_axes(axes, theme, x=named_unit(name) if place == 0 else f"{named_unit(name)}, scaled")


def _names(
    figure: Figure, theme: Theme, name: str, counts: Mapping[str, int], details: Mapping[str, Any]
) -> None:
    """How often each name, bin or general concept occurs in the end."""
    axes = box(
        figure, theme, left=0.2, width=5.2, bottom=0.2, height=HEIGHT_IN - TOP_IN - 0.2
    )  # fmt: skip
    head(axes, theme, "rows by name")
    colour = accent(theme)
    bars = [Bar(wrapped(str(each), 46, 1), count, colour) for each, count in counts.items()]
    draw_bars(
        axes, theme, bars, rows=max(min(len(bars), NAME_ROWS), 5), percent_of=sum(counts.values())
    )
    lines = _how(name, details)
    side = box(figure, theme, left=5.9, width=2.9, bottom=0.2, height=HEIGHT_IN - TOP_IN - 0.2)
    head(side, theme, "how they came about")
    say_nothing(side, theme, "")
    _lines(side, theme, lines or ["each name of the column as it was read"])


def _how(name: str, details: Mapping[str, Any]) -> list[str]:
    """Cuts of the bins, or what was generalised, and how it is handed to a model."""
    lines = []
    bins = (details.get("bins") or {}).get(name)
    if bins:
        cuts = ", ".join(said(cut) for cut in bins.get("cuts", ()))
        lines.append(f"cut into bins at {cuts}" if cuts else "one bin: no cut pays for itself")
    lifted = (details.get("generalised") or {}).get(name)
    if lifted:
        lines.append(f"generalised to {len(lifted.get('names', ()))} more general names")
        if lifted.get("unplaced"):
            lines.append(f"no place in the hierarchy: {', '.join(lifted['unplaced'])}")
    coding = (details.get("encoded") or {}).get(name)
    if coding:
        words = {"one_hot": "a column of 0 and 1 for each name", "code": "one number for each name"}
        lines.append(f"to the model: {words.get(coding, coding)}")
    return lines


def _lines(axes: Axes, theme: Theme, lines: list[str]) -> None:
    text = "\n\n".join(wrapped(line, 38, 5) for line in lines)
    axes.text(
        0, 0.97, text, va="top", transform=axes.transAxes, fontsize=SMALL_PT + 0.5,
        color=theme.foreground, linespacing=1.35,
    )  # fmt: skip


def _sum(side: Mapping[str, Any], bins: int) -> Any:
    """Rows in each bin, whatever their class."""
    counts = list((side.get("counts") or {}).values())
    return np.sum(counts, axis=0) if counts else np.zeros(bins)
