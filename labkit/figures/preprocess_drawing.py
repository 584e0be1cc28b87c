"""What the pictures of preprocessing are made of: bars with their numbers, histograms by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from labkit.figures.preprocess_words import counted, said
from labkit.figures.style import (
    EDGE_IN,
    GREY,
    LABEL_PT,
    SMALL_PT,
    TICK_PT,
    TITLE_PT,
    Theme,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.figures.wrap import wrapped

MEASURED = "MEASURED: counted on the workers"
TINY_PT = 8.0
LOG_SPREAD = 100.0  # from this ratio of the greatest to the least on, an axis is logarithmic
MAX_CLASSES = 8
UNKNOWN = "unknown"  # the class of a row whose label is missing


class Bar(NamedTuple):
    """One bar: its name, how long it is, its colour, and where it begins."""

    name: str
    value: float
    colour: str
    start: float = 0.0


def headed_figure(title: str, height_in: float, theme: Theme) -> Figure:
    """An empty figure of the house width with its title, and whose numbers these are."""
    figure = new_figure(height_in, theme)
    figure.text(
        EDGE_IN / figure.get_figwidth(), 1 - 0.1 / height_in, title, va="top",
        fontsize=TITLE_PT, fontweight="bold", color=theme.foreground,
    )  # fmt: skip
    figure.text(
        1 - EDGE_IN / figure.get_figwidth(), 1 - 0.12 / height_in, MEASURED, va="top", ha="right",
        fontsize=TICK_PT, color=theme.muted,
    )  # fmt: skip
    return figure


def box(
    figure: Figure, theme: Theme, *, left: float, width: float, bottom: float, height: float
) -> Axes:
    """Axes of so many inches at that place, in the house look."""
    width_in, height_in = figure.get_size_inches()
    axes = place_axes(
        figure,
        left=left,
        right=width_in - left - width,
        bottom=bottom,
        top=height_in - bottom - height,
    )
    style_axes(axes, theme)
    axes.tick_params(labelsize=SMALL_PT, length=3, pad=2)
    return axes


def head(axes: Axes, theme: Theme, text: str) -> None:
    """What one part of a picture shows, above it."""
    axes.set_title(text, loc="left", pad=6, fontsize=LABEL_PT, color=theme.foreground)


def bare(axes: Axes) -> None:
    """No spines and no ticks: only what is drawn and written."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def say_nothing(axes: Axes, theme: Theme, text: str) -> None:
    """Where there is nothing to draw, say so."""
    bare(axes)
    axes.text(
        0.0, 0.96, wrapped(text, 40, 3), transform=axes.transAxes, va="top",
        fontsize=SMALL_PT, color=theme.muted,
    )  # fmt: skip


def draw_bars(
    axes: Axes,
    theme: Theme,
    bars: Sequence[Bar],
    *,
    rows: int,
    size_pt: float = SMALL_PT,
    percent_of: float = 0.0,
) -> None:
    """Horizontal bars with their name above and their number behind.

    Args:
        axes: all of it is used.
        theme: its colours.
        bars: from top to bottom; what does not fit is counted in the last row.
        rows: room for so many, so that bars are equally thick in any picture.
        size_pt: of the type.
        percent_of: the whole, to write a share beside each number; 0 for none.
    """
    bare(axes)
    left_out = len(bars) - rows
    shown = bars if left_out <= 0 else bars[: rows - 1]
    most = max((bar.start + bar.value for bar in bars), default=0.0) or 1.0
    for row, bar in enumerate(shown):
        axes.barh(row + 0.24, bar.value, left=bar.start, height=0.36, color=bar.colour)
        share = f" ({bar.value / percent_of:.1%})" if percent_of else ""
        ends = ((0.0, "left", bar.name), (most, "right", f"{counted(bar.value)}{share}"))
        for at, align, text in ends:
            axes.text(
                at, row - 0.01, text, va="bottom", ha=align,
                fontsize=size_pt, color=theme.foreground,
            )  # fmt: skip
    if left_out > 0:
        axes.text(
            0, rows - 0.9, f"+ {left_out + 1} more", va="center",
            fontsize=size_pt, color=theme.muted,
        )  # fmt: skip
    axes.set_ylim(max(rows, 1) - 0.45, -0.5)
    axes.set_xlim(0, most)


