"""Bytes that ranks hand to collectives: counted, beside the formula."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from labkit.figures.axis_units import byte_unit, said_bytes, show_in
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
from labkit.runs.record import COMM_KINDS, RunRecord

ROW_IN = 0.46
_SAID: Mapping[str, str] = MappingProxyType(
    {
        "comm_dp": "among replicas",
        "comm_tp": "among slices",
        "comm_pp": "between stages",
    }
)


class _Row(NamedTuple):
    """One kind of one run, bytes a step."""

    name: str
    kind: str
    measured: float
    formula: float | None


def comm_bytes_figure(*records: RunRecord, theme: Theme = LIGHT) -> Figure:
    """Bytes a step that all ranks together hand to collectives, by kind and run.

    The filled bar was counted in the program, the outlined one below it is the formula.

    Args:
        records: finished runs, drawn from top to bottom.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the rows.
    Raises:
        ValueError: no run has communicated.
    """
    shown = [record for record in records if record.steps and _kinds(record)]
    if not shown:
        raise ValueError(
            "no run has communicated; one device has nobody to send to, and a run that is not "
            "done has not reported its bytes"
        )
    rows = [row for name, r in zip(run_names(shown), shown, strict=True) for row in _rows(name, r)]
    remark = remark_on(shown)
    figure = new_figure(1.4 + ROW_IN * len(rows) + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=2.35, right=1.6, bottom=0.55 + remark.height_in, top=0.75)
    style_axes(axes, theme, grid="x")
    title = f"Bytes communicated: {workload_names(shown)}"
    add_title(axes, theme, title, remark.kind_note, pad=28)
    _bars(axes, theme, rows)
    _names(axes, rows)
    _scale(axes, theme, rows)
    said = "; ".join(f"{row.name}, {_SAID[row.kind]}: {_said(row)}" for row in rows)
    describe(figure, f"{title}, a step: {said}{remark.spoken}")
    return figure


def _kinds(record: RunRecord) -> list[str]:
    measured, formula = (record.comm_bytes.get(side, {}) for side in ("measured", "formula"))
    return [kind for kind in COMM_KINDS if measured.get(kind) or formula.get(kind)]


def _rows(name: str, record: RunRecord) -> list[_Row]:
    steps = len(record.steps)
    rows = []
    for kind in _kinds(record):
        formula = record.comm_bytes.get("formula", {}).get(kind)
        measured = record.comm_bytes.get("measured", {}).get(kind, 0)
        rows.append(
            _Row(name, kind, measured / steps, None if formula is None else formula / steps)
        )
    return rows


def _bars(axes: Axes, theme: Theme, rows: list[_Row]) -> None:
    for place, row in enumerate(rows):
        colour = theme.spans[row.kind]
        axes.barh(place - 0.17, row.measured, height=0.3, color=colour)
        if row.formula is not None:
            axes.barh(
                place + 0.17, row.formula, height=0.3, facecolor="none", edgecolor=colour, lw=1.3
            )
        axes.annotate(
            _said(row), (max(row.measured, row.formula or 0.0), place), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=SMALL_PT, color=theme.foreground,
            annotation_clip=False,
        )  # fmt: skip
    axes.legend(
        handles=[
            Patch(facecolor=theme.muted, edgecolor=theme.muted, label="measured"),
            Patch(facecolor="none", edgecolor=theme.muted, label="formula"),
        ],
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.35, borderpad=0, ncols=2,
        frameon=False, fontsize=TICK_PT, labelcolor=theme.foreground,
        handlelength=1.4, handleheight=0.9, columnspacing=1.3, handletextpad=0.4,
    )  # fmt: skip


def _names(axes: Axes, rows: list[_Row]) -> None:
    """The run once, above its kinds; a kind on each row."""
    labels, previous = [], ""
    for row in rows:
        first = "" if row.name == previous else f"{wrapped(row.name, 32, max_lines=1)}\n"
        labels.append(f"{first}{row.kind}, {_SAID[row.kind]}")
        previous = row.name
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", length=0, labelsize=SMALL_PT)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _scale(axes: Axes, theme: Theme, rows: list[_Row]) -> None:
    most = max(max(row.measured, row.formula or 0.0) for row in rows)
    unit = byte_unit(most)
    axes.set_xlim(0, 1.05 * most)
    show_in(axes.xaxis, unit)
    label_axes(axes, theme, x=f"{unit.name} a step, payload of all ranks")


def _said(row: _Row) -> str:
    """The bytes, and how they compare with the formula."""
    if row.formula is None:
        return f"{said_bytes(row.measured)}, no formula"
    if row.measured == row.formula:
        return f"{said_bytes(row.measured)}, exact"
    ratio = f"{row.measured / row.formula:.4g}" if row.formula else "nothing expected"
    return f"{said_bytes(row.measured)}, x {ratio}"
