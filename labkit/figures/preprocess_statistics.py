"""Step 1, statistics, to look at: range, middle and gaps of every column in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.preprocess_drawing import (
    Bar,
    accent,
    bare,
    box,
    class_colours,
    draw_bars,
    head,
    headed_figure,
    say_nothing,
)
from labkit.figures.preprocess_words import named_unit, said, step_entry
from labkit.figures.style import EDGE_IN, GREY, LABEL_PT, SMALL_PT, WIDTH_IN, Theme
from labkit.figures.wrap import wrapped

ROW_IN, TOP_IN, BOTTOM_IN = 0.29, 0.86, 0.36
LEFT_IN, RANGE_IN = 1.75, 2.85
MAX_ROWS = 18
MAX_NAMES = 6  # of a category that get their own piece
NUMBERS = {"min": 5.45, "median": 6.4, "max": 7.35}  # where each ends, inches from the left
GAPS_IN, GAPS_WIDTH_IN = 7.6, 0.6
ON_COLOUR = "#202020"  # of text on the classes' colours, in both themes
SHORTEST = 0.04  # share of the values from which a name is written into its piece, per letter

Figures = Mapping[str, Any]


def statistics_figure(report: Mapping[str, Any], theme: Theme, column: str | None = None) -> Figure:
    """Range, quartiles, median and gaps.

    Args:
        report: with ``statistics`` by column; ``by_class`` and ``by_source`` in its step's details.
        theme: light or dark.
        column: shows this one over all rows, by source and by class; ``None`` shows all columns.
    Returns:
        A figure as high as it has rows.
    """
    rows = _rows_of(report, column)
    if column and rows and rows[0][1].get("counts"):
        return _names_figure(column, rows[0][1], theme)
    shown = rows[: MAX_ROWS - 1] if len(rows) > MAX_ROWS else rows
    height = TOP_IN + BOTTOM_IN + ROW_IN * max(len(shown), 3)
    what = named_unit(column) if column else f"{len(rows)} columns as they were read"
    figure = headed_figure(f"Statistics: {what}", height, theme)
    tall = ROW_IN * max(len(shown), 1)
    place = {"bottom": height - TOP_IN - tall, "height": tall}
    axes = box(figure, theme, left=LEFT_IN, width=RANGE_IN, **place)
    bare(axes)
    if not rows:
        say_nothing(axes, theme, "no statistics: the step did not run")
        return figure
    gaps = box(figure, theme, left=GAPS_IN, width=GAPS_WIDTH_IN, **place)
    bare(gaps)
    common = _common_range(shown) if column else None
    for row, (name, figures) in enumerate(shown):
        label = wrapped(name if column else named_unit(name), 24, 1)
        _write(axes, theme, row, -0.04 * RANGE_IN, label, "right")
        _range(axes, theme, row, figures, common)
        _gaps(gaps, theme, row, figures)
    for each in (axes, gaps):
        each.set_ylim(len(shown) - 0.5, -0.5)
        each.set_xlim(0, 1)
    _headings(figure, theme, height, common)
    hidden = len(rows) - len(shown)
    more = f"; {hidden} more columns are in the table" if hidden else ""
    figure.text(
        EDGE_IN / WIDTH_IN, 0.1 / height,
        f"line: from the least to the greatest value; mark: median; {_box_note(shown)}{more}",
        fontsize=SMALL_PT, color=theme.muted, va="bottom",
    )  # fmt: skip
    return figure


def _names_figure(column: str, figures: Figures, theme: Theme) -> Figure:
    """How often each name of a category occurs, the most frequent first."""
    counts = sorted(figures["counts"].items(), key=lambda item: -item[1])
    rows = max(min(len(counts), MAX_ROWS // 2), 4)
    height = TOP_IN + 0.2 + 1.5 * ROW_IN * rows
    figure = headed_figure(f"Statistics: {named_unit(column)}", height, theme)
    axes = box(
        figure, theme, left=0.2, width=WIDTH_IN - 0.4, bottom=0.2, height=height - TOP_IN - 0.2
    )
    gaps = figures.get("missing") or 0
    head(axes, theme, f"{len(counts)} names, as they were read; {gaps:,} rows have none")
    bars = [Bar(wrapped(str(name), 60, 1), count, accent(theme)) for name, count in counts]
    draw_bars(axes, theme, bars, rows=rows, percent_of=sum(figures["counts"].values()))
    return figure


def _rows_of(report: Mapping[str, Any], column: str | None) -> list[tuple[str, Figures]]:
    """What each row of the picture shows, by its name."""
    overall = report.get("statistics") or {}
    if column is None:
        return list(overall.items())
    rows = [("all rows", overall[column])] if column in overall else []
    details = step_entry(report, "statistics").get("details") or {}
    for group in ("by_source", "by_class"):
        rows += [
            (str(name), figures[column])
            for name, figures in (details.get(group) or {}).items()
            if column in figures
        ]
    return rows


def _common_range(rows: Sequence[tuple[str, Figures]]) -> tuple[float, float] | None:
    """The least and the greatest of all rows, where they are of one column."""
    lows = [figures["min"] for _, figures in rows if figures.get("min") is not None]
    highs = [figures["max"] for _, figures in rows if figures.get("max") is not None]
    return (min(lows), max(highs)) if lows and highs else None


def _range(
    axes: Axes, theme: Theme, row: int, figures: Figures, common: tuple[float, float] | None
) -> None:
    """One row: a line with its box and mark, or the shares of a category's names."""
    if figures.get("counts"):
        _shares(axes, theme, row, figures["counts"])
        return
    low, high = figures.get("min"), figures.get("max")
    if low is None or high is None:
        _write(axes, theme, row, 0.0, _in_words(figures), "left", theme.muted)
        return
    first, last = common or (low, high)
    wide = (last - first) or 1.0

    def at(value: float) -> float:
        return min(max((value - first) / wide, 0.0), 1.0) if last > first else 0.5

    blue = accent(theme)
    axes.plot([at(low), at(high)], [row, row], color=theme.muted, lw=1.2, solid_capstyle="butt")
    for end in (low, high):
        axes.plot([at(end)] * 2, [row - 0.16, row + 0.16], color=theme.muted, lw=1.2)
    quartiles = quartiles_of(figures) or _around_mean(figures)
    if quartiles:
        left, right = map(at, quartiles)
        axes.barh(row, max(right - left, 0.006), left=left, height=0.5, color=blue, alpha=0.55)
    if figures.get("median") is not None:
        middle = at(figures["median"])
        axes.plot([middle] * 2, [row - 0.3, row + 0.3], color=theme.foreground, lw=2)
    for name, right_in in NUMBERS.items():
        _write(axes, theme, row, right_in - LEFT_IN, said(figures.get(name)), "right")


