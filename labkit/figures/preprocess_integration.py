"""Step 2, integration, to look at: what came from where, what became of it, who disagreed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from labkit.figures.preprocess_words import named_unit, picture_of, said, step_entry
from labkit.figures.style import SMALL_PT, Theme, style_axes
from labkit.figures.wrap import wrapped

HEIGHT_IN = 4.3
TOP_IN = 0.86
ROWS = 8
TAKEN = {
    "duplicates": "duplicates removed",
    "merged": "merged into others",
    "set_aside": "set aside",
}


def integration_figure(report: Mapping[str, Any], theme: Theme) -> Figure:
    """Rows of the sources as a waterfall; conflicts by column; reasons for setting rows aside.

    Where the report says which source each column's values came from (``came_from``), that is
    drawn in the place of the conflicts, which are then written beside the columns.
    """
    step = step_entry(report, "integration")
    picture = picture_of(report, "integration")
    details = step.get("details") or {}
    figure = headed_figure("Integration: what came from where", HEIGHT_IN, theme)
    rows = box(figure, theme, left=0.15, width=3.9, bottom=0.2, height=HEIGHT_IN - TOP_IN - 0.2)
    _waterfall(rows, theme, picture, step)
    provenance = details.get("came_from") or picture.get("came_from")
    top_height = 1.62
    top = box(
        figure, theme, left=4.75, width=4.05, bottom=HEIGHT_IN - TOP_IN - top_height,
        height=top_height,
    )  # fmt: skip
    conflicts = details.get("conflicts") or picture.get("conflicts") or {}
    lookups = details.get("lookups") or {}
    if lookups and len(picture.get("rows_per_source") or ()) < 2:
        _lookups(top, theme, lookups, step.get("rows_out") or 0)
    elif provenance:
        _provenance(figure, top, theme, provenance, conflicts)
    else:
        _conflicts(top, theme, conflicts)
    low = box(figure, theme, left=4.75, width=4.05, bottom=0.2, height=1.12)
    _reasons(low, theme, details.get("set_aside_reasons") or {})
    return figure


def _waterfall(
    axes: Axes, theme: Theme, picture: Mapping[str, Any], step: Mapping[str, Any]
) -> None:
    """Sources add up; what is taken away leads down to what is left."""
    sources = picture.get("rows_per_source") or {}
    total = 0.0
    bars = []
    names = list(sources.items())
    if len(names) > ROWS - 4:
        rest = names[ROWS - 5 :]
        names = [*names[: ROWS - 5], (f"{len(rest)} more sources", sum(n for _, n in rest))]
    for name, count in names:
        bars.append(Bar(str(name), count, accent(theme), total))
        total += count
    for key, words in TAKEN.items():
        taken = picture.get(key)
        if taken is not None:
            total -= taken
            bars.append(Bar(f"- {words}", taken, theme.spans["comm_dp"], max(total, 0.0)))
    left = picture.get("rows_out", step.get("rows_out"))
    if left is not None:
        bars.append(Bar("= rows after integration", left, theme.spans["optimizer"]))
    head(axes, theme, "rows")
    if bars:
        draw_bars(axes, theme, bars, rows=max(len(bars), 6))
    else:
        say_nothing(axes, theme, "integration did not run")


def _conflicts(axes: Axes, theme: Theme, conflicts: Mapping[str, int]) -> None:
    head(axes, theme, "values on which sources disagree, by column")
    found = sorted(((n, c) for n, c in conflicts.items() if c), key=lambda item: -item[1])
    if not found:
        say_nothing(axes, theme, "none: the source of higher priority was never contradicted")
        return
    colour = theme.spans["comm_tp"]
    draw_bars(axes, theme, [Bar(named_unit(n), c, colour) for n, c in found], rows=4)


def _lookups(axes: Axes, theme: Theme, lookups: Mapping[str, Mapping[str, int]], rows: int) -> None:
    """Tables that were joined: rows for which they have nothing."""
    head(axes, theme, "rows for which a joined table has nothing")
    bars = [
        Bar(name, counts.get("unmatched", 0), theme.spans["comm_dp"])
        for name, counts in lookups.items()
    ]
    draw_bars(axes, theme, bars, rows=4, percent_of=rows)


def _provenance(
    figure: Figure,
    axes: Axes,
    theme: Theme,
    provenance: Mapping[str, Mapping[str, int]],
    conflicts: Mapping[str, int],
) -> None:
    """By column, the share of its values that each source gave; a gap has none."""
    sources = list(dict.fromkeys(name for each in provenance.values() for name in each))
    colours = class_colours(theme, sources)
    shown = list(provenance.items())[:7]
    for row, (column, counts) in enumerate(shown):
        total, start = sum(counts.values()) or 1, 0.0
        for source, count in counts.items():
            axes.barh(row, count / total, left=start, height=0.62, color=colours[source])
            start += count / total
        if conflicts.get(column):
            axes.text(
                1.02, row, f"{said(conflicts[column])} conflicts", va="center",
                fontsize=SMALL_PT, color=theme.muted,
            )  # fmt: skip
    style_axes(axes, theme)
    axes.spines[["left", "bottom"]].set_visible(False)
    names = [wrapped(named_unit(column), 16, 1) for column, _ in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=SMALL_PT)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.set_xlim(0, 1.35)
    axes.set_ylim(max(len(shown), 4) - 0.5, -0.5)
    box_of = axes.get_position()
    axes.set_position((box_of.x0 + 0.11, box_of.y0, box_of.width - 0.11, box_of.height))
    head(axes, theme, "who gave the values of each column")
    class_legend(figure, theme, colours, left=4.75, top=0.48)


def _reasons(axes: Axes, theme: Theme, reasons: Mapping[str, int]) -> None:
    head(axes, theme, "rows set aside, by reason")
    found = sorted(((n, c) for n, c in reasons.items() if c), key=lambda item: -item[1])
    if not found:
        say_nothing(axes, theme, "none")
        return
    bars = [Bar(wrapped(name, 44, 1), count, theme.spans["comm_dp"]) for name, count in found]
    draw_bars(axes, theme, bars, rows=3, size_pt=SMALL_PT)
