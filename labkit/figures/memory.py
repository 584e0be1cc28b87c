"""The memory of each rank: what the formula predicts, beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.axis_units import byte_unit, said_bytes, show_in
from labkit.figures.picture import describe
from labkit.figures.remark import Remark, RemarkText, remark_on
from labkit.figures.run_names import plan_name, workload_names
from labkit.figures.style import (
    KIND_NOTES,
    LIGHT,
    SMALL_PT,
    TICK_PT,
    VERMILLION,
    Theme,
    add_title,
    label_axes,
    new_figure,
    nice_ceiling,
    place_axes,
    style_axes,
)
from labkit.runs.record import RunRecord

BAR = 0.36  # width of a bar; one rank is 1 wide
NEAR = 4  # a limit further above the bars than that would only flatten them
MOST_RATIOS = 16  # ranks beyond which the ratios above the bars have no room

Parts = Mapping[str, float]


def memory_figure(record: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Memory of each rank: the parts by formula, stacked, beside what it grew by when measured.

    The number above a pair is measured / formula.

    Args:
        record: a run whose ``memory_bytes`` has ``formula`` or ``measured``, or both.
        theme: light or dark.
    Returns:
        A figure of 900 x 340 px at 100 dpi.
    Raises:
        ValueError: the record says nothing about memory.
    """
    formula: Sequence[Parts] = record.memory_bytes.get("formula") or []
    measured: Sequence[float] = record.memory_bytes.get("measured") or []
    if not formula and not measured:
        raise ValueError("the run has no memory figures yet; wait until it is done")
    title, plan = f"Memory of {workload_names([record])}", plan_name(record.plan)
    remark = remark_on([record])
    figure, axes = _new(title, remark, theme, max(len(formula), len(measured)))
    both = bool(formula) and bool(measured)
    shift = BAR / 2 if both else 0.0
    totals = _stack(axes, theme, formula, -shift)
    if measured:
        axes.bar(
            [rank + shift for rank in range(len(measured))], measured, width=BAR,
            color=theme.muted, edgecolor=theme.background, linewidth=0.8, label="measured",
        )  # fmt: skip
    _finish(axes, theme, [*totals, *measured], x=f"rank; {plan}")
    if both and len(totals) <= MOST_RATIOS:
        for rank, (total, found) in enumerate(zip(totals, measured, strict=True)):
            said = f"{found / total:.2f}" if total else ""
            _say_above(axes, theme, rank, max(total, found), said)
    describe(figure, _alt(f"{title}, {plan}", totals, measured) + remark.spoken)
    return figure


def predicted_memory_figure(
    predicted: Sequence[Parts], limit_bytes: float | None = None, theme: Theme = LIGHT
) -> Figure:
    """Memory that a plan will need on each rank, before anything starts.

    Args:
        predicted: bytes of ``parameters``, ``gradients``, ``optimizer`` and ``activations`` of
            each rank.
        limit_bytes: memory of a device; ranks that need more are marked.
        theme: light or dark.
    Returns:
        A figure of 900 x 340 px at 100 dpi.
    Raises:
        ValueError: no rank.
    """
    if not predicted:
        raise ValueError("no rank to draw; predict the memory of at least one")
    title = "Memory that each rank will need"
    figure, axes = _new(title, Remark(KIND_NOTES["projected"]), theme, len(predicted))
    totals = _stack(axes, theme, predicted, 0.0)
    near = limit_bytes is not None and limit_bytes <= NEAR * max(totals)
    if limit_bytes is not None:
        said = f"memory of the device: {said_bytes(limit_bytes)}" + ("" if near else ", far above")
        axes.axhline(
            limit_bytes if near else math.nan, color=VERMILLION, lw=1.4, ls=(0, (5, 3)), label=said
        )
    _finish(axes, theme, [*totals, limit_bytes] if limit_bytes and near else totals)
    for rank, total in enumerate(totals if len(totals) <= MOST_RATIOS else []):
        _say_above(axes, theme, rank, total, said_bytes(total), _exceeds(total, limit_bytes))
    too_large = [rank for rank, total in enumerate(totals) if _exceeds(total, limit_bytes)]
    said = f"; too much on rank {', '.join(map(str, too_large))}" if too_large else ""
    describe(figure, _alt(title, totals, []) + said)
    return figure


def _new(title: str, remark: Remark, theme: Theme, num_ranks: int) -> tuple[Figure, Axes]:
    figure = new_figure(3.4 + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.85, right=0.25, bottom=0.55 + remark.height_in, top=0.75)
    style_axes(axes, theme, grid="y")
    add_title(axes, theme, title, remark.kind_note, pad=28)
    axes.set_xlim(-0.6, max(num_ranks, 4) - 0.4)  # few ranks make no fat bars
    axes.set_xticks(range(num_ranks))
    return figure, axes


def _stack(axes: Axes, theme: Theme, ranks: Sequence[Parts], shift: float) -> list[float]:
    """The parts of each rank on top of each other; their sums."""
    totals = [0.0] * len(ranks)
    for part, colour in theme.memory.items():
        sizes = [float(rank.get(part, 0)) for rank in ranks]
        if any(sizes):
            axes.bar(
                [rank + shift for rank in range(len(ranks))], sizes, width=BAR, bottom=totals,
                color=colour, edgecolor=theme.background, linewidth=0.8, label=part,
            )  # fmt: skip
        totals = [total + size for total, size in zip(totals, sizes, strict=True)]
    return totals


def _finish(axes: Axes, theme: Theme, heights: Sequence[float], x: str = "rank") -> None:
    top = nice_ceiling(1.12 * max(heights))
    unit = byte_unit(top)
    axes.set_ylim(0, top)
    show_in(axes.yaxis, unit)
    label_axes(axes, theme, x=x, y=unit.name)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.35, borderpad=0, ncols=6,
        frameon=False, fontsize=TICK_PT, labelcolor=theme.foreground,
        handlelength=1.0, handleheight=0.9, columnspacing=1.3, handletextpad=0.4,
    )  # fmt: skip


def _say_above(
    axes: Axes, theme: Theme, rank: int, height: float, said: str, too_much: bool = False
) -> None:
    axes.annotate(
        said, (rank, height), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom",
        fontsize=SMALL_PT, color=VERMILLION if too_much else theme.muted,
        fontweight="bold" if too_much else "normal",
    )  # fmt: skip


def _exceeds(total: float, limit_bytes: float | None) -> bool:
    return limit_bytes is not None and total > limit_bytes


def _alt(title: str, totals: Sequence[float], measured: Sequence[Any]) -> str:
    said = []
    for rank in range(max(len(totals), len(measured))):
        words = [f"{said_bytes(totals[rank])} by formula"] if rank < len(totals) else []
        words += [f"{said_bytes(measured[rank])} measured"] if rank < len(measured) else []
        said.append(f"rank {rank} {', '.join(words)}")
    return f"{title}: {'; '.join(said)}"
