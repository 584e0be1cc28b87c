"""How to split: a strategy sets the degrees, every other setting of a plan can then be moved."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError
from labkit.plan import STRATEGIES, Plan
from labkit.plan_for import plan_for
from widgets.fields import (
    count,
    dropdown,
    flag,
    layer_numbers,
    mark_unavailable,
    read_text,
    text,
    toggle,
    write,
)
from widgets.panel import int_slider
from widgets.plan_options import (
    AUTO,
    CHOICES,
    Attempt,
    differing,
    idle,
    idle_reasons,
    reasons,
)
from widgets.state import LabState

AXES = {"dp": "dp (data)", "pp": "pp (pipeline)", "tp": "tp (tensor)"}
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "sync": "Sync",
        "sync_every": "Sync every",
        "max_staleness": "Staleness",
        "bucket_mb": "Bucket MB",
        "compression": "Compression",
        "shard": "Shard",
        "split": "Split",
        "schedule": "Schedule",
        "virtual_stages": "Virt. stages",
        "microbatches": "Microbatches",
        "cuts": "Cuts",
        "placement": "Placement",
        "tensor_style": "Style",
        "sequence_parallel": "sequence parallel",
        "checkpoint_activations": "checkpoint activations",
    }
)
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Data parallel": (
            "sync", "sync_every", "max_staleness", "bucket_mb", "compression", "shard", "split",
        ),
        "Pipeline": ("schedule", "virtual_stages", "microbatches", "cuts", "placement"),
        "Tensor": ("tensor_style", "sequence_parallel"),
        "Recipe": ("checkpoint_activations",),
    }
)  # fmt: skip
TIPS = {
    "sync": "how replicas agree",
    "sync_every": "steps from one average of the parameters to the next",
    "max_staleness": "steps by which a worker may be ahead of the slowest",
    "bucket_mb": "megabytes of gradients that are all_reduced together",
    "compression": "of the gradients that travel; approximate",
    "shard": "what replicas shard instead of copying",
    "split": "whether dp cuts the samples of a batch or the features of a sample",
    "schedule": "order of forwards and backwards in the pipeline",
    "virtual_stages": "stages on each rank",
    "microbatches": "pieces of a replica's batch; without a pipeline gradient accumulation",
    "cuts": "first layer of every stage but the first; auto balances their cost",
    "placement": "whether pp places stages, or the branches of a model that forks",
    "tensor_style": "collectives by hand, or everything by DTensor",
    "sequence_parallel": "shard the tokens between tensor regions too",
    "checkpoint_activations": "forget activations and compute them again in the backward",
}


class PlanForm:
    """The controls of a plan.

    Attributes:
        strategy, devices, degrees: the few that are always in sight; ``degrees`` by axis.
        options: every other setting, by its name in the plan.
    """

    def __init__(self, state: LabState) -> None:
        self._state = state
        self.strategy = toggle(
            "Strategy", dict.fromkeys(STRATEGIES, "sets the degrees, and all else back")
        )
        self.devices = int_slider("Devices", 1, state.num_devices, state.num_devices)
        self.degrees = {
            axis: int_slider(label, 1, state.num_devices, 1) for axis, label in AXES.items()
        }
        self.options: dict[str, Any] = {name: _control(name) for name in LABELS}
        self._defaults = {name: control.value for name, control in self.options.items()}
        self._choice: tuple[str, int] | None = None

    @property
    def main(self) -> list[Any]:
        """The controls that are always in sight."""
        return [self.strategy, self.devices, *self.degrees.values()]

    # -- on the pump's thread ------------------------------------------------------------------

    def follow(self) -> None:
        """A newly chosen strategy or device count sets the degrees; later moves are kept."""
        available = self._state.num_devices
        if self.devices.max != available:
            everything = self.devices.value in (self.devices.max, available)
            self.devices.max = available
            if everything:
                self.devices.value = available
        choice = (str(self.strategy.value), int(self.devices.value))
        if choice == self._choice:
            return
        if self._choice is not None and choice[0] != self._choice[0]:
            for name, control in self.options.items():
                control.value = self._defaults[name]
        self._choice = choice
        plan = plan_for(*choice)
        for axis, slider in self.degrees.items():
            slider.max = choice[1]
            slider.value = getattr(plan, axis)
        self.options["microbatches"].value = AUTO

    def values(self) -> dict[str, Any]:
        """Every setting as it stands.

        Raises:
            SettingError: something that was typed cannot be read.
        """
        values = {name: control.value for name, control in self.options.items()}
        values |= {axis: int(slider.value) for axis, slider in self.degrees.items()}
        for name, parse in (("cuts", layer_numbers), ("bucket_mb", float)):
            typed = read_text(self.options[name], AUTO, parse)
            values[name] = AUTO if typed is None else typed
        return values

    def render(self, attempt: Attempt, values: Mapping[str, Any], *, active: bool) -> None:
        """Disable what is impossible or means nothing now."""
        for slider in self.degrees.values():
            write(slider, "disabled", active or slider.max == 1)
        write(self.devices, "disabled", active)
        for name, control in self.options.items():
            why = idle(name, values)
            if name in CHOICES and not why:
                unavailable = attempt.unavailable(name, values)
                if isinstance(control, ipw.Dropdown):
                    mark_unavailable(control, list(unavailable))
                if len(unavailable) == len(CHOICES[name]) - 1:
                    why = next(iter(unavailable.values()))
            write(control, "disabled", active or bool(why))
            write(control, "tooltip", TIPS[name] + (f". Off: {why}" if why else ""))
        self._render_strategies(attempt, active=active)

    def _render_strategies(self, attempt: Attempt, *, active: bool) -> None:
        """Strategies that cannot use these devices say so; the browser side disables them."""
        write(self.strategy, "disabled", active)
        tips = []
        for strategy in STRATEGIES:
            trouble = self.trouble_of(strategy, attempt)
            tips.append(f"Not now: {trouble}" if trouble else "sets the degrees, and all else back")
        write(self.strategy, "tooltips", tips)

    def trouble_of(self, strategy: str, attempt: Attempt) -> str:
        """Why a strategy cannot use the devices; empty where it can."""
        try:
            plan_for(strategy, int(self.devices.value)).validate(attempt.workload)
        except LabError as error:
            return str(error)
        return ""

    def reasons(self, group: str, attempt: Attempt, values: Mapping[str, Any]) -> list[str]:
        """Why parts of a group are off, one line a reason."""
        names = GROUPS[group]
        lines = idle_reasons({name: LABELS[name] for name in names}, values)
        for name in names:
            if name in CHOICES and not idle(name, values):
                lines += reasons(name, LABELS[name], attempt.unavailable(name, values))
        return lines

    def chosen(self, group: str, values: Mapping[str, Any]) -> list[str]:
        """What a group says that the lab would not have chosen."""
        return differing(values, GROUPS[group], Plan())


def _control(name: str) -> Any:
    label = LABELS[name]
    if name == "max_staleness":
        control = count(label, 0, 64, Plan().max_staleness)
    elif name == "bucket_mb":
        control = text(label, AUTO, "auto (25), or a number such as 0.5")
    elif name == "cuts":
        control = text(label, AUTO, "auto, or layers such as 2,4")
    elif CHOICES[name] == (False, True):
        control = flag(label)
    else:
        control = dropdown(
            label, CHOICES[name], getattr(Plan(), name) if name == "schedule" else None
        )
    control.tooltip = TIPS[name]
    return control
