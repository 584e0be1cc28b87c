"""What each step of preprocessing does to learning: accuracy with its spread, time beside it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labkit.figures.axis_units import said_time
from labkit.figures.picture import describe
from labkit.figures.style import (
    EDGE_IN,
    LIGHT,
    SMALL_PT,
    TICK_PT,
    TITLE_PT,
    WIDTH_IN,
    Theme,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.figures.wrap import wrapped
from labkit.runs.step_effect_result import StepEffect, VariantEffect

ROW_IN, TOP_IN, BOTTOM_IN = 0.42, 0.78, 0.55
LEFT_IN, MIDDLE_IN = 1.55, 5.75  # where the names end, and where the times begin
MARGIN = 0.12  # of the range, on either side of the accuracies
MEASURED = "MEASURED: real preprocessing, real training"


def step_effect_figure(effect: StepEffect, theme: Theme = LIGHT) -> Figure:
    """Accuracy of each variant with the spread over its seeds, and the seconds that it took.

    Every seed is a small ring, the mean a full disc. The axis of accuracy shows the range of what
    was found; it does not begin at 0.

    Args:
        effect: what ``step_effect`` returned.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi, 42 px high for each variant.
    """
    height_in = TOP_IN + BOTTOM_IN + ROW_IN * len(effect.variants)
    figure = new_figure(height_in, theme)
    on = "" if effect.workload == effect.dataset else f" on {effect.dataset}"
    title = f"What each step does to learning: {effect.workload}{on}"
    for x, align, text, size, weight, colour in (
        (EDGE_IN / WIDTH_IN, "left", title, TITLE_PT, "bold", theme.foreground),
        (1 - EDGE_IN / WIDTH_IN, "right", MEASURED, TICK_PT, "normal", theme.muted),
    ):
        figure.text(
            x, 1 - 0.12 / height_in, text, va="top", ha=align, fontsize=size, fontweight=weight,
            color=colour,
        )  # fmt: skip
    right = place_axes(
        figure, left=LEFT_IN, right=WIDTH_IN - MIDDLE_IN + 0.3, bottom=BOTTOM_IN, top=TOP_IN
    )
    seconds = place_axes(figure, left=MIDDLE_IN, right=0.75, bottom=BOTTOM_IN, top=TOP_IN)
    for axes in (right, seconds):
        style_axes(axes, theme, grid="x")
        axes.set_ylim(len(effect.variants) - 0.5, -0.5)
        axes.set_yticks(range(len(effect.variants)))
    right.set_yticklabels([variant.name for variant in effect.variants])
    seconds.set_yticklabels([])
    _accuracies(right, theme, effect)
    _seconds(seconds, theme, effect)
    describe(figure, f"{title}. {'; '.join(_said(effect, each) for each in effect.variants)}")
    return figure


def _accuracies(axes: Axes, theme: Theme, effect: StepEffect) -> None:
    colour = theme.strategies["data"]
    found = [t.accuracy for v in effect.variants for t in v.trials if t.accuracy is not None]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    margin = MARGIN * ((high - low) or 0.05)
    axes.set_xlim(low - margin, min(high + margin, 1 + margin))
    for row, variant in enumerate(effect.variants):
        spread = variant.accuracy
        if spread is None:
            axes.text(
                0.015, row, wrapped(f"not trained: {variant.reason}", 62, 2), va="center",
                fontsize=SMALL_PT - 0.5, color=theme.foreground, zorder=5,
                transform=axes.get_yaxis_transform(),
                bbox={"facecolor": theme.background, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
            continue
        axes.plot([spread.low, spread.high], [row, row], color=colour, lw=2.5, alpha=0.45)
        each = [t.accuracy for t in variant.trials if t.accuracy is not None]
        axes.plot(each, [row] * len(each), ls="none", marker="o", ms=5, mfc="none", mec=colour)
        axes.plot([spread.mean], [row], ls="none", marker="o", ms=8, color=colour)
        axes.annotate(
            f"{spread.mean:.1%}", (spread.mean, row), xytext=(0, 6), textcoords="offset points",
            ha="center", va="bottom", fontsize=SMALL_PT, color=theme.foreground,
            bbox={"facecolor": theme.background, "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )  # fmt: skip
    first = effect.variants[0].accuracy
    if first is not None:
        axes.axvline(first.mean, color=theme.muted, lw=1.0, ls=(0, (5, 3)), zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    label_axes(axes, theme, x=f"share of held-out things that are right, by {effect.judged_by}")


def _seconds(axes: Axes, theme: Theme, effect: StepEffect) -> None:
    colours = (theme.spans["data"], theme.spans["forward"])
    for row, variant in enumerate(effect.variants):
        start = 0.0
        for name, value, colour in zip(
            ("preprocessing", "training"),
            (variant.preprocess_s, variant.train_s),
            colours,
            strict=True,
        ):
            axes.barh(
                row, value, left=start, height=0.5, color=colour, label=name if row == 0 else None
            )
            start += value
        axes.annotate(
            said_time(start), (start, row), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=SMALL_PT, color=theme.foreground,
        )  # fmt: skip
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, borderpad=0, ncols=2,
        frameon=False, fontsize=TICK_PT, labelcolor=theme.foreground, handlelength=1.0,
        columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip
    label_axes(axes, theme, x="seconds")


def _said(effect: StepEffect, variant: VariantEffect) -> str:
    seconds = (
        f"{said_time(variant.preprocess_s)} of preprocessing and {said_time(variant.train_s)} of "
        "training"
    )
    if variant.accuracy is None:
        return f"{variant.name}: not trained ({variant.reason}), {seconds}"
    mean, low, high = variant.accuracy
    return f"{variant.name}: {mean:.2%} right ({low:.2%} to {high:.2%}), {seconds}"
