"""Where the boxes of a mesh stand and which arrows join them: geometry only, nothing is drawn.

There are three arrangements: a grid, ranks that meet at a bar or pass on in a ring (one axis
alone), and a star (everybody talks to one rank).
"""

from __future__ import annotations

from math import ceil

from labkit.figures.mesh_grid import grid_layout
from labkit.figures.mesh_holdings import has_hub
from labkit.figures.mesh_shapes import (
    BOX_GAP_IN,
    EDGE_IN,
    MOST_BOX_IN,
    MOST_ON_A_LINE,
    Arrow,
    Box,
    Layout,
)
from labkit.figures.style import WIDTH_IN
from labkit.plan import Plan


def mesh_layout(plan: Plan, top: float, box_height: float, strip: float) -> Layout:
    """Arrange the ranks of a plan.

    Args:
        plan: how the work is split.
        top: where the boxes begin.
        box_height: of each box.
        strip: free height above every line of boxes, such as for the names of hosts.
    Returns:
        The layout.
    """
    if has_hub(plan):
        return _star(plan, top, box_height, strip)
    alone = sum(degree > 1 for degree in (plan.dp, plan.pp, plan.tp)) <= 1 and plan.pp == 1
    if alone and plan.sync == "ring" and plan.dp > 1:
        return _ring(plan.dp, top, box_height, strip)
    if alone:
        return _meeting(plan, top, box_height, strip)
    return grid_layout(plan, top, box_height, strip)


def _line(
    ranks: list[int], y: float, height: float, gap: float = BOX_GAP_IN, width: float | None = None
) -> list[Box]:
    """Boxes side by side in the middle of the picture, from left to right."""
    if width is None:
        width = _box_width(len(ranks), gap)
    left = (WIDTH_IN - len(ranks) * width - (len(ranks) - 1) * gap) / 2
    return [Box(r, left + i * (width + gap), y, width, height) for i, r in enumerate(ranks)]


def _box_width(count: int, gap: float) -> float:
    return min((WIDTH_IN - 2 * EDGE_IN - (count - 1) * gap) / count, MOST_BOX_IN)


def _meeting(plan: Plan, top: float, height: float, strip: float) -> Layout:
    """One axis alone: every rank is joined to a bar, up to 8 ranks above it and 8 below."""
    count, kind = plan.world_size, "comm_tp" if plan.tp > 1 else "comm_dp"
    above = min(count, max(MOST_ON_A_LINE, ceil(count / 2)))
    y = top + strip
    layout = Layout()
    width = _box_width(above, BOX_GAP_IN)
    layout.boxes += _line(list(range(above)), y, height, width=width)
    if count == 1:
        layout.bottom = y + height
        return layout
    bar_y = y + height + 0.34
    below = _line(list(range(above, count)), bar_y + 0.34 + strip, height, width=width)
    for box in layout.boxes:
        x = box.middle[0]
        layout.arrows.append(Arrow(((x, y + height), (x, bar_y)), kind, both_ways=True))
    for box in below:
        x = box.middle[0]
        layout.arrows.append(Arrow(((x, bar_y), (x, box.y)), kind, both_ways=True))
    layout.boxes += below
    layout.bar = (layout.boxes[0].middle[0], layout.boxes[above - 1].middle[0], bar_y)
    if below:
        layout.bottom = below[0].y + height
    else:
        layout.words = (WIDTH_IN / 2, bar_y + 0.06)
        layout.bottom = bar_y + 0.22
    return layout


def _ring(count: int, top: float, height: float, strip: float) -> Layout:
    """Ranks pass on to the next, clockwise: half of them above, half below."""
    above = ceil(count / 2)
    gap = 0.3 if above <= 4 else 0.22
    width = _box_width(above, gap)
    y = top + strip
    first = _line(list(range(above)), y, height, gap, width)
    second_y = y + height + 0.8 + strip
    second = _line(list(range(count - 1, above - 1, -1)), second_y, height, gap, width)
    boxes = sorted([*first, *second])
    layout = Layout(boxes=boxes, bottom=second_y + height)
    for box in boxes:
        layout.arrows.append(_pass_on(box, boxes[(box.rank + 1) % count], beside=count == 2))
    if above > 2:
        layout.words = (WIDTH_IN / 2, (y + height + second_y) / 2)
    return layout


def _pass_on(box: Box, following: Box, beside: bool) -> Arrow:
    """From a rank to the next of its ring: along a line, or across from one to the other."""
    (x, y), (to_x, to_y) = box.middle, following.middle
    if abs(y - to_y) < 1e-9:
        right = to_x > x
        ends = (box.x + box.width, following.x) if right else (box.x, following.x + following.width)
        return Arrow(((ends[0], y), (ends[1], to_y)), "comm_dp")
    down = to_y > y
    shift = (0.25 * box.width if down else -0.25 * box.width) if beside else 0.0
    edge = (box.y + box.height, following.y) if down else (box.y, following.y + following.height)
    return Arrow(((x + shift, edge[0]), (to_x + shift, edge[1])), "comm_dp")


def _star(plan: Plan, top: float, height: float, strip: float) -> Layout:
    """Rank 0 in the middle, up to 8 ranks below it and further ones above."""
    others = list(range(1, plan.world_size))
    below = others if len(others) <= MOST_ON_A_LINE else others[: ceil(len(others) / 2)]
    above = others[len(below) :]
    width = _box_width(max(len(below), 1), BOX_GAP_IN)
    y = top + strip
    layout = Layout()
    if above:
        layout.boxes += _line(above, y, height, width=width)
        y += height + 0.75 + strip
    hub = Box(0, (WIDTH_IN - MOST_BOX_IN) / 2, y, MOST_BOX_IN, height)
    lower = _line(below, y + height + 0.75 + strip, height, width=width)
    layout.boxes = sorted([hub, *layout.boxes, *lower])
    kind = "comm_dp" if plan.dp > 1 else "comm_pp"
    for box in layout.boxes[1:]:
        down = box.y > hub.y
        start_y = hub.y + hub.height if down else hub.y
        end_y = box.y if down else box.y + box.height
        x = hub.middle[0] + 0.5 * (box.middle[0] - hub.middle[0]) * hub.width / WIDTH_IN
        dashed = plan.sync == "async_parameter_server"
        arrow = Arrow(((x, start_y), (box.middle[0], end_y)), kind, both_ways=True, dashed=dashed)
        layout.arrows.append(arrow)
    layout.words = (hub.x + hub.width + 0.2, hub.middle[1])
    layout.bottom = lower[0].y + height
    return layout
