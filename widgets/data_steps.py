"""Which of the five steps are done, and the few settings of each that matter most."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ipywidgets as ipw

from labkit.errors import SettingError
from labkit.preprocess.report import STEPS
from widgets.fields import dropdown, read_text, text, write
from widgets.markup import reason_lines

USUAL = "usual"  # as the specification of the data says
AUTO = "auto"
NO_COMPONENTS = "none"

# By step and setting: the label, the choices beside the usual one, and what it is about.
CHOICES: Mapping[str, Mapping[str, tuple[str, tuple[Any, ...], str]]] = MappingProxyType(
    {
        "integration": {
            "duplicates": ("Duplicates", ("drop", "keep"), "rows that repeat within a source"),
        },
        "cleaning": {
            "fill": (
                "Fill gaps by",
                ("median", "mean", "mode", "group_median", "group_mean", "none"),
                "what is put where a number is missing; a group is a class, and gives it away",
            ),
            "outliers": (
                "Outliers by",
                ("auto", "tukey", "log_tukey", "robust_z", "none"),
                "how noise is found: Tukey's fences on a plain or logarithmic scale, or robust z",
            ),
        },
        "reduction": {
            "method": (
                "Components",
                ("pca", "pca_sampled", NO_COMPONENTS),
                "principal components of all rows, of a sample, or the columns as they are",
            ),
            "explained": (
                "Variance",
                (0.8, 0.9, 0.95, 0.99, 1.0),
                "share of the variance that the kept components must explain",
            ),
        },
        "transformation": {
            "scale": (
                "Scaling",
                ("standard", "min_max", "robust", "none"),
                "mean 0 and deviation 1; 0 to 1; median 0 and quartiles 1 apart; as they are",
            ),
            "encode": ("Categories", ("one_hot", "code"), "a column for each name, or one number"),
        },
    }
)

WITHOUT: Mapping[str, str] = MappingProxyType(
    {
        "statistics": "no table of the columns as they were read",
        "integration": "rows of the same thing stay apart, with their repeats and conflicts",
        "cleaning": "noise stays, and a gap counts as its column's mean",
        "reduction": "every column goes on, those that say nothing too",
        "transformation": "numbers keep their own scale",
    }
)
ABOUT: Mapping[str, str] = MappingProxyType(
    {
        "statistics": "count, range, mean, median, deviation and gaps of every column",
        "integration": "one row a thing: duplicates removed, sources merged, conflicts resolved",
        "cleaning": "noise, slips of units and wrong labels put right, gaps filled",
        "reduction": "useless columns dropped, the rest become few components",
        "transformation": "numbers scaled, names coded: what a model can take",
    }
)


class StepForm:
    """A toggle for each step, and folded groups of settings.

    Attributes:
        toggles: by step.
        options: by step and setting.
        num_components: typed; ``auto`` obeys the variance.
        widget: all of them.
    """

    def __init__(self) -> None:
        self.toggles = {step: _step_toggle(step) for step in STEPS}
        self.options = {
            step: {name: _choice(*about) for name, about in settings.items()}
            for step, settings in CHOICES.items()
        }
        self.num_components = text("Number", AUTO, "auto, or how many components")
        self.num_components.tooltip = "components to keep, whatever variance they explain"
        self._why = {step: ipw.HTML() for step in CHOICES}
        self._consequences = ipw.HTML()
        boxes = ipw.HBox(list(self.toggles.values()))
        boxes.add_class("lab-steps")
        self.groups = ipw.Accordion([self._group(step) for step in CHOICES], selected_index=None)
        self.groups.titles = tuple(step.capitalize() for step in CHOICES)
        heading = ipw.HTML('<div class="lab-more">Steps</div>')
        self.widget = ipw.VBox([heading, boxes, self._consequences, self.groups])

    def _group(self, step: str) -> ipw.VBox:
        more = [self.num_components] if step == "reduction" else []
        return ipw.VBox([*self.options[step].values(), *more, self._why[step]])

    @property
    def controls(self) -> list[Any]:
        """Every control that can be moved."""
        options = [control for each in self.options.values() for control in each.values()]
        return [*self.toggles.values(), *options, self.num_components]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that are on, in their order."""
        return tuple(step for step, box in self.toggles.items() if box.value)

    def read(self) -> dict[str, dict[str, Any]]:
        """Settings that differ from the usual ones, of the steps that are on, by step.

        Raises:
            SettingError: the number of components is no whole number from 1 on.
        """
        found: dict[str, dict[str, Any]] = {}
        for step, options in self.options.items():
            chosen = {name: box.value for name, box in options.items() if box.value is not None}
            number = self._read_number() if step == "reduction" else None
            if number is not None and chosen.get("method") != NO_COMPONENTS:
                chosen = {**chosen, "components": number}
                chosen.pop("explained", None)
            if chosen.get("method") == NO_COMPONENTS:
                chosen.pop("explained", None)
            if chosen and step in self.steps:
                found[step] = chosen
        return found

    def _read_number(self) -> int | None:
        number = read_text(self.num_components, AUTO, int)
        if number is not None and number < 1:
            raise SettingError(f"Number {number} of components; choose 1 or more, or auto")
        return number

    # -- on the pump's thread ------------------------------------------------------------------

    def render(self, *, active: bool) -> None:
        """Disable what has no effect now, and say why; nothing moves while it is active."""
        on = self.steps
        for step, box in self.toggles.items():
            write(box, "disabled", active or on == (step,))
        lines = [f"Without {step}: {WITHOUT[step]}." for step in STEPS if step not in on]
        if len(on) == 1:
            lines.append(f"{on[0].capitalize()} stays on: one step at least is done.")
        if on == ("statistics",):
            lines.append("Statistics alone makes no training data.")
        self._consequences.value = reason_lines(lines, "Steps that are off")
        titles = []
        for step, options in self.options.items():
            reasons = self._reasons(step)
            for name, control in options.items():
                write(control, "disabled", active or name in reasons)
            if step == "reduction":
                write(self.num_components, "disabled", active or "components" in reasons)
            self._why[step].value = reason_lines(
                list(dict.fromkeys(reasons.values())), step.capitalize()
            )
            titles.append(self._title(step, is_on=step in on))
        write(self.groups, "titles", tuple(titles))

    def _reasons(self, step: str) -> dict[str, str]:
        """Why settings of a step have no effect now, by setting."""
        names = [*self.options[step], *(["components"] if step == "reduction" else [])]
        if step not in self.steps:
            return dict.fromkeys(names, f"{step.capitalize()} is off; switch it on above.")
        if step != "reduction":
            return {}
        if self.options[step]["method"].value == NO_COMPONENTS:
            why = "Components is none, so there is neither variance nor number to choose."
            return dict.fromkeys(("explained", "components"), why)
        if str(self.num_components.value).strip() not in ("", AUTO):
            return {"explained": "Number says how many components, whatever they explain."}
        return {}

    def _title(self, step: str, *, is_on: bool) -> str:
        if not is_on:
            return f"{step.capitalize()}: off"
        chosen = [str(box.label) for box in self.options[step].values() if box.value is not None]
        if step == "reduction" and str(self.num_components.value).strip() not in ("", AUTO):
            chosen.append(f"{self.num_components.value} components")
        return ": ".join([step.capitalize(), ", ".join(chosen)]) if chosen else step.capitalize()


def _step_toggle(step: str) -> ipw.Checkbox:
    box = ipw.Checkbox(description=step.capitalize(), value=True, indent=False, tooltip=ABOUT[step])
    box.layout = ipw.Layout(width="auto", margin="0 12px 0 0")
    return box


def _choice(label: str, choices: tuple[Any, ...], tooltip: str) -> ipw.Dropdown:
    control = dropdown(label, choices)
    control.options = [(USUAL, None), *((_said(choice), choice) for choice in choices)]
    control.value = None
    control.tooltip = f"{tooltip}; usual: as the specification of the data says"
    return control


def _said(choice: Any) -> str:
    return f"{choice:.0%}" if isinstance(choice, float) else str(choice).replace("_", " ")
