"""The losses of several runs beside each other, and where each of them reaches a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.axis_units import Unit, show_in, time_unit
from labkit.figures.end_labels import EndLabel, place_end_labels
from labkit.figures.line_styles import LineStyle, LineStyles
from labkit.figures.loss import SMOOTHING_STEPS, loss_limits, running_mean
from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.run_names import run_names, workload_names
from labkit.figures.style import (
    LIGHT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.figures.wrap import wrapped
from labkit.runs.record import RunRecord

Against = Literal["step", "seconds", "samples"]
NUM_MARKERS = 8  # on each line, enough to follow it
LABEL_IN = 0.48  # height of a label of three lines
NAME_WIDTH = 26  # characters of a name on one line
_AGAINST: Mapping[str, str] = MappingProxyType(
    {
        "step": "optimiser steps",
        "seconds": "since the first step began",
        "samples": "samples seen",
    }
)


class _Line(NamedTuple):
    """One run as it is drawn."""

    name: str
    xs: np.ndarray
    losses: list[float]  # running means
    reached: int | None  # index of the first one at or below the target


def losses_figure(
    records: Sequence[RunRecord],
    x: Against = "step",
    *,
    target: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Running mean of the loss of several runs, against steps, seconds or samples.

    Args:
        records: live or finished runs; those without a step are left out.
        x: what the loss is drawn against.
        target: a loss; each run is marked where its running mean first reaches it.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi, 380 px high; higher where more than five runs need it.
    Raises:
        ValueError: no run has a step yet, or ``x`` is none of the three.
    """
    if x not in _AGAINST:
        raise ValueError(f"x={x!r} is no axis; choose {' or '.join(_AGAINST)}")
    shown = [record for record in records if record.steps]
    if not shown:
        raise ValueError("no run has a step yet; wait until one has begun")
    remark = remark_on(shown)
    height_in = max(3.8, 1.0 + LABEL_IN * len(shown))
    figure = new_figure(height_in + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.72, right=2.2, bottom=0.55 + remark.height_in, top=0.4)
    style_axes(axes, theme, grid="y")
    add_title(axes, theme, _title(shown), remark.kind_note)
    lines = [
        _line(name, record, x, target) for name, record in zip(run_names(shown), shown, strict=True)
    ]
    unit = time_unit(max(float(line.xs[-1]) for line in lines)) if x == "seconds" else None
    _scale(axes, lines, target, theme, x, unit)
    labels = []
    outcomes = [_outcome(line, x, target, unit) for line in lines]
    for line, style, outcome in zip(lines, _styles(shown, theme), outcomes, strict=True):
        _draw(axes, line, style, theme)
        text = f"{wrapped(line.name, NAME_WIDTH)}\n{outcome}"
        labels.append(EndLabel(text, line.losses[-1], style.colour))
    if target is not None:
        _draw_target(axes, target, theme)
    place_end_labels(axes, labels)
    said = [f"{line.name}: {outcome}" for line, outcome in zip(lines, outcomes, strict=True)]
    against = f"{_title(shown)} against {_axis_name(x, unit)}"
    describe(figure, f"{against}: {'; '.join(said)}{remark.spoken}")
    return figure


def _title(shown: Sequence[RunRecord]) -> str:
    return f"Loss: {workload_names(shown)}, {len(shown)} run{'s' if len(shown) > 1 else ''}"


def _line(name: str, record: RunRecord, x: Against, target: float | None) -> _Line:
    means = running_mean(record.losses, SMOOTHING_STEPS)
    xs = {
        "step": np.arange(1, len(means) + 1, dtype=float),
        "seconds": np.cumsum([step.seconds for step in record.steps]),
        "samples": np.cumsum([step.samples for step in record.steps]).astype(float),
    }[x]
    reached = (
        None
        if target is None
        else next((at for at, mean in enumerate(means) if mean <= target), None)
    )
    return _Line(name, xs, means, reached)


def _styles(shown: Sequence[RunRecord], theme: Theme) -> list[LineStyle]:
    """The first run of a strategy has the strategy's look, others one by their name."""
    styles, seen = LineStyles(theme), set()
    chosen = []
    for name, record in zip(run_names(shown), shown, strict=True):
        chosen.append(styles.of(name if record.strategy in seen else record.strategy))
        seen.add(record.strategy)
    return chosen


def _scale(
    axes: Axes, lines: Sequence[_Line], target: float | None, theme: Theme, x: Against,
    unit: Unit | None,
) -> None:  # fmt: skip
    losses = [loss for line in lines for loss in line.losses]
    bottom, top = loss_limits(losses if target is None else [*losses, target])
    axes.set_yscale("log" if bottom > 0 else "linear")
    axes.set_ylim(bottom, top)
    most = max(float(line.xs[-1]) for line in lines)
    axes.set_xlim(0, 1.02 * most)
    if unit is not None:
        show_in(axes.xaxis, unit)
    elif most >= 1e4:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    said = f"loss, mean of {SMOOTHING_STEPS} steps" + (", logarithmic" if bottom > 0 else "")
    label_axes(axes, theme, x=_axis_name(x, unit), y=said)


def _axis_name(x: Against, unit: Unit | None) -> str:
    return f"{unit.name} {_AGAINST[x]}" if unit is not None else _AGAINST[x]


def _draw(axes: Axes, line: _Line, style: LineStyle, theme: Theme) -> None:
    axes.plot(
        line.xs, line.losses, color=style.colour, lw=2.0, ls=style.dashes, marker=style.marker,
        markevery=max(1, len(line.xs) // NUM_MARKERS), ms=6, mec=theme.background, mew=0.6,
    )  # fmt: skip
    if line.reached is not None:
        axes.plot(
            line.xs[line.reached], line.losses[line.reached], marker="o", ms=13, mfc="none",
            mec=style.colour, mew=2.0, ls="none", zorder=5,
        )  # fmt: skip


def _draw_target(axes: Axes, target: float, theme: Theme) -> None:
    axes.axhline(target, color=theme.muted, lw=1.2, ls=(0, (5, 3)), zorder=1)
    axes.annotate(
        f"target {target:g}", (0, target), xycoords=axes.get_yaxis_transform(), xytext=(6, 3),
        textcoords="offset points", color=theme.muted, fontsize=TICK_PT,
    )  # fmt: skip


def _outcome(line: _Line, x: Against, target: float | None, unit: Unit | None) -> str:
    """What a run came to, for its label."""
    if target is None:
        return f"{line.losses[-1]:#.3g} at the end"
    if line.reached is None:
        return f"target not reached: {line.losses[-1]:#.3g}"
    at = float(line.xs[line.reached])
    if x == "step":
        return f"target at step {at:.0f}"
    if unit is not None:
        return f"target at {at / unit.size:.3g} {unit.symbol}"
    return f"target at {at:,.0f} samples"
