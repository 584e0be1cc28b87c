"""What to sweep: strategies and variants of them, over device counts, measured or emulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError, PlanError, SettingError
from labkit.plan import STRATEGIES, Plan
from labkit.project.ideal import why_no_ideal
from labkit.runs.sweep_plan import (
    DEFAULT_REPEATS,
    DEFAULT_STEPS,
    EMULATED_STEPS,
    PlannedPoint,
    plan_sweep,
)
from labkit.workload import WORKLOADS, Workload, find_workload
from widgets.device_form import DeviceForm
from widgets.fields import dropdown, mark_unavailable, toggle, write
from widgets.markup import folded, reason_lines
from widgets.panel import DESCRIPTION, FULL, int_slider
from widgets.state import LabState

VARIANTS = (
    "data+sync=ring",
    "data+sync=average",
    "data+sync=parameter_server",
    "data+sync=async_parameter_server",
    "data+shard=optimizer",
    "data+shard=gradients",
    "data+shard=parameters",
    "data+compression=bf16",
    "data+compression=powersgd",
    "data+split=features",
    "pipeline+schedule=gpipe",
    "pipeline+schedule=interleaved1f1b",
    "pipeline+schedule=zero_bubble",
    "pipeline+checkpoint_activations",
    "tensor+tensor_style=dtensor",
    "tensor+sequence_parallel",
    "hybrid+schedule=gpipe",
    "hybrid+schedule=zero_bubble",
)
MOST_LINES = 8  # that can be told apart in one picture


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """What the controls say, read in one go."""

    workload: Workload
    strategies: tuple[str, ...]
    devices: tuple[int, ...]
    steps: int
    repeats: int
    scaling: Any
    emulate: str | None
    time_scale: float | None
    num_runs: int  # plans that are equal, and the baseline, are run once a repeat


class SweepForm:
    """The controls of a sweep.

    Attributes:
        strategies: a box for each; variants are chosen from ``variants``.
        clock: measured or emulated.
    """

    def __init__(self, state: LabState) -> None:
        self._state = state
        self.workload = dropdown("Workload", list(WORKLOADS))
        self.strategies = {
            name: ipw.Checkbox(
                description=name, value=True, indent=False, layout=ipw.Layout(width="48%")
            )
            for name in STRATEGIES
        }
        self.variants = ipw.SelectMultiple(
            description="Variants", options=[(name, name) for name in VARIANTS], rows=5,
            layout=FULL, tooltip="further lines of the curve; Control or Shift marks several",
        )  # fmt: skip
        self.variants.add_class("lab-above")
        options = device_options(state.num_devices)
        self.devices = ipw.SelectionSlider(
            description="Devices", options=options, value=options[-1][1], continuous_update=False,
            style=DESCRIPTION, layout=FULL,
        )  # fmt: skip
        self.repeats = int_slider("Repeats", 1, 5, DEFAULT_REPEATS)
        self.steps = int_slider("Steps", 4, 60, DEFAULT_STEPS, step=2)
        tips = {"strong": "the global batch stays", "weak": "the batch per device stays"}
        self.scaling = toggle("Scaling", tips)
        self.clock = DeviceForm()
        self._emulated = False
        self._why = ipw.HTML()
        boxes = ipw.HBox(list(self.strategies.values()), layout=ipw.Layout(flex_flow="row wrap"))
        boxes.add_class("lab-strategies")
        self.widget = ipw.VBox(
            [
                self.workload, boxes, self.variants, self._why, self.devices, self.scaling,
                self.repeats, self.steps, self.clock.clock, *self.clock.options,
            ]
        )  # fmt: skip

    @property
    def controls(self) -> list[Any]:
        """Every control that can be moved, but those of the clock."""
        return [
            self.workload, *self.strategies.values(), self.variants, self.devices, self.repeats,
            self.steps, self.scaling,
        ]  # fmt: skip

    def on_change(self, poke: Callable[[], None]) -> None:
        """Let a moved control be looked at."""
        for control in (*self.controls, self.clock.clock, *self.clock.options):
            control.observe(lambda _: poke(), "value")

    # -- on the pump's thread ------------------------------------------------------------------

    def read(self) -> SweepSettings:
        """The settled controls, checked.

        Raises:
            LabError: nothing chosen, too much, or something that cannot be read.
        """
        self._follow()
        emulate, time_scale = self.clock.read()
        chosen = [name for name, box in self.strategies.items() if box.value]
        chosen += list(self.variants.value)
        strategies = tuple(name for name in chosen if not self._trouble(name))
        if len(strategies) > MOST_LINES:
            raise SettingError(
                f"{len(strategies)} lines are too many for one picture; choose at most {MOST_LINES}"
            )
        points = self._planned(strategies)
        repeats = int(self.repeats.value)
        return SweepSettings(
            workload=find_workload(str(self.workload.value)),
            strategies=strategies,
            devices=tuple(self.devices.value),
            steps=int(self.steps.value),
            repeats=repeats,
            scaling=self.scaling.value,
            emulate=emulate,
            time_scale=time_scale,
            num_runs=repeats * len({Plan(), *(point.plan for point in points)}),
        )

    def _follow(self) -> None:
        """A new number of workers sets the counts; another clock the lengths that suit it."""
        options = device_options(self._state.num_devices)
        if list(self.devices.options) != options:
            self.devices.options = options  # selects the first
            self.devices.value = options[-1][1]
        if self.clock.emulated != self._emulated:
            self._emulated = self.clock.emulated
            self.repeats.value = 1 if self._emulated else DEFAULT_REPEATS
            self.steps.value = EMULATED_STEPS if self._emulated else DEFAULT_STEPS

    def _planned(self, strategies: tuple[str, ...]) -> list[PlannedPoint]:
        return plan_sweep(
            str(self.workload.value),
            strategies,
            tuple(self.devices.value),
            scaling=self.scaling.value,
            num_workers=self._state.num_devices,
        )

    def _trouble(self, strategy: str) -> str:
        """Why a strategy cannot be swept over these devices; empty where it can."""
        try:
            for point in self._planned((strategy,)):
                why = why_no_ideal(point.plan) if self.clock.emulated else ""
                if why:
                    raise PlanError(f"it cannot be emulated: {why}; measure it instead")
        except LabError as error:
            return str(error)
        return ""

    def render(self, *, active: bool) -> None:
        """Disable what cannot be swept, and say why."""
        self.clock.render(active=active)
        display = "" if self.clock.emulated else "none"
        for control in self.clock.options:
            write(control.layout, "display", display)
        for control in self.controls:
            write(control, "disabled", active)
        trouble = {name: self._trouble(name) for name in (*self.strategies, *VARIANTS)}
        for name, box in self.strategies.items():
            write(box, "disabled", active or bool(trouble[name]))
        mark_unavailable(self.variants, [name for name in VARIANTS if trouble[name]])
        main = _reasons({name: trouble[name] for name in self.strategies})
        further = _reasons({name: trouble[name] for name in VARIANTS})
        folds = folded("Variants that are not available now", further) if further else ""
        write(self._why, "value", main + folds)


def _reasons(trouble: Mapping[str, str]) -> str:
    """One line for each reason, with all the strategies that it rules out."""
    grouped: dict[str, list[str]] = {}
    for name, why in trouble.items():
        if why:
            grouped.setdefault(why.removeprefix(f"{name} on "), []).append(name)
    lines = [f"Not now: {', '.join(names)} ({why})" for why, names in grouped.items()]
    return reason_lines(lines, "Strategies")


def device_options(num_devices: int) -> list[tuple[str, tuple[int, ...]]]:
    """Doubling device counts up to what there is: "1, 2, 4" means those three."""
    counts = [1]
    while counts[-1] < num_devices:
        counts.append(min(2 * counts[-1], num_devices))
    ladders = [tuple(counts[: end + 1]) for end in range(len(counts))]
    return [(", ".join(map(str, ladder)), ladder) for ladder in ladders]


def said(settings: SweepSettings) -> str:
    """The settings in one line, as the kernel understood them."""
    strategies = ", ".join(settings.strategies)
    devices = ", ".join(map(str, settings.devices))
    where = f", emulated on {settings.emulate}" if settings.emulate else ""
    return (
        f"{settings.workload.name}: {strategies} on {devices} devices, {settings.scaling} scaling; "
        f"{settings.num_runs} runs of {settings.steps} steps{where}"
    )
