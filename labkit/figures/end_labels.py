"""Names at the ends of lines, in the colour of the line, instead of a legend to look up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text

from labkit.figures.spread import spread_apart
from labkit.figures.style import SMALL_PT

LINE_SPACING = 1.1
_GAP_LINES = 0.35  # between two labels


class EndLabel(NamedTuple):
    """What stands at the end of a line."""

    text: str
    height: float  # of the end, in the units of the axis
    colour: str


def place_end_labels(axes: Axes, labels: Sequence[EndLabel]) -> list[Text]:
    """Write labels right of the axes, as near to the ends of their lines as there is room."""
    wanted = axes_heights(axes, [label.height for label in labels])
    places = spread_apart(wanted, [label_height(axes, label.text) for label in labels])
    texts = []
    for label, place in zip(labels, places, strict=True):
        text = axes.text(
            1.015, place, label.text, transform=axes.transAxes, va="center", color=label.colour,
            fontsize=SMALL_PT, fontweight="bold", linespacing=LINE_SPACING,
        )  # fmt: skip
        texts.append(text)
    return texts


def label_height(axes: Axes, text: str, size_pt: float = SMALL_PT) -> float:
    """Height that a label takes, as a fraction of the axes'."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    lines = text.count("\n") + 1 + _GAP_LINES
    return (
        lines * LINE_SPACING * size_pt / 72 / (axes.get_position().height * figure.get_figheight())
    )


def axes_heights(axes: Axes, heights: Sequence[float]) -> list[float]:
    """Data heights as fractions of the axes, 0 to 1, whatever the scale; odd ones at the top."""
    points = np.column_stack([np.zeros(len(heights)), heights])
    fractions = axes.transAxes.inverted().transform(axes.transData.transform(points))[:, 1]
    return [float(np.clip(f, 0, 1)) if np.isfinite(f) else 1.0 for f in fractions]
