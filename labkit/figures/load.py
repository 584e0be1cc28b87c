"""How busy the device of each rank was while a run went on, and how full its memory."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.axis_units import said_bytes
from labkit.figures.line_styles import LineStyles
from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.run_names import workload_names
from labkit.figures.style import (
    LIGHT,
    TICK_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    nice_ceiling,
    place_axes,
    style_axes,
)
from labkit.runs.record import Load, RunRecord

MOST_NAMED = 8  # ranks beyond which a legend has no room


def load_figure(record: RunRecord, theme: Theme = LIGHT) -> Figure:
    """A line for each rank: NVML's utilisation of its GPU, or the cores that it computed on.

    Args:
        record: a run with samples of ``load``.
        theme: light or dark.
    Returns:
        A figure of 900 x 290 px at 100 dpi.
    Raises:
        ValueError: no device has told how busy it was.
    """
    told = [sample for sample in record.load if sample.busy is not None]
    if not told:
        raise ValueError("no device has told how busy it was; a sample is taken twice a second")
    on_gpus = any(str(d.get("device", "")).startswith("GPU") for d in record.devices)
    remark = remark_on([record])
    figure = new_figure(2.9 + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.85, right=0.25, bottom=0.55 + remark.height_in, top=0.72)
    style_axes(axes, theme, grid="y")
    title = f"How busy the {'GPUs' if on_gpus else 'ranks'} were: {workload_names([record])}"
    add_title(axes, theme, title, remark.kind_note, pad=28)
    what = "utilisation (%)" if on_gpus else "processor cores"
    label_axes(axes, theme, x="seconds on the wall since the call of train", y=what)
    scale = 100 if on_gpus else 1
    means = _draw_lines(axes, theme, told, scale)
    top = max(sample.busy or 0.0 for sample in told) * scale
    axes.set_ylim(0, 100 if on_gpus else nice_ceiling(max(1.0, top)))
    axes.set_xlim(0, nice_ceiling(max(sample.at_s for sample in told)))
    said = f"mean {_said(sum(means.values()) / len(means), on_gpus)}, {_memory(record, on_gpus)}"
    axes.annotate(
        said, (0, 1), xycoords="axes fraction", xytext=(0, 8), textcoords="offset points",
        va="bottom", fontsize=TICK_PT, color=theme.muted,
    )  # fmt: skip
    each = ", ".join(f"rank {rank} {_said(mean, on_gpus)}" for rank, mean in means.items())
    describe(figure, f"{title}, {said}. Mean of each: {each}{remark.spoken}")
    return figure


def _draw_lines(axes: Axes, theme: Theme, told: Sequence[Load], scale: float) -> dict[int, float]:
    """Draw a line for each rank; the mean of each."""
    styles, means = LineStyles(theme), {}
    for rank in sorted({sample.rank for sample in told}):
        own = [sample for sample in told if sample.rank == rank]
        busy = [scale * (sample.busy or 0.0) for sample in own]
        means[rank] = sum(busy) / len(busy)
        look = styles.of(f"rank {rank}")
        axes.plot(
            [sample.at_s for sample in own], busy, color=look.colour, ls=look.dashes, lw=1.8,
            marker=look.marker if len(own) < 40 else "", ms=5, label=f"rank {rank}",
        )  # fmt: skip
    if 1 < len(means) <= MOST_NAMED:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.35, borderpad=0,
            ncols=MOST_NAMED, frameon=False, fontsize=TICK_PT, labelcolor=theme.foreground,
            handlelength=1.4, columnspacing=1.1, handletextpad=0.4,
        )  # fmt: skip
    return means


def _said(busy: float, on_gpus: bool) -> str:
    return f"{busy:.0f} %" if on_gpus else f"{busy:.2f} cores"


def _memory(record: RunRecord, on_gpus: bool) -> str:
    most = max(sample.memory_bytes for sample in record.load)
    return f"at most {said_bytes(most)} {'of a GPU' if on_gpus else 'a process'} in use"
