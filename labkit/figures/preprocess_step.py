"""One step of preprocessing as one large picture, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from labkit.errors import SettingError
from labkit.figures.preprocess_cleaning import cleaning_figure, columns_drawn
from labkit.figures.preprocess_integration import integration_figure
from labkit.figures.preprocess_reduction import reduction_figure
from labkit.figures.preprocess_statistics import statistics_figure
from labkit.figures.preprocess_transformation import inputs_drawn, transformation_figure
from labkit.figures.preprocess_words import named_unit, step_entry
from labkit.figures.style import LIGHT, Theme

DRAWN = ("statistics", "integration", "cleaning", "reduction", "transformation")


def step_figure(
    report: Mapping[str, Any], step: str, theme: Theme = LIGHT, column: str | None = None
) -> Figure:
    """The large picture of one step.

    Args:
        report: ``Dataset.to_json()``, or the report so far.
        step: one of ``DRAWN``; one that did not run is said to be so.
        theme: light or dark.
        column: one of ``columns_of(report, step)``; ``None`` and any other take the usual view.
    Returns:
        A figure 900 px wide at 100 dpi.
    Raises:
        SettingError: no step has that name.
    """
    chosen = column if column in columns_of(report, step) else None
    if step == "statistics":
        return statistics_figure(report, theme, chosen)
    if step == "integration":
        return integration_figure(report, theme)
    if step == "cleaning":
        return cleaning_figure(report, theme, chosen)
    if step == "reduction":
        return reduction_figure(report, theme)
    return transformation_figure(report, theme, chosen)


def step_in_words(report: Mapping[str, Any], step: str, column: str | None = None) -> str:
    """The picture of a step in one sentence, for those who cannot see it."""
    shown = {
        "statistics": "range, median and gaps of each column",
        "integration": "rows by source, what became of them, and conflicts",
        "cleaning": "distribution before and after, gaps and repairs",
        "reduction": "rows along two components, variance explained, columns dropped",
        "transformation": "distributions of the inputs before and after",
    }[step]
    of = f" of {named_unit(column)}" if column in columns_of(report, step) and column else ""
    note = step_entry(report, step).get("note")
    return f"{step.capitalize()}{of}: {shown}" + (f". {note}" if note else "")


def columns_of(report: Mapping[str, Any], step: str) -> tuple[str, ...]:
    """Columns of which a step has a picture of their own; empty where there is one for all.

    Raises:
        SettingError: no step has that name.
    """
    if step not in DRAWN:
        raise SettingError(f"step {step!r} has no picture; choose from {', '.join(DRAWN)}")
    if step == "statistics":
        return tuple(report.get("statistics") or ())
    if step == "cleaning":
        return tuple(columns_drawn(report))
    if step == "transformation":
        return tuple(inputs_drawn(report))
    return ()


def has_overview(step: str) -> bool:
    """Whether a step has a picture of all columns at once, beside those of single ones."""
    return step != "cleaning"
