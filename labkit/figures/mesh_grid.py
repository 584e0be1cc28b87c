"""The mesh as a grid: replicas below each other, stages side by side, slices within a cell."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

from labkit.figures.mesh_shapes import (
    EDGE_IN,
    GROUP_PAD_IN,
    LEAST_BOX_IN,
    LEAST_LINE_GAP_IN,
    LINE_GAP_IN,
    MANY_LINES,
    MOST_ON_A_LINE,
    ROW_HEAD_IN,
    SLICE_GAP_IN,
    Arrow,
    Box,
    Layout,
    Point,
)
from labkit.figures.style import WIDTH_IN
from labkit.plan import Plan


def grid_layout(plan: Plan, top: float, height: float, strip: float) -> Layout:
    """Arrange the ranks of a plan that splits the model, or more than one axis.

    Args:
        plan: how the work is split.
        top: where the boxes begin.
        height: of each box.
        strip: free height above every line of boxes.
    Returns:
        The layout.
    """
    columns = min(plan.pp, MOST_ON_A_LINE)
    lines = ceil(plan.pp / columns)  # a long pipeline goes on below
    left = EDGE_IN + (ROW_HEAD_IN if plan.dp > 1 else 0.0)
    gutter = 0.46 if columns <= 4 else 0.26
    room = WIDTH_IN - left - EDGE_IN
    cell_width = min((room - gutter * (columns - 1)) / columns, _widest(plan.tp))
    left += (room - columns * cell_width - gutter * (columns - 1)) / 2
    per_line = _slices_on_a_line(plan.tp, cell_width)
    cell_height = ceil(plan.tp / per_line) * (height + SLICE_GAP_IN) - SLICE_GAP_IN
    line_gap = LINE_GAP_IN if plan.dp * lines <= MANY_LINES else LEAST_LINE_GAP_IN
    pitch = cell_height + line_gap + strip + (0.16 if plan.num_virtual_stages > 1 else 0.0)
    layout = Layout()
    for replica in range(plan.dp):
        for stage in range(plan.pp):
            x = left + stage % columns * (cell_width + gutter)
            y = top + strip + (replica * lines + stage // columns) * pitch
            first = (replica * plan.pp + stage) * plan.tp
            layout.boxes += _cell(first, plan.tp, per_line, (x, y), cell_width, height)
            if plan.tp > 1:
                layout.groups.append(_around(x, y, cell_width, cell_height))
        layout.rows.append(top + strip + replica * lines * pitch + cell_height / 2)
    if lines == 1:
        layout.columns = [
            (left + c * (cell_width + gutter) + cell_width / 2, cell_width) for c in range(columns)
        ]
    layout.bottom = top + plan.dp * lines * pitch - line_gap
    _add_arrows(layout, plan, columns, per_line)
    return layout


def _widest(tp: int) -> float:
    """A cell that holds more slices may be wider."""
    return 2.3 if tp == 1 else min(tp, 4) * 1.3


def _slices_on_a_line(tp: int, cell_width: float) -> int:
    most = int((cell_width + SLICE_GAP_IN) / (LEAST_BOX_IN + SLICE_GAP_IN))
    return max(n for n in range(1, tp + 1) if tp % n == 0 and n <= max(most, 1))


def _cell(
    first: int, tp: int, per_line: int, corner: Point, width: float, height: float
) -> list[Box]:
    """The slices of one stage of one replica."""
    box_width = (width - SLICE_GAP_IN * (per_line - 1)) / per_line
    return [
        Box(
            first + i,
            corner[0] + i % per_line * (box_width + SLICE_GAP_IN),
            corner[1] + i // per_line * (height + SLICE_GAP_IN),
            box_width,
            height,
        )
        for i in range(tp)
    ]


def _around(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    pad = GROUP_PAD_IN
    return x - pad, y - pad, x + width + pad, y + height + pad


def _add_arrows(layout: Layout, plan: Plan, columns: int, per_line: int) -> None:
    """Activations from stage to stage, sums among slices and across replicas."""
    boxes, tp, pp = layout.boxes, plan.tp, plan.pp
    pad = GROUP_PAD_IN if tp > 1 else 0.0
    for replica in range(plan.dp):
        for stage in range(pp):
            at = (replica * pp + stage) * tp
            cell = boxes[at : at + tp]
            for box, beside in pairwise(cell):
                if abs(box.y - beside.y) < 1e-9:
                    ends = ((box.x + box.width, box.middle[1]), (beside.x, box.middle[1]))
                    layout.arrows.append(Arrow(ends, "comm_tp", both_ways=True))
                elif per_line == 1:
                    ends = ((box.middle[0], box.y + box.height), (box.middle[0], beside.y))
                    layout.arrows.append(Arrow(ends, "comm_tp", both_ways=True))
            if stage + 1 < pp:
                following = boxes[at + tp : at + 2 * tp]
                layout.arrows += _hand_on(cell, following, pad)
            if replica + 1 < plan.dp and pp <= columns:
                below = boxes[at + pp * tp : at + pp * tp + per_line]
                for box, other in zip(cell[-per_line:], below, strict=True):
                    ends = (
                        (box.middle[0], box.y + box.height + pad),
                        (box.middle[0], other.y - pad),
                    )
                    layout.arrows.append(Arrow(ends, "comm_dp", both_ways=True))
        if plan.num_virtual_stages > 1 and pp <= columns:
            first = boxes[replica * pp * tp : (replica * pp + 1) * tp]
            last = boxes[(replica + 1) * pp * tp - tp : (replica + 1) * pp * tp]
            layout.arrows.append(_back_to_first(first, last, pad))


def _hand_on(cell: list[Box], following: list[Box], pad: float) -> list[Arrow]:
    """Activations to the next stage and gradients back; around the corner where the line ends."""
    right = max(box.x + box.width for box in cell) + pad
    middle = (cell[0].y + cell[-1].y + cell[-1].height) / 2
    if following[0].x > right:
        left = following[0].x - pad
        return [
            Arrow(((right, middle - 0.07), (left, middle - 0.07)), "comm_pp"),
            Arrow(((left, middle + 0.07), (right, middle + 0.07)), "comm_pp", dashed=True),
        ]
    bottom, top = cell[-1].y + cell[-1].height + pad, following[0].y - pad
    turn = (bottom + top) / 2
    x, to_x = cell[0].middle[0], following[0].middle[0]
    return [Arrow(((x, bottom), (x, turn), (to_x, turn), (to_x, top)), "comm_pp", both_ways=True)]


def _back_to_first(first: list[Box], last: list[Box], pad: float) -> Arrow:
    """From the last rank to the first one's next chunk, below the row."""
    bottom = last[-1].y + last[-1].height + pad
    x, to_x = last[-1].x + last[-1].width - 0.12, first[0].x + 0.12
    low = bottom + 0.15
    return Arrow(((x, bottom), (x, low), (to_x, low), (to_x, bottom)), "comm_pp")
