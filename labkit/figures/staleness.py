"""How old the parameters were that an asynchronous server's updates were computed from."""

from __future__ import annotations

from collections import Counter

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.run_names import workload_names
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

MOST_NUMBERED = 20  # bars beyond which their numbers have no room


def staleness_figure(record: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Histogram: updates that the server had applied since the worker took its parameters.

    Args:
        record: of a run with an asynchronous parameter server.
        theme: light or dark.
    Returns:
        A figure of 900 x 310 px at 100 dpi.
    Raises:
        ValueError: no update has a staleness.
    """
    ages = record.staleness
    if not ages:
        raise ValueError(
            "the run has no staleness; only sync=async_parameter_server has, once it is done"
        )
    counts = Counter(ages)
    remark = remark_on([record])
    figure = new_figure(3.1 + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.85, right=0.25, bottom=0.55 + remark.height_in, top=0.72)
    style_axes(axes, theme, grid="y")
    title = f"Staleness of {len(ages)} updates: {workload_names([record])}"
    add_title(axes, theme, title, remark.kind_note, pad=28)
    label_axes(axes, theme, x="updates since the worker took its parameters", y="updates")
    oldest = max(ages)
    axes.bar(
        list(counts), list(counts.values()), width=0.8, color=theme.spans["comm_dp"],
        edgecolor=theme.background, linewidth=0.8,
    )  # fmt: skip
    axes.set_xlim(-0.6, max(oldest, 4) + 0.6)
    axes.set_ylim(0, 1.15 * max(counts.values()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    for age, count in counts.items() if oldest < MOST_NUMBERED else ():
        axes.annotate(
            f"{count / len(ages):.0%}", (age, count), xytext=(0, 3), textcoords="offset points",
            ha="center", fontsize=SMALL_PT, color=theme.foreground,
        )  # fmt: skip
    mean = sum(ages) / len(ages)
    bound = record.plan.get("max_staleness")
    said = f"mean {mean:.2f}, most {oldest}"
    if bound is not None:
        said += f"; no worker may be more than {bound} steps ahead"
    axes.annotate(
        said, (0, 1), xycoords="axes fraction", xytext=(0, 8), textcoords="offset points",
        va="bottom", fontsize=TICK_PT, color=theme.muted,
    )  # fmt: skip
    shares = ", ".join(f"{age}: {counts[age] / len(ages):.0%}" for age in sorted(counts))
    describe(figure, f"{title}, {said}. Share by age: {shares}{remark.spoken}")
    return figure
