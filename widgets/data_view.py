"""What preprocessing did: a picture to choose, the quality before and after, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as ipw

from labkit.figures.preprocess_step import (
    DRAWN,
    columns_of,
    has_overview,
    step_figure,
    step_in_words,
)
from labkit.figures.preprocess_words import said
from labkit.figures.preprocessing import preprocessing_figure
from labkit.figures.style import Theme
from labkit.preprocess.quality import DIMENSIONS, TOTAL, quality
from widgets.fields import dropdown, toggle
from widgets.live import LIVE_DPI, REST_DPI, LiveImage
from widgets.markup import folded, hint, table

OVERVIEW, ALL_COLUMNS = "overview", "all columns"
FIGURES = ("count", "missing", "min", "q25", "median", "q75", "max", "mean", "std")
WELCOME = (
    "Sources describe the same things in different ways, with gaps, slips and contradictions. "
    "Choose them, choose the steps, and press Preprocess to make one clean table of them."
)


class ReportView:
    """The results of the panel; only the pump writes it.

    Attributes:
        step, column: what is shown large.
        image: the picture.
        quality, about: markup.
        widget: all of them.
    """

    def __init__(self, image: LiveImage) -> None:
        self.image = image
        self.step = toggle("Show", {OVERVIEW: "one small picture of each step"}, "124px")
        self.column = dropdown("Column", [ALL_COLUMNS])
        self.column.layout = ipw.Layout(width="330px")
        self.quality, self.about = ipw.HTML(), ipw.HTML()
        self.choice = ipw.VBox([self.step, self.column])
        self.choice.add_class("lab-choice")
        self.widget = ipw.VBox([self.quality, self.choice, image.widget, self.about])
        self._drawn: Mapping[str, Any] | None = None  # what the picture shows
        self._key: tuple[Any, ...] = ()  # and how
        self._told: Mapping[str, Any] | None = None  # what the tables show

    def on_change(self, poke: Callable[[], None]) -> None:
        """Let a changed choice be looked at."""
        for control in (self.step, self.column):
            control.observe(lambda _: poke(), "value")

    def render(self, report: Mapping[str, Any] | None, theme: Theme, *, done: bool) -> None:
        """Show the report as far as it goes.

        Args:
            report: so far, replaced whenever it grows; ``None`` before the first step has ended.
            theme: of the page.
            done: whether nothing more will come: then there are tables, and sharper pictures.
        """
        if report is None or not report["steps"]:
            self._drawn = self._told = None
            self.image.clear()
            self.choice.layout.display = "none"
            self.quality.value = ""
            self.about.value = hint(WELCOME)
            return
        self._follow(report)
        step, column = str(self.step.value), str(self.column.value)
        key = (theme, step, column, done)
        if report is not self._drawn or key != self._key:
            self._drawn, self._key = report, key
            self._draw(report, theme, step, column, REST_DPI if done else LIVE_DPI)
        if self._told is not report or done != bool(self.about.value):
            self._told = report
            self.quality.value = quality_markup(report)
            self.about.value = _about(report) if done else ""

    def _follow(self, report: Mapping[str, Any]) -> None:
        """Offer the steps that there are, and the columns of the one that is shown."""
        steps = [step["name"] for step in report["steps"] if step["name"] in DRAWN]
        options = (OVERVIEW, *steps)
        if tuple(self.step.options) != options:
            chosen = self.step.value if self.step.value in options else OVERVIEW
            with self.step.hold_sync():
                self.step.options = options
                self.step.tooltips = ("one small picture of each step", *map(_looked_at, steps))
                self.step.value = chosen
        names: tuple[str, ...] = ()
        if self.step.value != OVERVIEW:
            names = columns_of(report, str(self.step.value))
            if has_overview(str(self.step.value)) and names:
                names = (ALL_COLUMNS, *names)
        if names and tuple(value for _, value in self.column.options) != names:
            chosen = self.column.value if self.column.value in names else names[0]
            with self.column.hold_sync():
                self.column.options = [(name, name) for name in names]
                self.column.value = chosen
        self.choice.layout.display = ""
        self.column.layout.display = "" if names else "none"

    def _draw(
        self, report: Mapping[str, Any], theme: Theme, step: str, column: str, dpi: int
    ) -> None:
        if step == OVERVIEW:
            figure, alt = preprocessing_figure(report, theme), _overview_in_words(report)
        else:
            figure = step_figure(report, step, theme, column)
            alt = step_in_words(report, step, column)
        self.image.show_rest(figure, alt, dpi)


def quality_markup(report: Mapping[str, Any]) -> str:
    """The score before and after, of each dimension and in all."""
    score = quality(report)
    cells = "".join(
        _dimension(name, score["before"][name], score["after"][name], score["how"][name])
        for name in (TOTAL, *DIMENSIONS)
    )
    return f'<div class="lab-quality" role="group" aria-label="Data quality">{cells}</div>'


def _dimension(name: str, before: float | None, after: float | None, how: str) -> str:
    shown = f"{_percent(before)} \u2192 {_percent(after)}"
    bars = "".join(
        f'<i class="{side}" style="--share:{100 * share:.2f}%"></i>'
        for side, share in (("before", before), ("after", after))
        if share is not None
    )
    label = "quality" if name == TOTAL else name
    return (
        f'<div class="{name}" title="{escape(how, quote=True)}"><span>{label}</span>'
        f"<b>{shown}</b>{bars}</div>"
    )


def _percent(share: float | None) -> str:
    """A share; one that is not whole never looks as if it were."""
    if share is None:
        return "?"
    return "100 %" if share == 1 else f"{100 * min(share, 0.999):.1f} %"


def _overview_in_words(report: Mapping[str, Any]) -> str:
    steps = ", ".join(str(step["name"]) for step in report["steps"])
    return (
        f"Preprocessing: {report['rows_in']:,} rows in, {report['rows_out']:,} rows out, "
        f"through {steps}"
    )


def _looked_at(step: str) -> str:
    return f"{step}, before and after, in one large picture"


def _about(report: Mapping[str, Any]) -> str:
    steps = table(
        "What each step did",
        ("step", "rows in", "rows out", "seconds", "what it did"),
        [
            (
                str(step["name"]),
                f"{step['rows_in']:,}",
                f"{step['rows_out']:,}",
                f"{step['seconds']:.2f}",
                str(step.get("note", "")),
            )
            for step in report["steps"]
        ],
        prose=True,
    )
    aside = f"{report['set_aside']:,} rows could not be used and were set aside, with the reason."
    return steps + f"<p>{aside}</p>" + _statistics(report) + _how(report)


def _statistics(report: Mapping[str, Any]) -> str:
    rows = [
        (column, *(said(figures.get(name)) for name in FIGURES), _most_often(figures))
        for column, figures in report["statistics"].items()
    ]
    if not rows:
        return ""
    columns = ("column", *FIGURES, "most often")
    return folded("Statistics of every column", table("As they were read", columns, rows))


def _most_often(figures: Mapping[str, Any]) -> str:
    return "-" if figures.get("mode") is None else str(figures["mode"])


def _how(report: Mapping[str, Any]) -> str:
    how = quality(report)["how"]
    rows = [(name, how[name]) for name in (*DIMENSIONS, TOTAL)]
    columns = ("dimension", "how it was counted")
    return folded("How quality was counted", table("Data quality", columns, rows, prose=True))