def _in_words(figures: Figures) -> str:
    """A column of texts, or one without any value."""
    distinct = figures.get("distinct")
    if not figures.get("count") or distinct is None:
        return "no values" if not figures.get("count") else "texts"
    return wrapped(f"{distinct:,} texts; most often {figures.get('mode')}", 72, 1)


def _shares(axes: Axes, theme: Theme, row: int, counts: Mapping[str, int]) -> None:
    """Pieces of one bar, the most frequent names first."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    total = sum(counts.values()) or 1
    named, rest = ranked[:MAX_NAMES], sum(count for _, count in ranked[MAX_NAMES:])
    colours = class_colours(theme, [name for name, _ in named] or ["-"])
    pieces = [*named, *([(f"{len(ranked) - MAX_NAMES} more", rest)] if rest else [])]
    start = 0.0
    for name, count in pieces:
        share = count / total
        axes.barh(
            row, share, left=start, height=0.56, color=colours.get(name, GREY),
            edgecolor=theme.background, linewidth=0.8,
        )  # fmt: skip
        if share > SHORTEST * len(name) * 0.72:
            axes.text(
                start + share / 2, row, name, ha="center", va="center",
                fontsize=SMALL_PT - 1, color=ON_COLOUR,
            )  # fmt: skip
        start += share
    top, count = ranked[0] if ranked else ("-", 0)
    text = f"{len(counts)} names; most often {top} ({count / total:.0%})"
    _write(axes, theme, row, NUMBERS["max"] - LEFT_IN, wrapped(text, 44, 1), "right")


def _gaps(axes: Axes, theme: Theme, row: int, figures: Figures) -> None:
    """How much of the column is missing."""
    missing, count = figures.get("missing") or 0, figures.get("count") or 0
    share = missing / (missing + count) if missing + count else 0.0
    axes.barh(row, 1, height=0.5, color=theme.grid)
    axes.barh(row, share, height=0.5, color=theme.spans["comm_dp"])
    text = f"{share:.1%}" if missing else "none"
    axes.text(
        1.12, row, text, va="center", fontsize=SMALL_PT,
        color=theme.foreground if missing else theme.muted,
    )  # fmt: skip


def _headings(
    figure: Figure, theme: Theme, height: float, common: tuple[float, float] | None
) -> None:
    if common:
        range_heading = f"from {said(common[0])} to {said(common[1])}"
    else:
        range_heading = "each on its own scale"
    headings = [(LEFT_IN, range_heading, "left"), (GAPS_IN, "missing", "left")]
    headings += [(right, name, "right") for name, right in NUMBERS.items()]
    for at, text, align in headings:
        figure.text(
            at / WIDTH_IN, 1 - (TOP_IN - 0.08) / height, text, ha=align, va="bottom",
            fontsize=LABEL_PT, color=theme.muted,
        )  # fmt: skip


def _write(
    axes: Axes, theme: Theme, row: int, at_in: float, text: str, align: str, colour: str = ""
) -> None:
    """A text ``at_in`` inches from the left end of the lines."""
    axes.text(
        at_in / RANGE_IN, row, text, ha=align, va="center",
        fontsize=SMALL_PT, color=colour or theme.foreground,
    )  # fmt: skip


def quartiles_of(figures: Figures) -> tuple[float, float] | None:
    """The first and third quartile, where they were found."""
    low, high = figures.get("q25"), figures.get("q75")
    return None if low is None or high is None else (low, high)


def _around_mean(figures: Figures) -> tuple[float, float] | None:
    mean, std = figures.get("mean"), figures.get("std")
    return None if mean is None or std is None else (mean - std, mean + std)


def _box_note(rows: Sequence[tuple[str, Figures]]) -> str:
    if any(quartiles_of(figures) for _, figures in rows):
        return "box: middle half of the values"
    return "box: mean ± standard deviation"
