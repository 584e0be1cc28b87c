"""What is trained and how it learns: a workload, and the settings that may differ from its own."""

from __future__ import annotations

from typing import Any, get_args

import ipywidgets as ipw

from labkit.workload import WORKLOADS, Precision, Workload, find_workload
from widgets.fields import count, dropdown, flag, read_text, text
from widgets.panel import DESCRIPTION, FULL

OFF = "off"
MOST_SAMPLES = 1_000_000
TIPS = {
    "global_batch": "samples of one optimiser step, over all replicas",
    "learning_rate": "of SGD, at the workload's own batch",
    "scale_rate": "a larger batch learns at a proportionally larger rate",
    "warmup_steps": "first steps over which the rate rises to its value",
    "clip_norm": "greatest norm of the gradient of the whole model",
    "momentum": "of SGD",
    "precision": "of weights and activations",
    "keep_last": "end an epoch with the samples that are left over",
    "seed": "of initial weights and data order",
}


class RecipeForm:
    """The controls of a workload.

    Attributes:
        workload: its name.
        options: its settings by name; a newly chosen workload brings its own.
    """

    def __init__(self) -> None:
        first = find_workload(next(iter(WORKLOADS)))
        self.workload = dropdown("Workload", list(WORKLOADS))
        self.workload.tooltip = first.description
        self.options: dict[str, Any] = {
            "global_batch": count("Global batch", 1, MOST_SAMPLES, first.global_batch),
            "learning_rate": _number("Learning rate", first.learning_rate),
            "scale_rate": flag("scale the rate with the batch"),
            "warmup_steps": count("Warm-up", 0, 10_000, first.warmup_steps),
            "clip_norm": text("Clip norm", OFF, "off, or a number such as 1.0"),
            "momentum": _number("Momentum", first.momentum),
            "precision": dropdown("Precision", get_args(Precision)),
            "keep_last": flag("keep the short last batch"),
            "seed": count("Seed", 0, 2**31 - 1, first.seed),
        }
        for name, control in self.options.items():
            control.tooltip = TIPS[name]
        self._of = first.name

    def follow(self) -> None:
        """A newly chosen workload brings its own settings."""
        name = str(self.workload.value)
        if name == self._of:
            return
        self._of = name
        chosen = find_workload(name)
        self.workload.tooltip = chosen.description
        for field in ("global_batch", "learning_rate", "warmup_steps", "momentum", "seed"):
            self.options[field].value = getattr(chosen, field)
        self.options["precision"].value = chosen.precision
        self.options["keep_last"].value = chosen.keep_last
        self.options["scale_rate"].value = chosen.reference_batch is not None
        self.options["clip_norm"].value = OFF if chosen.clip_norm is None else f"{chosen.clip_norm}"

    def read(self) -> Workload:
        """The workload with the settings as they stand.

        Raises:
            SettingError: something that was typed cannot be read.
            WorkloadError: a setting that no workload can have.
        """
        own = find_workload(self._of)
        settings = {name: control.value for name, control in self.options.items()}
        scaled = settings.pop("scale_rate")
        settings["clip_norm"] = read_text(self.options["clip_norm"], OFF, float)
        reference = own.reference_batch or own.global_batch
        return own.with_settings(**settings, reference_batch=reference if scaled else None)

    def chosen(self) -> list[str]:
        """Settings that are not the workload's own, in words."""
        own, now = find_workload(self._of), self.read()
        names = [name for name in self.options if name != "scale_rate"]
        return [
            f"{name}={getattr(now, name)}"
            for name in (*names, "reference_batch")
            if getattr(now, name) != getattr(own, name)
        ]


def _number(description: str, value: float) -> ipw.FloatText:
    return ipw.FloatText(description=description, value=value, style=DESCRIPTION, layout=FULL)
