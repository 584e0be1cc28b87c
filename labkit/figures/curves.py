"""Several sweeps in one picture: the same strategies measured and emulated, strong and weak ..."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from labkit.figures.device_axis import draw_linear_speedup, set_device_axis
from labkit.figures.end_labels import EndLabel, place_end_labels
from labkit.figures.line_styles import SOLID, Dashes, LineStyles
from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, is_late, remark_on_curves
from labkit.figures.run_names import strategy_lines
from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.runs.curve import Curve

_DASHES: tuple[Dashes, ...] = (
    SOLID,
    (0.0, (5.0, 1.6)),
    (0.0, (1.4, 1.2)),
    (0.0, (6.0, 1.4, 1.4, 1.4)),
)


def curves_figure(
    curves: Sequence[Curve], names: Sequence[str] | None = None, theme: Theme = LIGHT
) -> Figure:
    """Speedup of several sweeps: strategies by colour and marker, sweeps by dashes.

    Markers of the first sweep are filled, those of the others hollow.

    Args:
        curves: sweeps, of which each should be a set of points of its own.
        names: of the sweeps; by default what tells them apart.
        theme: light or dark.
    Returns:
        A figure of 900 x 420 px at 100 dpi.
    Raises:
        ValueError: no curve has a point, or the names are not as many as the curves.
    """
    called = list(names) if names is not None else curve_names(curves)
    if len(called) != len(curves):
        raise ValueError(f"{len(called)} names for {len(curves)} curves; give one for each")
    shown = [(name, c) for name, c in zip(called, curves, strict=True) if c.points]
    if not shown:
        raise ValueError("no curve has a point yet; wait for the first")
    remark = remark_on_curves([curve for _, curve in shown])
    figure = new_figure(4.2 + remark.height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.8, right=1.95, bottom=0.55 + remark.height_in, top=0.42)
    style_axes(axes, theme, grid="both")
    label_axes(axes, theme, x="devices", y="speedup = throughput(N) / throughput(1)")
    points = [point for _, curve in shown for point in curve.points]
    counts = sorted({1, *(point.devices for point in points)})
    set_device_axis(axes, counts)
    axes.set_ylim(0, 1.08 * max(counts[-1], *(point.speedup for point in points)))
    draw_linear_speedup(axes, theme, counts[-1], per_device=False)
    workloads = " and ".join(dict.fromkeys(curve.workload for _, curve in shown))
    add_title(axes, theme, f"Speedup of {workloads}", remark.kind_note)
    _lines(axes, theme, shown)
    describe(figure, _alt(shown) + remark.spoken)
    return figure


def _lines(axes: Axes, theme: Theme, shown: Sequence[tuple[str, Curve]]) -> None:
    """Every line with its name at its end, and a legend of the sweeps."""
    styles, labels, handles = LineStyles(theme), [], []
    late: list[tuple[int, float]] = []
    for number, (name, curve) in enumerate(shown, start=1):
        dashes = _DASHES[(number - 1) % len(_DASHES)]
        handle = Line2D([], [], color=theme.muted, ls=dashes, marker="o", label=f"{number}: {name}")
        handle.set_markerfacecolor(theme.background if number > 1 else theme.muted)
        handles.append(handle)
        for strategy in curve.strategies:
            style, points = styles.of(strategy), curve.of(strategy)
            axes.plot(
                [p.devices for p in points], [p.speedup for p in points], color=style.colour,
                marker=style.marker, ms=7.5, lw=2.0, ls=dashes, zorder=4,
                mfc=theme.background if number > 1 else style.colour,
            )  # fmt: skip
            late += [(p.devices, p.speedup) for p in points if is_late(p.lateness)]
            base, variant = strategy_lines(strategy)
            end = points[-1].speedup
            labels.append(EndLabel(f"{number}: {variant or base} {end:.2f}", end, style.colour))
    if late:
        (cross,) = axes.plot(
            *zip(*late, strict=True), ls="none", marker="x", ms=13, mew=2.2,
            color=theme.foreground, zorder=6, label="untrustworthy: more than 5% late",
        )  # fmt: skip
        handles.append(cross)
    axes.legend(
        handles=handles, loc="upper left", frameon=False, fontsize=SMALL_PT, handlelength=3.4,
        labelcolor=theme.foreground, borderaxespad=0.6,
    )  # fmt: skip
    place_end_labels(axes, labels)


def curve_names(curves: Sequence[Curve]) -> list[str]:
    """What tells sweeps apart: of workload, kind, device, scaling and cores what differs."""
    aspects = [
        (
            curve.workload,
            f"{curve.kind} on {curve.device}" if curve.device else curve.kind,
            f"{curve.scaling} scaling",
            f"{curve.repeats} repeats",
            ", ".join(curve.strategies),
        )
        for curve in curves
    ]
    used: list[int] = []
    for at in range(len(aspects[0]) if aspects else 0):
        if len({aspect[at] for aspect in aspects}) > 1 and not _distinct(aspects, used):
            used.append(at)
    names = [", ".join(aspect[at] for at in used or [1]) for aspect in aspects]
    if len(set(names)) < len(names):
        return [f"{name}, sweep {number}" for number, name in enumerate(names, start=1)]
    return names


def _distinct(aspects: Sequence[tuple[str, ...]], used: Sequence[int]) -> bool:
    return len({tuple(aspect[at] for at in used) for aspect in aspects}) == len(aspects)


def _alt(shown: Sequence[tuple[str, Curve]]) -> str:
    said = []
    for name, curve in shown:
        ends = [curve.of(strategy)[-1] for strategy in curve.strategies]
        points = ", ".join(f"{p.strategy} {p.speedup:.2f} on {p.devices}" for p in ends)
        said.append(f"{name}: {points}")
    return f"Speedup of {len(shown)} sweeps: {'; '.join(said)}"
