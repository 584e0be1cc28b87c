"""Panel 4: the speedup of strategies over device counts, point by point."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError
from labkit.figures.speedup import SpeedupPicture
from labkit.figures.style import Theme
from labkit.plan import STRATEGIES, Plan
from labkit.runs.curve import Curve
from labkit.runs.sweep import DEFAULT_STEPS, plan_sweep
from labkit.workload import WORKLOADS, Workload, find_workload
from widgets.jobs import Pump
from widgets.markup import alert, hint, note, table
from widgets.panel import DESCRIPTION, FULL, Panel, action_button, int_slider
from widgets.state import LabState


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What the controls say, read in one go."""

    workload: Workload
    strategies: tuple[str, ...]
    devices: tuple[int, ...]
    steps: int
    repeats: int
    scaling: Any

    num_runs: int  # plans that are equal, and the baseline, are run once a repeat


class ComparePanel(Panel):
    """Measures every chosen strategy on every device count, the baseline in the same sweep."""

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=4, title="Compare", verb="sweep", state=state, pump=pump)
        self.workload = ipw.Dropdown(
            description="Workload", options=list(WORKLOADS), style=DESCRIPTION, layout=FULL
        )
        self.strategies = {
            name: ipw.Checkbox(
                description=name, value=True, indent=False, layout=ipw.Layout(width="48%")
            )
            for name in STRATEGIES
        }
        self.devices = ipw.SelectionSlider(
            description="Devices", options=_device_options(state.num_devices),
            value=_device_options(state.num_devices)[-1][1], continuous_update=False,
            style=DESCRIPTION, layout=FULL,
        )  # fmt: skip
        self.repeats = int_slider("Repeats", 1, 5, 3)
        self.steps = int_slider("Steps", 6, 60, DEFAULT_STEPS, step=2)
        self.scaling = ipw.ToggleButtons(
            description="Scaling", options=["strong", "weak"],
            tooltips=["the global batch stays", "the batch per device stays"],
            style=ipw.ToggleButtonsStyle(button_width="74px", description_width="92px"),
        )  # fmt: skip
        self.plan_note = ipw.HTML()
        self.start_button = action_button("Sweep", "line-chart", "primary", "Measure each point")
        self.stop_button = action_button("Stop", "stop", "danger", "Keep the points so far")
        self.progress = ipw.IntProgress(
            description="Progress", min=0, max=1, style=DESCRIPTION, layout=FULL
        )
        self.picture = self.new_image("lab-picture-speedup")
        self.about = ipw.HTML()
        self._live: SpeedupPicture | None = None
        self._runs_done = 0
        self._asked: SweepSettings | None = None
        self._drawn: tuple[int, Theme, bool] | None = None
        self._build()

    def _build(self) -> None:
        boxes = ipw.HBox(list(self.strategies.values()), layout=ipw.Layout(flex_flow="row wrap"))
        boxes.add_class("lab-strategies")
        self._settings: list[Any] = [
            self.workload, *self.strategies.values(), self.devices, self.repeats, self.steps,
            self.scaling,
        ]  # fmt: skip
        self.fill(
            [
                self.workload, boxes, self.devices, self.repeats, self.steps, self.scaling,
                self.plan_note, ipw.HBox([self.start_button, self.stop_button]), self.progress,
            ],
            [self.picture.widget, self.about],
        )  # fmt: skip
        self.on_change(*self._settings)
        self.on_click(self.start_button, self.start)
        self.on_click(self.stop_button, self.job.stop)

    def read(self) -> SweepSettings:
        """The settled controls, checked; on the pump's thread.

        Raises:
            LabError: nothing chosen, or a plan that does not fit.
        """
        self._follow_workers()
        workload = find_workload(str(self.workload.value))
        strategies = tuple(name for name, box in self.strategies.items() if box.value)
        devices = tuple(self.devices.value)
        repeats = int(self.repeats.value)
        points = plan_sweep(
            workload,
            strategies,
            devices,
            scaling=self.scaling.value,
            num_workers=self.state.num_devices,
        )
        return SweepSettings(
            workload=workload,
            strategies=strategies,
            devices=devices,
            steps=int(self.steps.value),
            repeats=repeats,
            scaling=self.scaling.value,
            num_runs=repeats * len({Plan(), *(point.plan for point in points)}),
        )

    def _follow_workers(self) -> None:
        options = _device_options(self.state.num_devices)
        if list(self.devices.options) != options:
            self.devices.options = options  # selects the first
            self.devices.value = options[-1][1]

    def start(self) -> None:
        """Sweep what the controls say."""
        self.begin(self._sweep, self.read)

    def _sweep(self, settings: SweepSettings) -> None:
        self.pump.call(lambda: self._forget(settings))
        self.state.log(f"sweep: {settings.num_runs} runs")
        self.state.curve = self.state.engine.sweep(
            settings.workload,
            cluster=self.cluster(),
            strategies=settings.strategies,
            devices=settings.devices,
            steps=settings.steps,
            repeats=settings.repeats,
            scaling=settings.scaling,
            dataset=self.state.dataset_of(settings.workload),
            on_update=self._note_update,
            should_stop=self.job.stop_event.is_set,
        )

    def _forget(self, settings: SweepSettings) -> None:
        """Make room for a new curve; on the pump's thread, which may be drawing the old one."""
        self._asked, self._live, self._runs_done = settings, None, 0
        self.state.curve = None

    def _note_update(self, curve: Curve) -> None:
        shown = copy(curve)  # the engine goes on with its own
        shown.points = list(curve.points)
        self._runs_done += 1
        self.state.curve = shown
        self.pump.poke()

    def render(self) -> None:
        """Controls, then the curve as far as it has come."""
        problem = ""
        try:
            self.plan_note.value = note(f"Plan: {_said(self.read())}", "Sweep plan")
        except LabError as error:
            problem = str(error)
            self.plan_note.value = alert(problem)
        for control in self._settings:
            control.disabled = self.job.active
        ready = self.state.active_job is None and self.state.cluster is not None
        self.start_button.disabled = not ready or bool(problem)
        self.stop_button.disabled = self.job.state != "running"
        missing = "" if self.state.cluster else "Launch workers first."
        self.render_message(note(missing, "Comparing"))
        self._render_curve()

    def _render_curve(self) -> None:
        curve = self.state.curve
        asked = self._asked
        self.progress.max = asked.num_runs if asked is not None else 1
        ended = self.job.state == "done"
        self.progress.value = self.progress.max if ended else self._runs_done
        if curve is None or asked is None:
            self._drawn = None
            said = "The first run of the sweep is the baseline: one device ..."
            self.about.value = hint(said if self.job.active else _WAITING)
            self.picture.clear()
            return
        drawn = (self._runs_done, self.state.theme, self.job.active)
        if drawn == self._drawn:
            return
        if self._live is None or self._live.theme is not self.state.theme:
            self._live = SpeedupPicture(curve, asked.devices, self.state.theme)
        self._drawn = drawn
        self.picture.show_live(self._live, curve)
        if not self.job.active:
            self.picture.show_rest(self._live.figure, self._live.alt)
        self.about.value = _table(curve)


