"""All settings of one run: the few main ones in sight, the rest folded into groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from labkit.cluster.supervision import OnFailure
from labkit.errors import LabError
from labkit.figures.run_names import setting_name
from labkit.plan import STRATEGIES, Plan
from labkit.train.train import MOST_QUEUE_S
from labkit.workload import Workload
from widgets.device_form import DeviceForm
from widgets.failure_form import RESTARTS, FailureForm
from widgets.fields import count, write
from widgets.markup import reason_lines
from widgets.panel import DESCRIPTION, FULL
from widgets.plan_form import GROUPS, LABELS, PlanForm
from widgets.plan_options import Attempt, Values
from widgets.recipe_form import RecipeForm
from widgets.state import LabState

STEPS = (4, 6, 8, 12, 20, 40, 60, 100, 200, 400, 600, 1000)
LINE = "Wait for workers"
MEASURED_STEPS, EMULATED_STEPS = 200, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What the controls say, read in one go."""

    workload: Workload
    plan: Plan
    steps: int
    emulate: str | None = None
    time_scale: float | None = None
    max_restarts: int = RESTARTS
    on_failure: OnFailure = "replace"
    checkpoint_every: int | None = None
    queue_s: float = 0.0


class TrainForm:
    """The controls of the Train panel.

    Attributes:
        widget: all of them, from top to bottom.
        recipe, split, clock, failures: the parts, by what they are about.
        steps: optimiser steps.
        queue_s: seconds that a run may wait for workers that others use.
    """

    def __init__(self, state: LabState) -> None:
        self._state = state
        self.recipe = RecipeForm()
        self.split = PlanForm(state)
        self.clock = DeviceForm()
        self.failures = FailureForm(state)
        self.steps = ipw.SelectionSlider(
            description="Steps", options=list(STEPS), value=MEASURED_STEPS,
            continuous_update=False, style=DESCRIPTION, layout=FULL,
        )  # fmt: skip
        self.queue_s = count("Wait up to, s", 0, int(MOST_QUEUE_S), 0)
        self.queue_s.tooltip = "wait in the line for workers that others use; 0 refuses the run"
        self._emulated = False
        self._why = {group: ipw.HTML() for group in (*GROUPS, "Device", "Failures", LINE)}
        self._why_strategies = ipw.HTML()
        self.groups = ipw.Accordion([self._group(name) for name in self._why], selected_index=None)
        self.groups.titles = tuple(self._why)
        heading = ipw.HTML('<div class="lab-more">More ways to split</div>')
        strategy, *sliders = self.split.main
        self.widget = ipw.VBox(
            [
                self.recipe.workload, strategy, self._why_strategies, *sliders, self.steps,
                self.clock.clock, heading, self.groups,
            ]
        )  # fmt: skip

    def _group(self, name: str) -> ipw.VBox:
        controls = [self.split.options[option] for option in GROUPS.get(name, ())]
        if name == "Recipe":
            controls = [*self.recipe.options.values(), *controls]
        if name == "Device":
            controls = self.clock.options
        if name == "Failures":
            controls = self.failures.controls
        if name == LINE:
            controls = [self.queue_s]
        return ipw.VBox([*controls, self._why[name]])

    @property
    def controls(self) -> list[Any]:
        """Every control that can be moved."""
        return [
            self.recipe.workload, *self.recipe.options.values(), *self.split.main,
            *self.split.options.values(), self.steps, self.clock.clock, *self.clock.options,
            *self.failures.controls, self.queue_s,
        ]  # fmt: skip

    def on_change(self, poke: Callable[[], None]) -> None:
        """Let a moved control be looked at."""
        for control in self.controls:
            control.observe(lambda _: poke(), "value")

    # -- on the pump's thread ------------------------------------------------------------------

    def read(self) -> TrainSettings:
        """The settled controls, checked.

        Raises:
            LabError: something that cannot be read, or a plan that does not fit.
        """
        self._follow()
        emulate, time_scale = self.clock.read()
        attempt = self._attempt()
        plan = attempt.plan(self.split.values())
        max_restarts, on_failure, checkpoint_every = self.failures.read(plan, attempt.workload)
        return TrainSettings(
            workload=attempt.workload,
            plan=plan,
            steps=int(self.steps.value),
            emulate=emulate,
            time_scale=time_scale,
            max_restarts=max_restarts,
            on_failure=on_failure,
            checkpoint_every=checkpoint_every,
            queue_s=float(self.queue_s.value),
        )

    def _follow(self) -> None:
        self.recipe.follow()
        self.split.follow()
        if self.clock.emulated != self._emulated:
            self._emulated = self.clock.emulated
            self.steps.value = EMULATED_STEPS if self._emulated else MEASURED_STEPS

    def _attempt(self) -> Attempt:
        return Attempt(
            workload=self.recipe.read(),
            num_devices=int(self.split.devices.value),
            emulated=self.clock.emulated,
        )

    def render(self, *, active: bool) -> None:
        """Disable what cannot be chosen now, and say why; nothing moves while it is active."""
        for control in (
            self.recipe.workload,
            *self.recipe.options.values(),
            self.steps,
            self.queue_s,
        ):
            write(control, "disabled", active)
        self.clock.render(active=active)
        try:
            attempt, values = self._attempt(), self.split.values()
        except LabError:
            return  # the panel says what cannot be read; until then nothing can be tried
        self.split.render(attempt, values, active=active)
        ends = self.failures.render(_plan_or_none(attempt, values), attempt.workload, active=active)
        titles = []
        for group, why in self._why.items():
            lines = self.clock.reasons() if group == "Device" else []
            chosen = self._chosen_device() if group == "Device" else []
            if group == LINE and self.queue_s.value:
                chosen = [f"up to {self.queue_s.value} s"]
            if group in GROUPS:
                lines = self.split.reasons(group, attempt, values)
                chosen = self.split.chosen(group, values)
            if group == "Failures":
                lines, chosen = ends, self.failures.chosen()
            if group == "Recipe":
                chosen = [*self.recipe.chosen(), *chosen]
            why.value = reason_lines(lines, group)
            titles.append(": ".join([group, ", ".join(chosen)]) if chosen else group)
        write(self.groups, "titles", tuple(titles))
        lines = [
            f"Not now: {strategy} ({trouble})"
            for strategy in STRATEGIES
            if (trouble := self.split.trouble_of(strategy, attempt))
        ]
        self._why_strategies.value = reason_lines(lines, "Strategies")

    def _chosen_device(self) -> list[str]:
        if not self.clock.emulated:
            return []
        scale = str(self.clock.time_scale.value)
        return [str(self.clock.device.value), *([f"x {scale}"] if scale != "auto" else [])]


def _plan_or_none(attempt: Attempt, values: Values) -> Plan | None:
    """The plan of the controls; ``None`` where there is none, as the panel says."""
    try:
        return attempt.plan(values)
    except LabError:
        return None


def said(settings: TrainSettings) -> str:
    """The settings in one line, as the kernel understood them."""
    plan = settings.plan
    ranks = "1 rank" if plan.world_size == 1 else f"{plan.world_size} ranks"
    parts = [f"dp={plan.dp} pp={plan.pp} tp={plan.tp}", ranks]
    if plan.num_microbatches > 1:
        by = f" by {plan.schedule}" if plan.num_stages > 1 else ""
        parts.append(f"{plan.num_microbatches} microbatches{by}")
    usual = Plan(sync=plan.sync)
    parts += [
        setting_name(name, getattr(plan, name))
        for name in LABELS
        if name not in ("schedule", "microbatches")
        and getattr(plan, name) != getattr(Plan() if name == "sync" else usual, name)
    ]
    steps = f"{settings.steps} steps of {settings.workload.global_batch} samples"
    where = f", emulated on {settings.emulate}" if settings.emulate else ""
    return f"{settings.workload.name}, {plan.strategy}: {', '.join(parts)}; {steps}{where}"
