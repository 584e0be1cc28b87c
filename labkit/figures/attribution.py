"""Where the time of a run went, as one stacked bar a run."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit.figures.axis_units import said_time
from labkit.figures.colours import readable_on
from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.run_names import run_names, workload_names
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
from labkit.figures.wrap import wrapped
from labkit.runs.record import RunRecord

SMALLEST_LABELLED = 0.045  # a part below this share of the time has no room for its number
SMALLEST_SPOKEN = 0.005


def attribution_figure(*records: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Shares of the wall time, mean over the ranks, one stacked horizontal bar a run.

    The parts add up to the wall time, so every bar is as long as the axis.

    Args:
        records: finished runs, drawn from top to bottom.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the runs.
    Raises:
        ValueError: no record, or none with an attribution.
    """
    shown = [record for record in records if sum(record.attribution_s.values()) > 0]
    if not shown:
        raise ValueError("no run has an attribution yet; wait until one is done")
    remark = remark_on(shown)
    figure = new_figure(1.5 + 0.5 * len(shown) + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=1.75, right=0.25, bottom=0.5 + remark.height_in, top=0.75)
    style_axes(axes, theme)
    title = f"Where the time of {workload_names(shown)} went"
    add_title(axes, theme, title, remark.kind_note, pad=28)
    label_axes(axes, theme, x="share of the wall time, mean of the ranks")
    lefts = [0.0] * len(shown)
    for part in _parts(shown, theme):
        shares = [_share(record, part) for record in shown]
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
    names = [
        f"{wrapped(name, 26)}\n{said_time(record.step_time_s)} a step"
        for name, record in zip(run_names(shown), shown, strict=True)
    ]
    axes.set_yticks(range(len(shown)), names)
    axes.tick_params(axis="y", length=0, labelsize=SMALL_PT)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.35, borderpad=0, ncols=7,
        frameon=False, fontsize=SMALL_PT, labelcolor=theme.foreground,
        handlelength=1.0, handleheight=0.9, columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip
    describe(figure, _alt(shown, theme) + remark.spoken)
    return figure


def _parts(shown: list[RunRecord], theme: Theme) -> list[str]:
    """Parts that took any time, in the order of the theme."""
    return [part for part in theme.losses if any(r.attribution_s.get(part) for r in shown)]


def _share(record: RunRecord, part: str) -> float:
    return record.attribution_s.get(part, 0.0) / sum(record.attribution_s.values())


def _alt(shown: list[RunRecord], theme: Theme) -> str:
    said = []
    for name, record in zip(run_names(shown), shown, strict=True):
        shares = {part: _share(record, part) for part in _parts(shown, theme)}
        parts = ", ".join(
            f"{part.replace('_', ' ')} {share:.0%}"
            for part, share in shares.items()
            if share >= SMALLEST_SPOKEN
        )
        said.append(f"{name}: {parts}")
    return f"Where the time of {workload_names(shown)} went: {'; '.join(said)}"
