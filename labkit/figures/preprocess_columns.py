"""Cleaning of every column at a glance: small distributions, before as a line, after filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.figures.preprocess_cleaning import columns_drawn
from labkit.figures.preprocess_drawing import (
    TINY_PT,
    accent,
    bare,
    box,
    headed_figure,
    is_log,
    say_nothing,
)
from labkit.figures.preprocess_words import named_unit, said
from labkit.figures.style import LIGHT, SMALL_PT, WIDTH_IN, Theme
from labkit.figures.wrap import wrapped

PER_ROW, MAX_COLUMNS = 4, 24
ROW_IN, TOP_IN, EDGE_IN, GAP_IN = 1.2, 0.5, 0.15, 0.2
DRAWN_IN = 0.62  # height of a distribution; its name and its ends stand above and below


def cleaning_columns_figure(report: Mapping[str, Any], theme: Theme = LIGHT) -> Figure:
    """Up to ``MAX_COLUMNS`` columns, heights logarithmic so that the few far out are seen.

    Args:
        report: as of ``cleaning_figure``.
        theme: light or dark.
    Returns:
        A figure as high as it has rows of small pictures.
    """
    columns = list(columns_drawn(report).items())[:MAX_COLUMNS]
    rows = max(-(-len(columns) // PER_ROW), 1)
    height = TOP_IN + rows * ROW_IN
    title = "Cleaning of every column: before as a line, after filled"
    figure = headed_figure(title, height, theme)
    width = (WIDTH_IN - 2 * EDGE_IN - (PER_ROW - 1) * GAP_IN) / PER_ROW
    if not columns:
        axes = box(figure, theme, left=EDGE_IN, width=4, bottom=0.2, height=ROW_IN - 0.2)
        say_nothing(axes, theme, "no column was counted before and after")
    for place, (name, drawn) in enumerate(columns):
        row, column = divmod(place, PER_ROW)
        axes = box(
            figure, theme, left=EDGE_IN + column * (width + GAP_IN), width=width,
            bottom=height - TOP_IN - row * ROW_IN - 0.27 - DRAWN_IN, height=DRAWN_IN,
        )  # fmt: skip
        _draw(axes, theme, name, drawn)
    return figure


def _draw(axes: Axes, theme: Theme, name: str, drawn: Mapping[str, Any]) -> None:
    edges: Sequence[float] = drawn["edges"]
    before, after = (_rows(drawn[side]) for side in ("before", "after"))
    bare(axes)
    axes.stairs(after, edges, fill=True, color=accent(theme), alpha=0.5, linewidth=0)
    axes.stairs(before, edges, color=theme.spans["comm_dp"], linewidth=1.1)
    axes.set_yscale("log")
    axes.set_ylim(0.7, 2 * max(before.max(initial=1), after.max(initial=1)))
    if is_log(edges):
        axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.minorticks_off()
    bare(axes)
    axes.spines["bottom"].set_visible(True)
    axes.set_title(
        wrapped(named_unit(name), 28, 1), loc="left", pad=3, fontsize=SMALL_PT,
        color=theme.foreground,
    )  # fmt: skip
    for at, align, end in ((0.0, "left", edges[0]), (1.0, "right", edges[-1])):
        axes.text(
            at, -0.05, said(end), transform=axes.transAxes, va="top", ha=align,
            fontsize=TINY_PT, color=theme.muted,
        )  # fmt: skip


def _rows(side: Mapping[str, Any]) -> NDArray[np.float64]:
    """Rows in each bin, whatever their class."""
    counts: NDArray[np.float64] = np.sum(list(side["counts"].values()), axis=0, dtype=np.float64)
    return counts