_WAITING = (
    "What speedup do you expect from 2 and from 4 devices? Write it down, then press Sweep: the "
    "points appear one by one beside the ideal line."
)


def _device_options(num_devices: int) -> list[tuple[str, tuple[int, ...]]]:
    """Doubling device counts up to what there is: "1, 2, 4" means those three."""
    counts = [1]
    while counts[-1] < num_devices:
        counts.append(min(2 * counts[-1], num_devices))
    ladders = [tuple(counts[: end + 1]) for end in range(len(counts))]
    return [(", ".join(map(str, ladder)), ladder) for ladder in ladders]


def _said(settings: SweepSettings) -> str:
    strategies = ", ".join(settings.strategies)
    devices = ", ".join(map(str, settings.devices))
    return (
        f"{settings.workload.name}: {strategies} on {devices} devices, {settings.scaling} scaling; "
        f"{settings.num_runs} runs of {settings.steps} steps"
    )


def _table(curve: Curve) -> str:
    columns = ("strategy", "devices", "plan", "samples/s", "speedup", "least to most", "efficiency")
    rows = [
        (
            strategy if point.devices > 1 else "baseline",
            str(point.devices),
            " ".join(f"{axis}={point.plan[axis]}" for axis in ("dp", "pp", "tp")),
            f"{point.throughput_samples_per_s:,.0f}",
            f"{point.speedup:.2f}",
            f"{point.speedup_low:.2f} to {point.speedup_high:.2f}",
            f"{point.efficiency:.0%}",
        )
        for strategy in curve.strategies
        for point in curve.of(strategy)
    ]
    rows = list(dict.fromkeys(rows))  # one device is the same run for every strategy
    caption = f"{curve.kind.upper()}: {curve.workload}, {curve.scaling} scaling"
    return table(caption, columns, rows)
