"""What a chapter needs: the reader's prediction, kept until the experiment stands beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as ipw
from matplotlib.figure import Figure

from labkit.errors import SettingError
from labkit.figures.picture import alt_of, describe
from widgets.accessibility import Accessibility

KINDS = ("measured", "emulated", "projected")
UNTOUCHED = "left as it was"
LOOK_S = 0.01
MARK_COLOUR = "#D55E00"
SLIDER = ipw.Layout(width="520px", max_width="100%")


class Prediction(ipw.VBox):
    """A question and the reader's answer, entered before the experiment.

    A number on a slider between ``low`` and ``high``, or one of several ``options``. It stands in
    the middle, or on the first option, until the reader moves it, so a chapter also runs
    unattended; ``entered`` tells the two apart.

    Args:
        question: one sentence.
        unit: of the number, such as ``x`` or ``MB``; a word stands behind a space.
        low, high, step: of the slider.
        logarithmic: whether the slider moves in powers of ten, a ``step`` of them at a time.
        options: what to choose from, instead of a number.
    Raises:
        SettingError: neither options nor a range that rises, above 0 if it is logarithmic.
    """

    def __init__(
        self,
        question: str,
        *,
        unit: str = "",
        low: float = 0.0,
        high: float = 0.0,
        step: float | None = None,
        logarithmic: bool = False,
        options: Iterable[str] = (),
    ) -> None:
        self.question = question
        self.unit = unit
        self.logarithmic = logarithmic
        self.entered = False
        choices = list(options)
        if not choices and not (low < high and (low > 0 or not logarithmic)):
            raise SettingError(f"low={low} and high={high} are no range; give one, or options")
        if choices:
            self.control: ipw.Widget = ipw.ToggleButtons(options=choices)
        elif logarithmic:
            self.control = _powers_of_ten(low, high, step or 1.0)
        else:
            self.control = _numbers(low, high, step or (high - low) / 100)
        self.control.description = "Your prediction"
        self.control.style = {"description_width": "110px"}
        self.control.observe(self._take, "value")
        asked = ipw.HTML(f"<b>{escape(question)}</b>")
        behind = ipw.Label(unit)
        super().__init__([asked, ipw.HBox([self.control, behind]), Accessibility()])
        self.add_class("lab-root")

    @property
    def value(self) -> Any:
        """The number, or the option, as the control shows it."""
        return self.control.value

    def _take(self, change: Any) -> None:
        self.entered = True

    def said(self, value: Any) -> str:
        """A value with its unit, for people."""
        return value if isinstance(value, str) else with_unit(float(value), self.unit)

    def beside(self, found: Any, kind: str) -> Comparison:
        """The prediction beside what was found; show it with the last line of a cell.

        Args:
            found: of the same sort as the prediction.
            kind: measured, emulated or projected.
        """
        return beside((self, found), kind=kind)

    def __repr__(self) -> str:
        return f"{self.question} Your prediction: {self.said(self.value)}{_untouched(self)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Predictions beside what was found, as a table of a notebook.

    Attributes:
        kind: measured, emulated or projected.
        rows: question, predicted and found as they are shown, and how the two compare.
    """

    kind: str
    rows: tuple[tuple[str, str, str, str], ...]

    def _repr_markdown_(self) -> str:
        head = f"| question | you predicted | {self.kind.upper()} | |\n| --- | --: | --: | :-- |"
        lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in self.rows]
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        lines = [f"{q} predicted {p}, {self.kind} {f}, {said}" for q, p, f, said in self.rows]
        return "\n".join(lines)


def beside(*pairs: tuple[Prediction, Any], kind: str) -> Comparison:
    """Several predictions beside what was found.

    Args:
        pairs: prediction and what was found.
        kind: measured, emulated or projected, of all of them.
    Raises:
        SettingError: a kind that does not exist.
    """
    if kind not in KINDS:
        raise SettingError(f"kind={kind!r} is unknown; choose {', '.join(KINDS)}")
    rows = [
        (
            prediction.question,
            prediction.said(prediction.value) + _untouched(prediction),
            prediction.said(found),
            _verdict(prediction, found),
        )
        for prediction, found in pairs
    ]
    return Comparison(kind, tuple(rows))


def until(happened: Callable[[], object], patience_s: float = 60.0) -> None:
    """Wait, in an experiment, for something that is about to happen.

    Raises:
        TimeoutError: it has not happened in time.
    """
    deadline = time.monotonic() + patience_s
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"what was waited for has not happened within {patience_s:g} s")
        time.sleep(LOOK_S)


def mark_predictions(figure: Figure, predicted: Mapping[float, Prediction]) -> Figure:
    """Draw predictions into a picture, as crosses over the x where they belong.

    Args:
        figure: its first axes are drawn into.
        predicted: prediction by x, in the units of the axes.
    Returns:
        The same figure.
    """
    axes = figure.axes[0]
    axes.plot(
        list(predicted),
        [float(prediction.value) for prediction in predicted.values()],
        ls="none", marker="X", ms=11, mfc="none", mec=MARK_COLOUR, mew=2.0, zorder=6,
    )  # fmt: skip
    x, prediction = list(predicted.items())[-1]
    axes.annotate(
        "your prediction", (x, float(prediction.value)), xytext=(0, 9), ha="center", va="bottom",
        textcoords="offset points", color=MARK_COLOUR, fontsize=9, zorder=7,
        bbox={"facecolor": axes.get_facecolor(), "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip
    said = ", ".join(f"{p.said(p.value)} at {x:g}" for x, p in predicted.items())
    describe(figure, f"{alt_of(figure)}; your prediction: {said}")
    return figure


def with_unit(value: float, unit: str) -> str:
    """A number for people: three digits, a word as unit behind a space."""
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {unit}" if unit and unit[0].isalpha() and len(unit) > 1 else number + unit


def _untouched(prediction: Prediction) -> str:
    return "" if prediction.entered else f" ({UNTOUCHED})"


def _verdict(prediction: Prediction, found: Any) -> str:
    """How a prediction compares: right or not for an option, by how much for a number."""
    predicted = prediction.value
    if isinstance(predicted, str):
        return "right" if predicted == found else "not this time"
    if found == 0 or predicted * found <= 0:
        return f"off by {abs(predicted - found):.2g}"
    ratio = predicted / found
    much = max(ratio, 1 / ratio)
    if much < (2 if prediction.logarithmic else 1.05):
        return "right order of magnitude" if prediction.logarithmic else "within 5%"
    by = f"{much:.2g} times" if much >= 2 else f"{abs(ratio - 1):.0%}"
    return f"{by} too {'high' if ratio > 1 else 'low'}"


def _numbers(low: float, high: float, step: float) -> ipw.FloatSlider:
    """A slider that stands in the middle, on a step."""
    whole = float(step).is_integer() and float(low).is_integer()
    return ipw.FloatSlider(
        value=low + round((high - low) / 2 / step) * step,
        min=low,
        max=high,
        step=step,
        readout_format="d" if whole else ".3g",
        layout=SLIDER,
    )


def _powers_of_ten(low: float, high: float, step: float) -> ipw.FloatLogSlider:
    """The same for a value that may be off by orders of magnitude."""
    least, most = math.log10(low), math.log10(high)
    middle = least + round((most - least) / 2 / step) * step
    return ipw.FloatLogSlider(
        value=10**middle, min=least, max=most, step=step, readout_format=".1e", layout=SLIDER
    )
