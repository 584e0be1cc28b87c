"""Panel 3: choose a workload and a plan, see what it needs, train, watch every rank, check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from labkit.cluster.place_in_line import describe_place
from labkit.errors import LabError
from labkit.figures.remark import remark_on
from labkit.runs.record import RunRecord
from labkit.runs.store import RunStore
from widgets.forecast_view import ForecastView
from widgets.jobs import Job, Pump
from widgets.markup import alert, file_links, note
from widgets.panel import DESCRIPTION, FULL, Panel, action_button
from widgets.parity_badge import parity_badge
from widgets.profiler import Profiler
from widgets.run_banner import beyond_cores, planned_note
from widgets.run_export import export_csv, export_trace, shown_paths
from widgets.run_view import RunView
from widgets.state import LabState
from widgets.train_form import TrainForm, TrainSettings, said

POLL_S = 0.05
END_S = 30.0  # a run that was asked to stop has ended long before
PLAN_TAB, LOSS_TAB = 0, 1


class TrainPanel(Panel):
    """A form on the left; what it foresees and what its run showed in tabs on the right."""

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=3, title="Train", verb="train", state=state, pump=pump)
        self.form = TrainForm(state)
        self.profiler = Profiler(state, pump.poke)
        self.keep_job = Job("keep the run", state.log, pump.poke, quiet=True)
        state.background.append(self.keep_job)  # Stop does not wait for the disk
        self.predict_button = action_button("Predict", "lightbulb-o", "", "Memory and step time")
        self.forecast = ForecastView(
            state,
            self.new_image("lab-picture-mesh", kept=False),
            self.new_image("lab-picture-predicted-memory", kept=False),
            self.predict_button,
        )
        self.view = RunView(self.new_image)
        self.plan_note = ipw.HTML()
        self.start_button = action_button("Train", "play", "primary", "Start the ranks")
        self.stop_button = action_button("Stop", "stop", "danger", "End the run after this step")
        self.progress = ipw.IntProgress(
            description="Progress", min=0, max=1, style=DESCRIPTION, layout=FULL
        )
        self.parity_button = action_button(
            "Check against one process", "balance-scale", "", "Train the same once more, unsplit"
        )
        self.csv_button = action_button("Export CSV", "table", "", "Steps and spans as tables")
        self.trace_button = action_button(
            "Export trace", "film", "", "The timeline for ui.perfetto.dev"
        )
        self.badge = ipw.HTML()
        self.files = ipw.HTML()
        self._said_of: Any = None  # the run that badge and files are about
        self._trained_on: Any = None  # the dataset of the newest run
        self._build()

    def _build(self) -> None:
        self.tabs = ipw.Tab([self.forecast.widget, *self.view.tabs.values()])
        self.tabs.titles = ("Plan", *self.view.tabs)
        self.after = ipw.HBox([self.parity_button, self.csv_button, self.trace_button])
        self.after.add_class("lab-after")
        for button in self.after.children:
            button.layout.flex = "0 0 auto"  # as wide as its words
        buttons = ipw.HBox([self.start_button, self.stop_button])
        self.fill(
            [self.form.widget, self.plan_note, buttons, self.progress],
            [self.view.banner, self.badge, self.after, self.files, self.tabs],
        )
        self.form.on_change(self.pump.poke)
        self.tabs.observe(lambda _: self.pump.poke(), "selected_index")
        self.on_click(self.start_button, self.start)
        self.on_click(self.stop_button, self.job.stop)
        self.on_click(self.predict_button, self.predict)
        self.on_click(self.parity_button, self.check)
        self.on_click(self.csv_button, lambda: self.export(export_csv))
        self.on_click(self.trace_button, lambda: self.export(export_trace))

    # -- jobs ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Train what the controls say."""
        self.begin(self._train, self._read_to_train, "train")

    def predict(self) -> None:
        """Find what the forecast follows from; prepares the workload's data if need be."""
        self.begin(self._predict, self.form.read, "predict")

    def check(self) -> None:
        """Train the finished run once more in one process, and say how far apart the two are."""
        self.begin(self._check, lambda: self.state.run, "check")

    def export(self, write: Callable[[RunRecord, RunStore], list[Path]]) -> None:
        """Write the finished run's files."""
        self.begin(lambda run: self._export(run, write), lambda: self.state.run, "export")

    def _read_to_train(self) -> TrainSettings:
        settings = self.form.read()
        self.tabs.selected_index = LOSS_TAB
        return settings

    def _train(self, settings: TrainSettings) -> None:
        self.state.log(f"training {said(settings)}")
        self._trained_on = self.state.dataset_of(settings.workload)
        run = self.state.engine.train(
            settings.workload,
            settings.plan,
            self.cluster(),
            steps=settings.steps,
            dataset=self._trained_on,
            keep_weights=True,
            emulate=settings.emulate,
            time_scale=settings.time_scale,
            max_restarts=settings.max_restarts,
            on_failure=settings.on_failure,
            checkpoint_every=settings.checkpoint_every,
            should_stop=self.job.stop_event.is_set,
            queue_s=settings.queue_s,
        )
        self.state.run = run
        while not run.done:
            if self.job.stop_event.wait(POLL_S):
                run.stop()
                break
        try:
            record: RunRecord = run.wait(END_S)
        finally:
            self.keep_job.start(lambda: self._keep(run.view()))
        speed = f"{record.throughput_samples_per_s:,.0f} samples/s"
        self.state.log(f"{len(record.steps)} steps, {speed}")

    def _keep(self, record: RunRecord) -> None:
        if record.steps:
            self.state.store.save(record)
            self.state.num_stored += 1

    def _predict(self, settings: TrainSettings) -> None:
        self.cluster()
        self.profiler.find(settings.workload, self.job.stop_event.is_set)

    def _check(self, run: Any) -> None:
        parity = self.state.engine.check_parity(
            run,
            self.cluster(),
            dataset=self._trained_on,
            should_stop=self.job.stop_event.is_set,
        )
        self.pump.call(lambda: self._show_badge(parity_badge(parity)))

    def _show_badge(self, markup: str) -> None:
        self.badge.value = markup

    def _export(self, run: Any, write: Callable[[RunRecord, RunStore], list[Path]]) -> None:
        paths = write(run.view(), self.state.store)
        self.pump.call(lambda: self._show_files(file_links("Written:", shown_paths(paths))))

    def _show_files(self, markup: str) -> None:
        self.files.value = markup

    # -- display -------------------------------------------------------------------------------

    @property
    def kind_note(self) -> str:
        """What kind of run is shown, or will be made."""
        run = self.state.run
        if run is not None:
            return remark_on([run.view()]).kind_note
        return planned_note(self.form.clock.read_device())

    def render(self) -> None:
        """Controls and plan, then the run as it is now."""
        settings, problem = None, ""
        try:
            settings = self.form.read()
        except LabError as error:
            problem = str(error)
        self.form.render(active=self.job.active)
        self.plan_note.value = alert(problem) if settings is None else self._noted(settings)
        ready = self.state.active_job is None and self.state.cluster is not None
        self.start_button.disabled = not ready or bool(problem)
        checking = self.job.active and self.job.name == "check"
        self.stop_button.disabled = self.job.state != "running"
        said_now = "" if self.state.cluster else "Launch workers first."
        if self._training and self.state.run is not None:
            position = self.state.run.view().queue_position
            said_now = f"{describe_place(position)}." if position else said_now
        if checking:
            said_now = f"Repeating {len(self.state.run.view().steps)} steps in one process ..."
        self.render_message(note(said_now, "Training"))
        if settings is not None:
            self.profiler.follow(settings.workload)
        self._render_forecast(settings)
        self._render_run(ready=ready)

    def _noted(self, settings: TrainSettings) -> str:
        num_ranks = settings.plan.world_size
        cores = self.state.cores_beyond(num_ranks)
        emulated = settings.emulate is not None
        warned = beyond_cores(num_ranks, cores, emulated)
        return note(f"Plan: {said(settings)}", "Plan") + warned

    def _render_forecast(self, settings: TrainSettings | None) -> None:
        """Only while its tab is open: a picture costs more than a step of a small model."""
        if self.tabs.selected_index != PLAN_TAB:
            return
        profile = self.profiler.of(settings.workload) if settings is not None else None
        searching = self.profiler.job.active
        searching |= self.job.active and self.job.name == "predict"
        self.forecast.render(
            settings,
            profile,
            self.form.clock.declared() if settings is not None else None,
            busy=searching or self.state.active_job is not None,
            searching=searching,
            trouble=self.profiler.job.error,
        )

    @property
    def _training(self) -> bool:
        """Whether a run is on its way, or about to be said to have ended."""
        return self.job.active and self.job.name == "train"

    def _render_run(self, *, ready: bool) -> None:
        run = self.state.run
        if run is not None:
            record = run.view()
            self.progress.max = max(record.planned_steps, 1)
            self.progress.value = len(record.steps)
        ended = run is not None and bool(run.done) and not self._training
        self.view.render(run, self.state.theme, done=ended)
        if run is not self._said_of:
            self._said_of = run
            self.badge.value = self.files.value = ""
        self.after.layout.display = "none" if run is None else ""
        for button in (self.parity_button, self.csv_button, self.trace_button):
            button.disabled = not (ready and ended and run.view().steps)
