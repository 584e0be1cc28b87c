"""Where the time of a run went, as one stacked bar a run."""

from __future__ import annotations

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.runs.record import RunRecord

SMALLEST_LABELLED = 0.045  # a part below this share of the time has no room for its number


def attribution_figure(*records: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Shares of the wall time, mean over the ranks, one stacked horizontal bar a run.

    The parts add up to the wall time, so every bar is as long as the axis.

    Args:
        records: finished runs, drawn from top to bottom; all of one kind.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the runs.
    Raises:
        ValueError: no record, or none with an attribution.
    """
    shown = [record for record in records if sum(record.attribution_s.values()) > 0]
    if not shown:
        raise ValueError("no run has an attribution yet; wait until one is done")
    figure = new_figure(1.5 + 0.5 * len(shown), theme)
    axes = place_axes(figure, left=1.55, right=0.25, bottom=0.5, top=0.75)
    style_axes(axes, theme)
    add_title(axes, theme, "Where the time went, mean of the ranks", shown[0].kind, pad=28)
    label_axes(axes, theme, x="share of the wall time")
    parts = [part for part in theme.losses if any(r.attribution_s.get(part) for r in shown)]
    lefts = [0.0] * len(shown)
    for part in parts:
        shares = [r.attribution_s.get(part, 0.0) / sum(r.attribution_s.values()) for r in shown]
        colour = theme.losses[part]
        axes.barh(
            range(len(shown)), shares, left=lefts, height=0.62, color=colour,
            edgecolor=theme.background, linewidth=1.0, label=part.replace("_", " "),
        )  # fmt: skip
        for row, (left, share) in enumerate(zip(lefts, shares, strict=True)):
            if share >= SMALLEST_LABELLED:
                axes.text(
                    left + share / 2, row, f"{share:.0%}", ha="center", va="center",
                    fontsize=TICK_PT, color=readable_on(colour),
                )  # fmt: skip
        lefts = [left + share for left, share in zip(lefts, shares, strict=True)]
    axes.set_yticks(range(len(shown)), [_name(record) for record in shown])
    axes.tick_params(axis="y", length=0, labelsize=SMALL_PT)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.35, borderpad=0, ncols=6,
        frameon=False, fontsize=TICK_PT, labelcolor=theme.foreground,
        handlelength=1.0, handleheight=0.9, columnspacing=1.3, handletextpad=0.4,
    )  # fmt: skip
    return figure


def readable_on(colour: str) -> str:
    """Black or white, whichever has more contrast on ``colour`` (WCAG relative luminance)."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    return "black" if luminance > 0.179 else "white"


def _name(record: RunRecord) -> str:
    degrees = " ".join(
        f"{axis}={record.plan[axis]}" for axis in ("dp", "pp", "tp") if record.plan.get(axis, 1) > 1
    )
    each = f"{1e3 * record.step_time_s:.1f} ms a step"
    return f"{record.workload['name']}, {degrees or 'one device'}\n{each}"
