"""Which rank holds what, and who talks to whom: the mesh of a plan, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.mesh_drawing import (
    draw_arrow,
    draw_bar,
    draw_box,
    draw_group,
    draw_hosts,
    draw_legend,
)
from labkit.figures.mesh_holdings import SHARDED, holdings, said_names
from labkit.figures.mesh_layout import mesh_layout
from labkit.figures.mesh_shapes import EDGE_IN, GROUP_PAD_IN, MOST_ON_A_LINE, Layout
from labkit.figures.mesh_words import said_among_replicas, said_among_slices, said_between_stages
from labkit.figures.picture import describe
from labkit.figures.rank_place import counted, stages_on
from labkit.figures.run_names import plan_name
from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    TICK_PT,
    TITLE_PT,
    WIDTH_IN,
    Theme,
    new_figure,
)
from labkit.figures.wrap import wrapped
from labkit.plan import Plan

TITLE_IN, FOOT_IN = 0.5, 0.16
LINE_IN = 0.155  # a line of small type
RANK_IN = 0.3  # the number of a rank, at the top of its box
SHARD_IN = 0.1  # a bar of shards
HOST_STRIP_IN, HOST_PAD_IN = 0.2, 0.08  # for the name of a host above its ranks, and around them
LEGEND_GAP_IN = 0.32
CHARACTERS_PER_IN = 14.5  # of small type


def mesh_figure(
    plan: Plan | Mapping[str, Any],
    stages: Sequence[Sequence[int]] | None = None,
    theme: Theme = LIGHT,
    devices_per_host: int | None = None,
    layer_names: Sequence[str] | None = None,
    num_branches: int | None = None,
) -> Figure:
    """Every rank as a box: its replica, stages and layers, slice, columns, shards, branches.

    Replicas are rows, stages columns, and the slices of a layer stand together in a frame; arrows
    have the colours that their messages have in a timeline.

    Args:
        plan: a plan, or the ``plan`` of a record.
        stages: layers of each stage, as in a record; without them only stages are named.
        theme: light or dark.
        devices_per_host: ranks that share a host, shaded together; ``None`` leaves hosts out.
        layer_names: a name for each layer of the model.
        num_branches: parallel branches of the model, for ``placement=branches``.
    Returns:
        A figure 900 px wide at 100 dpi; its height grows with the rows.
    """
    if not isinstance(plan, Plan):
        plan = Plan.from_dict(dict(plan))
    stages = stages or None
    held = holdings(plan, stages, num_branches)
    shards = tuple(theme.memory)[:3] if plan.dp > 1 and plan.shard != "none" else ()
    height = RANK_IN + LINE_IN * max(len(one.lines) for one in held)
    height += 0.05 + SHARD_IN * len(shards) if shards else 0.0
    heads = _column_heads(plan, stages, layer_names)
    head_in = LINE_IN * max((head.count("\n") + 1 for head in heads), default=0)
    strip = (HOST_STRIP_IN if devices_per_host else 0.0) + (0.08 if plan.tp > 1 else 0.0)
    layout = mesh_layout(plan, TITLE_IN + head_in, height, strip)
    entries = _legend(plan, layout)
    num_lines = sum(words.count("\n") + 1 for _, words in entries) + bool(shards)
    total_in = layout.bottom + (LEGEND_GAP_IN + 0.24 * num_lines if num_lines else 0.1) + FOOT_IN
    figure = new_figure(total_in, theme)
    axes = _blank(figure, total_in)
    title = f"Who holds what: {plan.strategy}, {plan_name(plan.to_dict())}"
    _heading(axes, theme, title, plan.world_size)
    if devices_per_host:
        pad = HOST_PAD_IN + (GROUP_PAD_IN - 0.02 if layout.groups else 0.0)
        draw_hosts(axes, theme, layout.boxes, devices_per_host, strip, pad)
    for group in layout.groups:
        draw_group(axes, theme, group)
    for arrow in layout.arrows:
        draw_arrow(axes, theme, arrow)
    for box, one in zip(layout.boxes, held, strict=True):
        own = {part: part in SHARDED[plan.shard] for part in shards}
        draw_box(axes, theme, box, one, own, plan.dp)
    _heads(axes, theme, layout, heads, plan, TITLE_IN + head_in)
    if layout.bar is not None:
        draw_bar(axes, theme, layout.bar, "comm_tp" if plan.tp > 1 else "comm_dp")
    if layout.words is not None:
        _words(axes, theme, layout, plan)
    draw_legend(axes, theme, entries, layout.bottom + LEGEND_GAP_IN, with_shards=bool(shards))
    describe(figure, _alt(title, held, plan, devices_per_host))
    return figure


def _blank(figure: Figure, height_in: float) -> Axes:
    """Axes over the whole figure that count inches from its top left corner."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH_IN)
    axes.set_ylim(height_in, 0)
    axes.set_axis_off()
    return axes


