"""What all pictures over device counts share: the axis, linear speedup, and where cores end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from labkit.figures.style import TICK_PT, Theme


def set_device_axis(axes: Axes, counts: Sequence[int]) -> None:
    """A horizontal axis with exactly the device counts of the sweep."""
    most = max(counts)
    margin = 0.06 * max(most - 1, 1)
    axes.set_xlim(1 - margin, most + 1.6 * margin)
    axes.xaxis.set_major_locator(FixedLocator(list(counts)))
    axes.xaxis.set_minor_locator(NullLocator())


def draw_linear_speedup(axes: Axes, theme: Theme, most: int, *, per_device: bool) -> None:
    """The line on which n devices are n times as fast as one."""
    highest = 1 if per_device else most
    axes.plot([1, most], [1, highest], color=theme.muted, lw=1.2, ls=(0, (5, 3)), zorder=1)
    at, above = (most, 1.0) if per_device else (0.8 * most, 0.8 * most)
    axes.annotate(
        "linear", (at, above), xytext=(-8, 3), textcoords="offset points", va="bottom",
        ha="right", color=theme.muted, fontsize=TICK_PT,
    )  # fmt: skip
    if per_device:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def draw_cores(
    axes: Axes, theme: Theme, num_cores: int | None, most: int, *, per_device: bool
) -> None:
    """Say where the machine ends: ranks that share cores cannot be faster than the cores."""
    if num_cores is None or num_cores >= most:
        return
    left, right = axes.get_xlim()
    xs = np.linspace(max(left, 0.2), right, 200)
    limit = num_cores / np.maximum(xs, num_cores) if per_device else np.full(200, float(num_cores))
    axes.fill_between(xs, limit, 100 * num_cores, color=theme.muted, alpha=0.12, lw=0)
    axes.plot(xs, limit, color=theme.muted, lw=1.0, ls="dotted", scalex=False, scaley=False)
    cores = "core" if num_cores == 1 else "cores"
    quantity = f"efficiency above {num_cores}/N" if per_device else f"speedup above {num_cores}"
    axes.annotate(
        f"{num_cores} {cores}: {quantity} cannot be measured here, emulate",
        (0.985, 1.0 if per_device else num_cores), xycoords=axes.get_yaxis_transform(),
        xytext=(0, -5 if per_device else 3), textcoords="offset points", ha="right",
        va="top" if per_device else "bottom", color=theme.muted, fontsize=TICK_PT,
    )  # fmt: skip
