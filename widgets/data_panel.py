"""Panel 2: let raw sources flow through the five steps of preprocessing, and look at each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError
from widgets.data_progress import TaskProgress
from widgets.data_sources import SourceForm, Sources
from widgets.data_steps import StepForm
from widgets.data_view import ReportView
from widgets.jobs import Pump
from widgets.markup import alert, file_links, note
from widgets.panel import DESCRIPTION, FULL, Panel, action_button
from widgets.run_export import export_folder, shown_paths
from widgets.state import LabState

NAME_LETTERS = 8  # of a dataset's folder, that tell it from others of the same name
UNFINISHED = object()  # no dataset: the report that is shown grows


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """What the controls say, read in one go."""

    sources: Sources
    steps: tuple[str, ...]
    settings: dict[str, dict[str, Any]]


class DataPanel(Panel):
    """Sources and steps on the left; progress of every task, then each step to look at."""

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=2, title="Data", verb="preprocess", state=state, pump=pump)
        self.sources, self.steps = SourceForm(), StepForm()
        self.tasks = TaskProgress()
        self._report: dict[str, Any] | None = None
        self._made: Any = None  # the newest dataset,
        self._made_on: Any = None  # which goes with its cluster
        self._reported: Any = None  # the dataset that the report is of, once it is complete
        self._saved_of: Any = None  # the dataset that the link is about
        self.start_button = action_button(
            "Preprocess", "cogs", "primary", "Read the sources and do the steps that are on"
        )
        self.stop_button = action_button("Stop", "stop", "danger", "Stop preprocessing")
        self.save_button = action_button(
            "Save report", "file-text-o", "", "Every figure and picture in one HTML page"
        )
        self.progress = ipw.FloatProgress(
            description="Progress", min=0, max=1, style=DESCRIPTION, layout=FULL
        )
        self.strips, self.files = ipw.HTML(), ipw.HTML()
        self.picture = self.new_image("lab-picture-data")
        self.view = ReportView(self.picture)
        self._build()

    def _build(self) -> None:
        buttons = ipw.HBox([self.start_button, self.stop_button])
        self.after = ipw.HBox([self.save_button])
        self.after.add_class("lab-after")
        self.save_button.layout.flex = "0 0 auto"
        self.fill(
            [self.sources.widget, self.steps.widget, buttons, self.progress],
            [self.strips, self.view.widget, self.after, self.files],
        )
        self.on_change(*self.sources.controls, *self.steps.controls)
        self.view.on_change(self.pump.poke)
        self.on_click(self.start_button, self.start)
        self.on_click(self.stop_button, self.job.stop)
        self.on_click(self.save_button, self.save)

    # -- jobs ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Preprocess what the controls say."""
        self.begin(self._preprocess, self.read, "preprocess")

    def save(self) -> None:
        """Write the report of the newest dataset as one page."""
        self.begin(self._save, lambda: self.dataset, "save the report")

    def read(self) -> DataSettings:
        """The settled controls, checked.

        Raises:
            SettingError: something that cannot be read.
        """
        return DataSettings(
            sources=self.sources.read(), steps=self.steps.steps, settings=self.steps.read()
        )

    def _preprocess(self, chosen: DataSettings) -> None:
        self.tasks = TaskProgress(("sources", *chosen.steps))
        self._report, self._reported = None, UNFINISHED
        sources = chosen.sources
        self.state.log(f"preprocessing {sources}: {', '.join(chosen.steps)}")
        dataset = self.state.engine.preprocess(
            sources.paths,
            cluster=self.cluster(),
            spec=sources.spec,
            label=sources.label,
            key=sources.key,
            rows=sources.rows,
            steps=chosen.steps,
            settings=chosen.settings,
            on_progress=self._note_progress,
            should_stop=self.job.stop_event.is_set,
        )
        report = dataset.to_json()
        self._made, self._made_on = dataset, self.state.cluster
        # Statistics alone leave nothing to train on: there is a report, but no training data.
        self.state.dataset = dataset if dataset.manifest["shards"] else None
        self.state.log(
            f"{report['rows_in']:,} rows became {report['rows_out']:,} clean ones in "
            f"{report['seconds']:.1f} s"
        )

    def _note_progress(self, step: str, done: int, total: int, report: dict[str, Any]) -> None:
        self.tasks.note(step, done, total)
        if self._report is None or len(report["steps"]) != len(self._report["steps"]):
            self._report = {**report, "steps": list(report["steps"])}

    def _save(self, dataset: Any) -> None:
        from labkit.preprocess.report_html import write_report_html

        name = f"data-{dataset.name}-{Path(dataset.folder).name[-NAME_LETTERS:]}"
        folder = export_folder(self.state.store, name)
        path = write_report_html(folder, dataset.to_json(), dataset.manifest)
        self.pump.call(lambda: self._show_files(file_links("Written:", shown_paths([path]))))

    def _show_files(self, markup: str) -> None:
        self.files.value = markup

    # -- display -------------------------------------------------------------------------------

    @property
    def dataset(self) -> Any:
        """The newest dataset, also one with nothing to train on; ``None`` without its cluster."""
        return self._made if self.state.cluster is self._made_on else None

    @property
    def _preprocessing(self) -> bool:
        return self.job.active and self.job.name == "preprocess"

    def render(self) -> None:
        """Controls, progress, and what there is of the report."""
        problem = ""
        try:
            self.read()
        except LabError as error:
            problem = str(error)
        self.sources.render(active=self.job.active)
        self.steps.render(active=self.job.active)
        ready = self.state.active_job is None and self.state.cluster is not None
        self.start_button.disabled = not ready or bool(problem)
        self.stop_button.disabled = self.job.state != "running" or not self._preprocessing
        self.render_message(alert(problem) or note(self._advice(), "Preprocessing"))
        self._render_progress()
        dataset = self.dataset
        if not self._preprocessing and dataset is not self._reported:
            self._report = None if dataset is None else dataset.to_json()
            self._reported = dataset
        done = dataset is not None and not self._preprocessing
        self.view.render(self._report, self.state.theme, done=done)
        self.after.layout.display = "" if done else "none"
        self.save_button.disabled = not (done and self.state.active_job is None)
        if dataset is not self._saved_of:
            self._saved_of = dataset
            self.files.value = ""

    def _render_progress(self) -> None:
        finished = self.dataset is not None
        self.progress.value = self.tasks.share() if self._preprocessing else float(finished)
        self.strips.value = self.tasks.html() if self._preprocessing else ""

    def _advice(self) -> str:
        if self._preprocessing:
            return self.tasks.in_words()
        if self.state.cluster is None:
            return "Launch workers first: the data are read, made and kept on their side."
        return ""