def _heading(axes: Axes, theme: Theme, title: str, num_ranks: int) -> None:
    axes.text(
        EDGE_IN, 0.24, title, fontsize=TITLE_PT, fontweight="bold", color=theme.foreground,
        va="center",
    )  # fmt: skip
    ranks = "1 rank" if num_ranks == 1 else f"{num_ranks} ranks"
    axes.text(
        WIDTH_IN - EDGE_IN, 0.24, f"PLAN: {ranks}", fontsize=TICK_PT, color=theme.muted,
        ha="right", va="center",
    )  # fmt: skip


def _column_heads(
    plan: Plan, stages: Sequence[Sequence[int]] | None, names: Sequence[str] | None
) -> list[str]:
    """What stands above each column of a pipeline's grid."""
    if plan.pp == 1 or plan.pp > MOST_ON_A_LINE or plan.placement == "branches":
        return []
    room = int(CHARACTERS_PER_IN * 7.0 / plan.pp)
    heads = []
    for column in range(plan.pp):
        mine = stages_on(column, plan.to_dict())
        lines = [counted("stage", mine)]
        if stages is not None and names is not None and max(mine) < len(stages):
            called = [said_names(list(stages[stage]), names) for stage in mine]
            lines.append(wrapped("; ".join(called), max(room, 12)))
        heads.append("\n".join(lines))
    return heads


def _heads(
    axes: Axes, theme: Theme, layout: Layout, heads: Sequence[str], plan: Plan, bottom: float
) -> None:
    for (x, _), head in zip(layout.columns, heads, strict=False):
        axes.text(
            x, bottom - 0.05, head, ha="center", va="bottom", fontsize=SMALL_PT,
            color=theme.foreground, linespacing=1.15,
        )  # fmt: skip
    if plan.dp > 1 and layout.rows:
        x = min(box.x for box in layout.boxes) - 0.25
        for replica, y in enumerate(layout.rows):
            axes.text(
                x, y, f"replica {replica}\n1/{plan.dp} of batch", ha="right", va="center",
                fontsize=SMALL_PT, color=theme.foreground, linespacing=1.25,
            )  # fmt: skip


def _words(axes: Axes, theme: Theme, layout: Layout, plan: Plan) -> None:
    """The sentence at a bar, in a ring or beside a hub."""
    assert layout.words is not None
    x, y = layout.words
    said = said_among_replicas(plan) or said_between_stages(plan) or said_among_slices(plan)
    at_bar = layout.bar is not None
    beside = not at_bar and "\n" in said
    axes.text(
        x, y, said, ha="left" if beside else "center", va="top" if at_bar else "center",
        fontsize=SMALL_PT, color=theme.foreground, linespacing=1.25,
    )  # fmt: skip


def _legend(plan: Plan, layout: Layout) -> list[tuple[str, str]]:
    """Kinds of arrows and what they carry, where no sentence in the picture says so."""
    if layout.words is not None:
        return []
    said = {
        "comm_pp": said_between_stages(plan),
        "comm_tp": said_among_slices(plan),
        "comm_dp": said_among_replicas(plan),
    }
    return [(kind, words) for kind, words in said.items() if words]


def _alt(title: str, held: Sequence[Any], plan: Plan, devices_per_host: int | None) -> str:
    said = "; ".join(f"rank {one.rank}: {one.spoken}" for one in held)
    talk = (said_between_stages(plan), said_among_slices(plan), said_among_replicas(plan))
    words = ". ".join(one.replace("\n", " ") for one in talk if one)
    hosts = f". {devices_per_host} ranks on each host" if devices_per_host else ""
    return f"{title}. {said}{'. ' if words else ''}{words}{hosts}"
