"""Panel 2: let the raw sources flow through the five steps of preprocessing."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw

from labkit.figures.preprocessing import preprocessing_figure
from labkit.figures.style import Theme
from labkit.preprocess.report import STEPS
from widgets.jobs import Pump
from widgets.live import LIVE_DPI, REST_DPI
from widgets.markup import folded, hint, note, table
from widgets.panel import DESCRIPTION, FULL, Panel, action_button
from widgets.state import LabState

STAGES = ("sources", *STEPS)
ROWS = (5_000, 20_000, 50_000, 100_000, 200_000)
FIGURES = ("count", "missing", "min", "max", "mean", "median", "variance", "std")


class DataPanel(Panel):
    """Progress per step while it runs; what each step did afterwards."""

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=2, title="Data", verb="preprocess", state=state, pump=pump)
        self._progress = ("", 0, 1)
        self._report: dict[str, Any] | None = None
        self._drawn: tuple[dict[str, Any], Theme] | None = None
        self.rows_slider = ipw.SelectionSlider(
            description="Fruits",
            options=[(f"{rows:,}", rows) for rows in ROWS],
            value=20_000,
            continuous_update=False,
            style=DESCRIPTION,
            layout=FULL,
        )
        self.start_button = action_button(
            "Preprocess", "cogs", "primary", "Make the three sources, then clean them"
        )
        self.stop_button = action_button("Stop", "stop", "danger", "Stop preprocessing")
        self.progress = ipw.FloatProgress(
            description="Progress", min=0, max=len(STAGES), style=DESCRIPTION, layout=FULL
        )
        self.picture = self.new_image("lab-picture-data")
        self.about = ipw.HTML()
        buttons = ipw.HBox([self.start_button, self.stop_button])
        self.fill([self.rows_slider, buttons, self.progress], [self.picture.widget, self.about])
        self.on_change(self.rows_slider)
        self.on_click(self.start_button, self.start)
        self.on_click(self.stop_button, self.job.stop)

    def start(self) -> None:
        """Preprocess as many fruits as the slider says."""
        self.begin(self._preprocess, lambda: int(self.rows_slider.value))

    def _preprocess(self, rows: int) -> None:
        self._progress = ("", 0, 1)
        self._report = None
        self.state.dataset = self.state.engine.preprocess(
            None,
            cluster=self.cluster(),
            rows=rows,
            on_progress=self._note_progress,
            should_stop=self.job.stop_event.is_set,
        )
        self._report = report = self.state.dataset.to_json()
        self.state.log(
            f"{report['rows_in']:,} rows from three sources became {report['rows_out']:,} clean "
            f"ones in {report['seconds']:.1f} s"
        )

    def _note_progress(self, step: str, done: int, total: int, report: dict[str, Any]) -> None:
        self._progress = (step, done, max(total, 1))
        if self._report is None or len(report["steps"]) != len(self._report["steps"]):
            self._report = {**report, "steps": list(report["steps"])}

    def render(self) -> None:
        """Controls, progress, and the picture once there is a dataset."""
        busy = self.state.active_job is not None
        self.rows_slider.disabled = self.job.active
        self.start_button.disabled = busy or self.state.cluster is None
        self.stop_button.disabled = self.job.state != "running"
        advice = note(self._advice(), "Preprocessing")
        self.render_message(advice)
        self._render_progress()
        if self.state.dataset is None and not self.job.active:
            self._report = None
        self._render_report()

    def _render_report(self) -> None:
        """The picture grows step by step; it is drawn only when something was added."""
        report = self._report
        if report is None or not report["steps"]:
            self._drawn = None
            self.picture.clear()
            self.about.value = hint(
                "Three sources describe the same fruits in three ways: Parquet files, a database, "
                "and a questionnaire. Press Preprocess to make one clean table of them."
            )
        elif (
            self._drawn is None
            or self._drawn[0] is not report
            or self._drawn[1] is not self.state.theme
        ):
            self._drawn = (report, self.state.theme)
            figure = preprocessing_figure(report, self.state.theme)
            done = self.state.dataset is not None
            self.picture.show_rest(figure, _alt(report), REST_DPI if done else LIVE_DPI)
            self.about.value = _about(report) if done else ""

    def _render_progress(self) -> None:
        step, done, total = self._progress
        if self.job.active and step in STAGES:
            self.progress.value = STAGES.index(step) + min(done / total, 1.0)
        else:
            self.progress.value = len(STAGES) if self.state.dataset is not None else 0.0

    def _advice(self) -> str:
        step, done, total = self._progress
        if self.job.active and step in STAGES:
            return f"{STAGES.index(step) + 1} of {len(STAGES)}, {step}: task {done} of {total}"
        if self.state.cluster is None:
            return "Launch workers first: the data are made and stay on their side."
        return ""


def _alt(report: dict[str, Any]) -> str:
    steps = ", ".join(str(step["name"]) for step in report["steps"])
    return (
        f"Preprocessing: {report['rows_in']:,} rows in, {report['rows_out']:,} rows out, "
        f"through {steps}"
    )


def _about(report: dict[str, Any]) -> str:
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
    statistics = table(
        "Statistics of the raw columns",
        ("column", *FIGURES),
        [
            (column, *(_number(figures.get(name)) for name in FIGURES))
            for column, figures in report["statistics"].items()
        ],
    )
    aside = f"{report['set_aside']:,} rows could not be read and were set aside."
    return steps + folded("Statistics of every column", statistics) + f"<p>{aside}</p>"


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
