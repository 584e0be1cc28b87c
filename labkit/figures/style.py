"""Colours, fonts and axes of every picture, in one place; safe for colour-blind readers.

Source of the colours: Okabe & Ito 2008, "Color universal design", jfly.uni-koeln.de/color.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#9A9A9A"

Grid = Literal["x", "y", "both"]

DPI = 100
WIDTH_IN = 9.0  # 900 px at DPI: the width at which the type below is set
EDGE_IN = 0.12  # what stays free at the left and right edge
TITLE_PT, LABEL_PT, TICK_PT, SMALL_PT = 12.0, 10.5, 10.0, 9.0

KIND_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "measured": "MEASURED: real ranks, real clock",
        "emulated": "EMULATED: real ranks, declared device speed",
        "projected": "PROJECTED: computed, nothing ran",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """Colours of one appearance, light or dark.

    Attributes:
        foreground, muted: of text and axes, and of what should stand back.
        background, grid: of the paper.
        spans: colour of each kind of span.
        strategies: colour of each strategy.
        variants: colours of further lines, such as variants of a strategy.
        losses: colour of each part of an attribution.
        memory: colour of each part of a rank's memory.
        classes: colours of the classes of a dataset, in their order.
    """

    foreground: str
    muted: str
    background: str
    grid: str
    spans: Mapping[str, str]
    strategies: Mapping[str, str]
    variants: tuple[str, ...]
    losses: Mapping[str, str]
    memory: Mapping[str, str]
    classes: tuple[str, ...]


def _spans(weight_grad: str, idle: str) -> Mapping[str, str]:
    return MappingProxyType(
        {
            "forward": BLUE,
            "backward": SKY,
            "weight_grad": weight_grad,
            "optimizer": GREEN,
            "comm_dp": VERMILLION,
            "comm_tp": PURPLE,
            "comm_pp": ORANGE,
            "data": YELLOW,
            "idle": idle,
        }
    )


def _losses(idle: str, other: str) -> Mapping[str, str]:
    return MappingProxyType(
        {
            "compute": BLUE,
            "exposed_communication": VERMILLION,
            "bubble": idle,  # as in a timeline
            "imbalance": PURPLE,
            "data_wait": YELLOW,
            "startup": GREEN,
            "other": other,
        }
    )


_MEMORY: Mapping[str, str] = MappingProxyType(
    {"parameters": BLUE, "gradients": SKY, "optimizer": GREEN, "activations": ORANGE}
)

LIGHT = Theme(
    foreground="#1F1F1F",
    muted="#5F5F5F",
    background="#FFFFFF",
    grid="#E4E4E4",
    spans=_spans(weight_grad="#1B3A57", idle="#D9D9D9"),
    strategies=MappingProxyType(
        {
            "single": GREY,
            "data": BLUE,
            "pipeline": VERMILLION,
            "tensor": GREEN,
            "hybrid": PURPLE,
        }
    ),
    variants=(ORANGE, SKY, "#4D4D4D", "#8A6D00"),
    losses=_losses(idle="#D9D9D9", other="#7A7A7A"),
    memory=_MEMORY,
    classes=(ORANGE, GREEN, BLUE, PURPLE),
)

DARK = Theme(
    foreground="#E6E6E6",
    muted="#A8A8A8",
    background="#212121",  # of JupyterLab's dark theme
    grid="#3D3D3D",
    spans=_spans(weight_grad="#C8D6E5", idle="#5A5A5A"),
    strategies=MappingProxyType(
        {"single": GREY, "data": SKY, "pipeline": ORANGE, "tensor": GREEN, "hybrid": PURPLE}
    ),
    variants=(VERMILLION, "#5C8DFF", "#F2F2F2", YELLOW),
    losses=_losses(idle="#5A5A5A", other="#A8A8A8"),
    memory=_MEMORY,
    classes=(ORANGE, GREEN, SKY, PURPLE),
)


def new_figure(height_in: float, theme: Theme) -> Figure:
    """An empty figure of the house width, without pyplot and so without global state."""
    return Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor=theme.background)


def place_axes(figure: Figure, *, left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes with fixed margins in inches, so that nothing jumps while a picture is live."""
    width_in, height_in = figure.get_size_inches()
    return figure.add_axes(
        (
            left / width_in,
            bottom / height_in,
            1 - (left + right) / width_in,
            1 - (bottom + top) / height_in,
        )
    )


def style_axes(axes: Axes, theme: Theme, *, grid: Grid | None = None) -> None:
    """House look: two spines, quiet grid lines behind the data across the named axes."""
    axes.set_facecolor(theme.background)
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.muted)
    axes.tick_params(colors=theme.muted, labelcolor=theme.foreground, labelsize=TICK_PT)
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(visible=True, axis=grid, color=theme.grid, linewidth=0.8)


def label_axes(axes: Axes, theme: Theme, *, x: str = "", y: str = "") -> None:
    """Axis labels, with their units."""
    axes.set_xlabel(x, color=theme.foreground, fontsize=LABEL_PT)
    axes.set_ylabel(y, color=theme.foreground, fontsize=LABEL_PT)


def add_title(axes: Axes, theme: Theme, title: str, note: str, *, pad: float = 8.0) -> None:
    """The title on the left; on the right whether this was measured, emulated or projected."""
    axes.set_title(
        title, loc="left", pad=pad, fontsize=TITLE_PT, fontweight="bold", color=theme.foreground
    )
    shown = axes.set_title(note, loc="right", pad=pad, fontsize=TICK_PT, color=theme.muted)
    box = axes.get_position()
    shown.set_x((1 - EDGE_IN / WIDTH_IN - box.x0) / box.width)  # at the edge of the figure


def nice_ceiling(value: float) -> float:
    """The smallest of 1, 1.2, 1.5, 2 ... times a power of ten that is at least ``value``.

    Axis limits that move in such steps keep a live picture still.
    """
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 <= value:
        power *= 10
    for factor in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if factor * power >= value * (1 - 1e-9):
            return factor * power
    raise AssertionError(f"no limit found for {value!r}")
