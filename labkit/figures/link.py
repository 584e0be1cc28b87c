"""What messages and collectives cost, measured, beside the formulas of a fitted link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from matplotlib.figure import Figure

from labkit.emulate.device import Link
from labkit.figures.picture import describe
from labkit.figures.style import (
    KIND_NOTES,
    LIGHT,
    SMALL_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.project.collectives import all_reduce_s, point_to_point_s

MARKERS = ("o", "s", "^", "D", "v")


def link_figure(
    message_s: Mapping[int, float],
    reduced_s: Mapping[int, Mapping[int, float]],
    link: Link,
    theme: Theme = LIGHT,
) -> Figure:
    """Seconds against bytes, both logarithmic: dots measured, dashes by formula.

    Args:
        message_s: seconds of a message by its bytes.
        reduced_s: seconds of an all_reduce by its bytes, for each number of ranks.
        link: the one that was fitted to the messages, and that the formulas take.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi.
    """
    lines: dict[str, tuple[Mapping[int, float], Callable[[float], float]]] = {
        "message": (message_s, partial(point_to_point_s, link=link))
    }
    for num, times_s in sorted(reduced_s.items()):
        lines[f"all_reduce, {num} ranks"] = (
            times_s,
            partial(all_reduce_s, world_size=num, link=link),
        )
    figure = new_figure(3.6, theme)
    axes = place_axes(figure, left=0.85, right=0.3, bottom=0.6, top=0.45)
    style_axes(axes, theme, grid="both")
    said = []
    for (name, (times_s, formula)), colour, marker in zip(
        lines.items(), theme.classes, MARKERS, strict=False
    ):
        sizes = sorted(times_s)
        axes.loglog(sizes, [times_s[s] for s in sizes], marker, ms=6, color=colour, label=name)
        axes.loglog(sizes, [formula(s) for s in sizes], ls="--", lw=1.4, color=colour)
        off = times_s[sizes[-1]] / formula(sizes[-1])
        said.append(f"{name}: {times_s[sizes[-1]]:.2e} s at the largest, {off:.2g} x the formula")
    speed = (
        f"latency {1e6 * link.latency_s:.3g} µs, bandwidth "
        f"{link.bandwidth_bytes_per_s / 1e9:.3g} GB/s"
    )
    label_axes(axes, theme, x="bytes", y="seconds: dots measured, dashes by formula")
    add_title(axes, theme, f"Fitted link: {speed}", KIND_NOTES["measured"])
    axes.legend(fontsize=SMALL_PT, frameon=False, labelcolor=theme.foreground)
    describe(figure, f"Fitted link with {speed}; {'; '.join(said)}")
    return figure
