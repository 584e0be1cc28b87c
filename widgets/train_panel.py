"""Panel 3: choose a workload and a plan, train, watch every rank, stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import ipywidgets as ipw

from labkit.errors import PlanError
from labkit.figures.attribution import attribution_figure
from labkit.figures.loss import LossPicture
from labkit.figures.style import Theme
from labkit.figures.timeline import TimelinePicture
from labkit.plan import STRATEGIES, Plan, Schedule, plan_for
from labkit.runs.record import RunRecord
from labkit.workload import WORKLOADS, Workload, find_workload
from widgets.jobs import Pump
from widgets.markup import alert, hint, note
from widgets.panel import DESCRIPTION, FULL, Panel, action_button, int_slider
from widgets.run_facts import attribution_alt, run_facts
from widgets.state import LabState

POLL_S = 0.05
END_S = 30.0  # a run that was asked to stop has ended long before
AUTO = 0  # let the plan choose its microbatches
MICROBATCHES = (("auto", AUTO), *((str(n), n) for n in (1, 2, 4, 8, 16, 32)))


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What the controls say, read in one go."""

    workload: Workload
    plan: Plan
    steps: int


class TrainPanel(Panel):
    """A strategy sets the degrees; the reader may then move each of them."""

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=3, title="Train", verb="train", state=state, pump=pump)
        self.workload = ipw.Dropdown(
            description="Workload", options=list(WORKLOADS), style=DESCRIPTION, layout=FULL
        )
        self.strategy = ipw.ToggleButtons(
            description="Strategy",
            options=list(STRATEGIES),
            style=ipw.ToggleButtonsStyle(button_width="74px", description_width="92px"),
        )
        self.devices = int_slider("Devices", 1, state.num_devices, state.num_devices)
        self.degrees = {
            axis: int_slider(f"{axis} ({name})", 1, state.num_devices, 1)
            for axis, name in (("dp", "data"), ("pp", "pipeline"), ("tp", "tensor"))
        }
        self.microbatches = ipw.SelectionSlider(
            description="Microbatches", options=list(MICROBATCHES), continuous_update=False,
            style=DESCRIPTION, layout=FULL,
        )  # fmt: skip
        self.schedule = ipw.Dropdown(
            description="Schedule", options=list(get_args(Schedule)), value="1f1b",
            style=DESCRIPTION, layout=FULL,
        )  # fmt: skip
        self.steps = int_slider("Steps", 20, 1000, 200, step=20)
        self.plan_note = ipw.HTML()
        self.start_button = action_button("Train", "play", "primary", "Start the ranks")
        self.stop_button = action_button("Stop", "stop", "danger", "End the run after this step")
        self.progress = ipw.IntProgress(
            description="Progress", min=0, max=1, style=DESCRIPTION, layout=FULL
        )
        self._choice: tuple[str, int] | None = None
        self._pictures: tuple[LossPicture, TimelinePicture] | None = None
        self._shown: tuple[Any, Theme, bool, int] | None = None
        self._build()

    def _build(self) -> None:
        self.loss = self.new_image("lab-picture-loss")
        self.timeline = self.new_image("lab-picture-timeline")
        self.attribution = self.new_image("lab-picture-attribution")
        self.about = ipw.HTML()
        settings: list[Any] = [
            self.workload, self.strategy, self.devices, *self.degrees.values(),
            self.microbatches, self.schedule, self.steps,
        ]  # fmt: skip
        buttons = ipw.HBox([self.start_button, self.stop_button])
        pictures = (self.loss, self.timeline, self.attribution)
        self.fill(
            [*settings, self.plan_note, buttons, self.progress],
            [*(picture.widget for picture in pictures), self.about],
        )
        self._settings = settings
        self.on_change(*settings)
        self.on_click(self.start_button, self.start)
        self.on_click(self.stop_button, self.job.stop)

    # -- the plan ------------------------------------------------------------------------------

    def read(self) -> TrainSettings:
        """The settled controls; on the pump's thread.

        Raises:
            PlanError: the plan does not fit the workload or the devices.
        """
        self._follow_strategy()
        workload = find_workload(str(self.workload.value))
        plan = Plan(
            dp=self.degrees["dp"].value,
            pp=self.degrees["pp"].value,
            tp=self.degrees["tp"].value,
            schedule=self.schedule.value,
            microbatches=self.microbatches.value or None,
        )
        plan.validate(workload, self.devices.value)
        return TrainSettings(workload, plan, int(self.steps.value))

    def _follow_strategy(self) -> None:
        """A newly chosen strategy or device count sets the degrees; later moves are kept."""
        available = self.state.num_devices
        if self.devices.max != available:
            everything = self.devices.value in (self.devices.max, available)
            self.devices.max = available
            if everything:
                self.devices.value = available
        choice = (str(self.strategy.value), int(self.devices.value))
        if choice == self._choice:
            return
        self._choice = choice
        plan = plan_for(*choice)
        for axis, slider in self.degrees.items():
            slider.max = choice[1]
            slider.value = getattr(plan, axis)
        self.microbatches.value = AUTO

    # -- the run -------------------------------------------------------------------------------

    def start(self) -> None:
        """Train what the controls say."""
        self.begin(self._train, self.read)

    def _train(self, settings: TrainSettings) -> None:
        self.state.log(f"training {_said(settings)}")
        run = self.state.engine.train(
            settings.workload,
            settings.plan,
            self.cluster(),
            steps=settings.steps,
            dataset=self.state.dataset_of(settings.workload),
            should_stop=self.job.stop_event.is_set,
        )
        self.state.run = run
        while not run.done:
            if self.job.stop_event.wait(POLL_S):
                run.stop()
                break
        record: RunRecord = run.wait(END_S)
        speed = f"{record.throughput_samples_per_s:,.0f} samples/s"
        self.state.log(f"{len(record.steps)} steps, {speed}")

    # -- display -------------------------------------------------------------------------------

    def render(self) -> None:
        """Controls and plan, then the run as it is now."""
        problem = ""
        try:
            self.plan_note.value = note(f"Plan: {_said(self.read())}", "Plan")
        except PlanError as error:
            problem = str(error)
            self.plan_note.value = alert(problem)
        pipeline = int(self.degrees["pp"].value) > 1
        for control in self._settings:
            idle = control in self.degrees.values() and control.max == 1
            idle = idle or (control is self.schedule and not pipeline)
            control.disabled = self.job.active or idle
        ready = self.state.active_job is None and self.state.cluster is not None
        self.start_button.disabled = not ready or bool(problem)
        self.stop_button.disabled = self.job.state != "running"
        missing = "" if self.state.cluster else "Launch workers first."
        self.render_message(note(missing, "Training"))
        self._render_run()

    def _render_run(self) -> None:
        run = self.state.run
        if run is None:
            self.about.value = hint(
                "Press Train: the loss of every step and the time of every rank appear here while "
                "the ranks work."
            )
            return
        done = bool(run.done)
        record: RunRecord = run.view()
        shown = (run, self.state.theme, done, len(record.steps))
        if shown == self._shown:
            return
        if self._shown is None or self._shown[:2] != (run, self.state.theme):
            theme = self.state.theme
            self._pictures = (LossPicture(record, theme), TimelinePicture(record, theme))
            self.attribution.clear()
            self.about.value = hint("The ranks are starting ...")
        assert self._pictures is not None
        self._shown = shown
        self.progress.max = max(record.planned_steps, 1)
        self.progress.value = len(record.steps)
        for image, picture in zip((self.loss, self.timeline), self._pictures, strict=True):
            image.show_live(picture, record)
            if done:
                image.show_rest(picture.figure, picture.alt)
        if record.steps:
            self.about.value = run_facts(record)
        if done and sum(record.attribution_s.values()) > 0:
            figure = attribution_figure(record, theme=self.state.theme)
            self.attribution.show_rest(figure, attribution_alt(record))


def _said(settings: TrainSettings) -> str:
    plan = settings.plan
    ranks = "1 rank" if plan.world_size == 1 else f"{plan.world_size} ranks"
    degrees = f"dp={plan.dp} pp={plan.pp} tp={plan.tp}"
    pieces = ""
    if plan.num_microbatches > 1:
        pieces = f", {plan.num_microbatches} microbatches"
        pieces += f" by {plan.schedule}" if plan.pp > 1 else ""
    return (
        f"{settings.workload.name}, {plan.strategy}: {degrees}, {ranks}{pieces}; "
        f"{settings.steps} steps of {settings.workload.global_batch} samples"
    )
