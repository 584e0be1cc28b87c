"""The loss of a run, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.figures.picture import Picture
from labkit.figures.remark import remark_on
from labkit.figures.style import (
    LIGHT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    nice_ceiling,
    place_axes,
    style_axes,
)
from labkit.runs.record import RunRecord

SMOOTHING_STEPS = 5
LOG_FROM = 30.0  # a loss that has fallen by this factor is a flat line on a linear axis


class LossPicture(Picture[RunRecord]):
    """Loss of every step, and its running mean; one fixed horizontal axis for the whole run."""

    def __init__(self, record: RunRecord, theme: Theme = LIGHT) -> None:
        super().__init__(height_in=2.9, remark=remark_on([record]), theme=theme)
        self._steps = 0
        self._limits = (0.0, 0.0)
        self._title = ""
        self.axes = place_axes(
            self.figure, left=0.72, right=0.25, bottom=0.55 + self.foot_in, top=0.4
        )
        style_axes(self.axes, theme, grid="y")
        colour = theme.strategies.get(record.strategy, theme.strategies["data"])
        (self._raw,) = self.axes.plot([], [], color=colour, alpha=0.4, lw=1.0, label="each step")
        (self._mean,) = self.axes.plot(
            [], [], color=colour, lw=2.2, label=f"mean of {SMOOTHING_STEPS} steps"
        )
        (self._head,) = self.axes.plot([], [], "o", color=colour, ms=6, clip_on=False)
        self._note = self.axes.text(
            0.985, 0.70, "", transform=self.axes.transAxes, ha="right", va="top",
            color=theme.foreground, fontsize=TICK_PT, linespacing=1.5,
            bbox={"facecolor": theme.background, "edgecolor": "none", "alpha": 0.8, "pad": 2},
        )  # fmt: skip
        self.keep_moving(self._raw, self._mean, self._head, self._note)
        self.axes.legend(
            loc="upper right", frameon=False, ncols=2, fontsize=TICK_PT, labelcolor=theme.foreground
        )
        self.update(record)

    def update(self, shown: RunRecord) -> bool:
        """Show the steps there are; the vertical axis grows in large strides only."""
        losses = shown.losses
        numbers = np.arange(1, len(losses) + 1)
        means = running_mean(losses, SMOOTHING_STEPS)
        self._raw.set_data(numbers, losses)
        self._mean.set_data(numbers, means)
        self._head.set_data(numbers[-1:], means[-1:])
        self._note.set_text(_note(shown))
        remark = remark_on([shown])
        self.alt = _alt(shown) + remark.spoken
        changed = self.say(remark) | self._set_title(shown, remark.kind_note)
        return changed | self._fit_steps(shown) | self._grow(means)

    def _fit_steps(self, shown: RunRecord) -> bool:
        """As wide as the plan; a run that ended early is as wide as it came."""
        ended = shown.status not in ("starting", "running")
        steps = len(shown.steps) if ended and shown.steps else shown.planned_steps
        if steps == self._steps:
            return False
        self._steps = steps
        self.axes.set_xlim(0, max(steps, 1))
        return True

    def _set_title(self, shown: RunRecord, kind_note: str) -> bool:
        ranks = "1 rank" if shown.world_size == 1 else f"{shown.world_size} ranks"
        title = f"Loss: {shown.workload['name']}, {shown.strategy}, {ranks}"
        if title == self._title:
            return False
        self._title = title
        add_title(self.axes, self.theme, title, kind_note)
        return True

    def _grow(self, means: Sequence[float]) -> bool:
        """Limits that hold every loss so far; logarithmic once the loss has fallen far."""
        bottom, top = loss_limits(means, at_least=self._limits[1])
        if (bottom, top) == self._limits:
            return False
        self._limits = (bottom, top)
        far = bottom > 0
        self.axes.set_yscale("log" if far else "linear")
        self.axes.set_ylim(bottom, top)
        said = "loss, logarithmic" if far else "loss, mean of the batch"
        label_axes(self.axes, self.theme, x="optimiser step", y=said)
        return True


def loss_limits(losses: Iterable[float], at_least: float = 0.0) -> tuple[float, float]:
    """Round limits of a vertical axis that hold all losses.

    Args:
        losses: some may be infinite or not a number; those are left out.
        at_least: the upper limit is no lower than this, so that a live axis never shrinks.
    Returns:
        Lower and upper limit; the lower is above 0 where the losses have fallen so far that the
        axis must be logarithmic.
    """
    finite = [loss for loss in losses if np.isfinite(loss)]
    top = max(nice_ceiling(1.02 * max(finite, default=1.0)), at_least)
    least = min(finite, default=top)
    far = 0 < least < top / LOG_FROM
    return (10 ** float(np.floor(np.log10(least / 2))) if far else 0.0), top


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of each value and up to ``width - 1`` before it; as long as ``values``."""
    sums = np.concatenate(([0.0], np.cumsum(np.asarray(values, dtype=float))))
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - width, 0)
    means: list[float] = ((sums[ends] - sums[starts]) / (ends - starts)).tolist()
    return means


def _note(shown: RunRecord) -> str:
    lines = []
    if shown.steps:
        lines.append(f"step {len(shown.steps)} of {shown.planned_steps}: {shown.losses[-1]:.3g}")
    if shown.steps and shown.throughput_samples_per_s:
        lines.append(f"{shown.throughput_samples_per_s:,.0f} samples/s")
    if "correct" in shown.accuracy:
        before = shown.accuracy.get("before")
        start = "" if before is None else f"{before:.1%} before, "
        lines.append(f"held-out samples right: {start}{shown.accuracy['correct']:.1%} after")
    return "\n".join(lines)


def _alt(shown: RunRecord) -> str:
    if not shown.steps:
        return f"Loss of {shown.workload['name']}: no step yet"
    return (
        f"Loss of {shown.workload['name']} ({shown.strategy}, {shown.world_size} ranks): step "
        f"{len(shown.steps)} of {shown.planned_steps}, {shown.losses[-1]:.3g}"
    )


def loss_figure(record: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Loss against step, with the running mean; throughput and accuracy in a note.

    Args:
        record: a live or finished run.
        theme: light or dark.
    Returns:
        A figure of 900 x 290 px at 100 dpi.
    """
    return LossPicture(record, theme).figure
