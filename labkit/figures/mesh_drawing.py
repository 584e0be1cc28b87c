"""The parts of a picture of a mesh, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from labkit.figures.colours import mix
from labkit.figures.mesh_holdings import Holding
from labkit.figures.mesh_shapes import EDGE_IN, Arrow, Box
from labkit.figures.style import SMALL_PT, TICK_PT, Theme

TINY_PT = 7.5
BOX_TINT, HUB_TINT = 0.82, 0.72  # share of the paper in the colour of a box
_MUTATION = 8.0


def draw_box(
    axes: Axes, theme: Theme, box: Box, held: Holding, shards: Mapping[str, bool], num_shards: int
) -> None:
    """One rank: its number, what it holds, and a bar for each part of its memory that is shared.

    Args:
        axes: counting inches.
        theme: light or dark.
        box: where.
        held: what the rank holds.
        shards: of each part of the memory whether the rank holds only its shard of it.
        num_shards: ranks that share.
    """
    colour = theme.spans["optimizer"] if held.is_hub else theme.spans["forward"]
    tint = HUB_TINT if held.is_hub else BOX_TINT
    axes.add_patch(
        _rounded(
            box.x, box.y, box.width, box.height, 0.05,
            facecolor=mix(colour, theme.background, tint), edgecolor=colour, linewidth=1.1,
            zorder=4,
        )
    )  # fmt: skip
    x = box.middle[0]
    top = box.y + 0.16 if held.lines or shards else box.middle[1]
    axes.text(
        x, top, f"rank {held.rank}", ha="center", va="center", fontsize=TICK_PT - 0.5,
        fontweight="bold", color=theme.foreground, zorder=5,
    )  # fmt: skip
    if held.lines:
        axes.text(
            x, box.y + 0.255, "\n".join(held.lines), ha="center", va="top", fontsize=8.5,
            color=theme.foreground, linespacing=1.2, zorder=5,
        )  # fmt: skip
    for row, (part, is_shard) in enumerate(shards.items()):
        bottom = box.y + box.height - 0.06 - 0.1 * (len(shards) - row)
        _shard_bar(axes, theme, box, bottom, theme.memory[part], is_shard, held.rank, num_shards)


def _shard_bar(
    axes: Axes, theme: Theme, box: Box, y: float, colour: str, is_shard: bool, own: int, count: int
) -> None:
    """A bar that is full for a copy, and has only its own piece for a shard."""
    left, width = box.x + 0.08, box.width - 0.16
    axes.add_patch(
        Rectangle((left, y), width, 0.07, facecolor="none", edgecolor=colour, lw=0.7, zorder=5)
    )
    start, part = (left + own * width / count, width / count) if is_shard else (left, width)
    axes.add_patch(Rectangle((start, y), part, 0.07, facecolor=colour, lw=0, zorder=6))


def draw_arrow(axes: Axes, theme: Theme, arrow: Arrow) -> None:
    """A way of messages, in the colour that they have in a timeline."""
    axes.add_patch(
        FancyArrowPatch(
            path=Path(list(arrow.points)), arrowstyle="<|-|>" if arrow.both_ways else "-|>",
            mutation_scale=_MUTATION, color=theme.spans[arrow.kind], lw=1.3,
            linestyle=(0, (2.5, 1.5)) if arrow.dashed else "solid", zorder=3, joinstyle="round",
        )
    )  # fmt: skip


def draw_group(axes: Axes, theme: Theme, corners: tuple[float, float, float, float]) -> None:
    """The frame around the slices of one stage of one replica."""
    left, top, right, bottom = corners
    axes.add_patch(
        _rounded(
            left, top, right - left, bottom - top, 0.07, facecolor="none",
            edgecolor=theme.spans["comm_tp"], linewidth=1.2, zorder=2,
        )
    )  # fmt: skip


def draw_bar(axes: Axes, theme: Theme, bar: tuple[float, float, float], kind: str) -> None:
    """The line at which the ranks of a collective meet."""
    left, right, y = bar
    axes.plot(
        [left, right], [y, y], color=theme.spans[kind], lw=4.0, solid_capstyle="round", zorder=3
    )


class _Run(NamedTuple):
    """Neighbouring ranks of one host on one line of boxes."""

    left: float
    right: float
    top: float
    bottom: float


def draw_hosts(
    axes: Axes, theme: Theme, boxes: Sequence[Box], devices_per_host: int, strip: float, pad: float
) -> None:
    """Shade the ranks of a host together; one that is not in one piece is named on each piece.

    Args:
        axes: counting inches.
        theme: light or dark.
        boxes: of all ranks.
        devices_per_host: ranks that share a host.
        strip: height above a line of boxes for the name.
        pad: around the boxes on the other sides.
    """
    lines = sorted({box.y for box in boxes})
    for host in range((len(boxes) - 1) // devices_per_host + 1):
        runs: list[_Run] = []
        for y in lines:
            mine = [b for b in boxes if b.y == y and b.rank // devices_per_host == host]
            for left, right in _neighbours(mine, [box for box in boxes if box.y == y]):
                height = mine[0].height
                run = _Run(left - pad, right + pad, y - strip, y + height + pad)
                previous = runs[-1] if runs else None
                if previous and (previous.left, previous.right) == (run.left, run.right):
                    runs[-1] = previous._replace(bottom=run.bottom)
                else:
                    runs.append(run)
        for run in runs:
            axes.add_patch(
                _rounded(
                    run.left, run.top, run.right - run.left, run.bottom - run.top, 0.08,
                    facecolor=theme.grid, edgecolor=theme.muted, linewidth=0.8, alpha=0.55,
                    zorder=0,
                )
            )  # fmt: skip
            axes.text(
                run.left + 0.07, run.top + 0.1, f"host {host}", fontsize=TINY_PT, va="center",
                color=theme.muted, zorder=5,
            )  # fmt: skip


def _neighbours(mine: Sequence[Box], line: Sequence[Box]) -> list[tuple[float, float]]:
    """Left and right ends of the pieces of a line that belong to one host."""
    ranks = {box.rank for box in mine}
    pieces: list[tuple[float, float]] = []
    together = False
    for box in sorted(line, key=lambda box: box.x):
        if box.rank not in ranks:
            together = False
            continue
        start = pieces.pop()[0] if together else box.x
        pieces.append((start, box.x + box.width))
        together = True
    return pieces


def draw_legend(
    axes: Axes, theme: Theme, entries: Sequence[tuple[str, str]], top: float, *, with_shards: bool
) -> None:
    """What the arrows carry, and what the bars in the boxes are, below the mesh."""
    y = top
    for kind, said in entries:
        axes.plot([EDGE_IN, EDGE_IN + 0.3], [y, y], color=theme.spans[kind], lw=2.2)
        axes.text(EDGE_IN + 0.42, y, said, va="center", fontsize=SMALL_PT, color=theme.foreground)
        y += 0.24
    if with_shards:
        x = EDGE_IN
        for part in tuple(theme.memory)[:3]:
            axes.add_patch(Rectangle((x, y - 0.05), 0.16, 0.1, facecolor=theme.memory[part], lw=0))
            axes.text(x + 0.22, y, part, va="center", fontsize=SMALL_PT, color=theme.foreground)
            x += 0.42 + 0.075 * len(part)
        axes.text(
            x + 0.1, y, "a full bar is a copy, a piece of it the rank's shard", va="center",
            fontsize=SMALL_PT, color=theme.muted,
        )  # fmt: skip


def _rounded(
    x: float, y: float, width: float, height: float, radius: float, **look: object
) -> FancyBboxPatch:
    return FancyBboxPatch(
        (x + radius, y + radius), width - 2 * radius, height - 2 * radius,
        boxstyle=f"round,pad={radius}", **look,  # type: ignore[arg-type]
    )  # fmt: skip