def accent(theme: Theme) -> str:
    """What has no class, and what was there before."""
    return theme.strategies["data"]


def class_colours(theme: Theme, names: Sequence[str]) -> dict[str, str]:
    """A colour for each class, in their order; grey for those beyond what can be told apart."""
    names = [name for name in names if name != UNKNOWN]
    if len(names) <= 1:
        return dict.fromkeys(names, accent(theme))
    palette = list(dict.fromkeys([*theme.classes, *theme.variants]))
    return {
        name: palette[at] if at < min(MAX_CLASSES, len(palette)) else GREY
        for at, name in enumerate(names)
    }


def colours_of(theme: Theme, labels: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """Colours of the classes among ``labels``, as in every picture of the same data."""
    found = set(labels)
    names = [*order, *sorted(found - set(order) - {UNKNOWN})]
    colours = class_colours(theme, names)
    shown = {name: colours[name] for name in names if name in found}
    return {**shown, **({UNKNOWN: GREY} if UNKNOWN in found else {})}


def class_legend(
    figure: Figure, theme: Theme, colours: Mapping[str, str], *, left: float, top: float
) -> None:
    """Which colour is which class, ``top`` inches from the top; nothing where there is one."""
    if len(colours) <= 1:
        return
    shown = list(colours.items())[:MAX_CLASSES]
    handles = [Patch(color=colour, label=wrapped(name, 18, 1)) for name, colour in shown]
    more = len(colours) - len(shown)
    if more:
        handles.append(Patch(color=GREY, label=f"{more} more"))
    width_in, height_in = figure.get_size_inches()
    figure.legend(
        handles=handles, loc="center left", frameon=False, ncols=len(handles), fontsize=SMALL_PT,
        bbox_to_anchor=(left / width_in, 1 - top / height_in), labelcolor=theme.foreground,
        handlelength=0.8, handleheight=0.8, columnspacing=0.9, handletextpad=0.3, borderpad=0,
    )  # fmt: skip


def draw_histogram(
    axes: Axes,
    theme: Theme,
    edges: Sequence[float],
    side: Mapping[str, Any],
    colours: Mapping[str, str],
    *,
    highest: float,
    log_counts: bool = True,
) -> None:
    """Counts by class between edges; a logarithmic height shows the few that are far out.

    Args:
        axes: all of it is used.
        theme: its colours.
        edges: (bins + 1,) rising.
        side: ``counts`` by class.
        colours: by class.
        highest: greatest count that is drawn at this height, also of other axes.
        log_counts: whether the height is logarithmic.
    """
    for name, counts in side.get("counts", {}).items():
        colour = colours.get(name, accent(theme))
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.72, linewidth=0)
    axes.set_xlim(edges[0], edges[-1])
    if log_counts:
        axes.set_yscale("log")
        axes.set_ylim(0.7, 3 * max(highest, 1))
    else:
        axes.set_ylim(0, 1.12 * max(highest, 1))
    axes.yaxis.set_minor_locator(NullLocator())
    if is_log(edges):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value)))


def is_log(edges: Sequence[float]) -> bool:
    """Whether the spread of what lies between the edges asks for a logarithmic axis."""
    if len(edges) < 3 or edges[0] <= 0:
        return False
    steps = np.diff(edges)
    return bool(edges[-1] / edges[0] >= LOG_SPREAD and steps[-1] > 4 * steps[0])


def highest_of(*sides: Mapping[str, Any]) -> float:
    """The greatest count of any class in any bin."""
    counts = [count for side in sides for each in side.get("counts", {}).values() for count in each]
    return max(counts, default=1)


def outside_of(side: Mapping[str, Any]) -> str:
    """What lies beyond the edges, in words; empty for nothing."""
    number = (side.get("below") or 0) + (side.get("above") or 0)
    return f"{number:,} outside" if number else ""
