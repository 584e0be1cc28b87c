"""What a picture of a mesh is made of: boxes, arrows and where they are, in inches, y downwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

EDGE_IN = 0.3
ROW_HEAD_IN = 1.2  # room for the names of the rows
MOST_ON_A_LINE = 8
SLICE_GAP_IN, LEAST_BOX_IN, MOST_BOX_IN = 0.2, 0.66, 1.7
BOX_GAP_IN = 0.2  # between boxes of one axis alone
LINE_GAP_IN, LEAST_LINE_GAP_IN = 0.42, 0.26  # between two lines of boxes: room for arrows
MANY_LINES = 4  # more than these stand closer
GROUP_PAD_IN = 0.06

Point = tuple[float, float]


class Box(NamedTuple):
    """The rectangle of one rank."""

    rank: int
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2


class Arrow(NamedTuple):
    """A way that messages take, along points; ``kind`` is that of the spans they cause."""

    points: tuple[Point, ...]
    kind: str
    both_ways: bool = False
    dashed: bool = False


@dataclass(slots=True)
class Layout:
    """A mesh in the plane.

    Attributes:
        boxes: by rank.
        arrows: between them.
        groups: corners (left, top, right, bottom) around the slices of each tensor group.
        columns: middle of each column of a grid that has headings, and its width.
        rows: middle of each row of a grid that has headings.
        bar: where ranks meet: left, right and height; ``None`` without a bar.
        words: where a sentence on the arrows stands; ``None`` where there is no room for it.
        bottom: below everything.
    """

    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    groups: list[tuple[float, float, float, float]] = field(default_factory=list)
    columns: list[tuple[float, float]] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    bar: tuple[float, float, float] | None = None
    words: Point | None = None
    bottom: float = 0.0
