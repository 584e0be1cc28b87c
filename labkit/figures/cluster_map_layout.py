"""Where everything stands in the map of a cluster, in inches from its top left corner."""

from __future__ import annotations

from typing import NamedTuple

from labkit.figures.style import EDGE_IN, WIDTH_IN
from labkit.runs.cluster_view import ClusterView

MOST_ON_A_LINE = 8
TITLE_IN = 0.66  # title, and what the marks mean
HOST_HEAD_IN = 0.26  # the name of a host, above its workers
BOX_IN, WIDEST_IN, GAP_IN = 1.2, 2.06, 0.11
STUB_IN = 0.13  # from a worker down to the line that it shares with its host's others
HOST_FOOT_IN = 0.1  # below that line
HOST_GAP_IN = 0.14
SPINE_IN = 0.34  # at the left, the line between hosts
LINKS_IN = 0.26  # what the links carry, below the hosts
HISTORY_LINES, LINE_IN = 6, 0.185


class Place(NamedTuple):
    """A box of the map."""

    x: float
    y: float
    width: float
    height: float


class HostPlace(NamedTuple):
    """A host: its frame, its lines of workers, and where each of those lines has its link."""

    name: str
    frame: Place
    buses: tuple[tuple[float, float, float], ...]  # left, right, y


class MapLayout(NamedTuple):
    """All places.

    ``workers`` are in the order of the view; ``spine`` is the x of the link between lines of
    workers, ``None`` where there is one line; ``links_y`` is where the words on links stand.
    """

    workers: tuple[Place, ...]
    hosts: tuple[HostPlace, ...]
    spine: float | None
    links_y: float
    history_y: float
    height: float


def map_layout(view: ClusterView) -> MapLayout:
    """Hosts one below the other, each with its workers on lines of at most eight."""
    most = max(len(workers) for workers in view.hosts.values())
    several = len(view.hosts) > 1 or most > MOST_ON_A_LINE
    left = EDGE_IN + (SPINE_IN if several else 0.0)
    room = WIDTH_IN - EDGE_IN - left - 2 * GAP_IN
    columns = min(MOST_ON_A_LINE, most)
    width = min(WIDEST_IN, (room + GAP_IN) / columns - GAP_IN)
    y = TITLE_IN
    boxes: list[Place] = []
    hosts: list[HostPlace] = []
    for name, workers in view.hosts.items():
        top, buses = y, []
        y += HOST_HEAD_IN
        for first in range(0, len(workers), columns):
            line = workers[first : first + columns]
            x = [left + GAP_IN + at * (width + GAP_IN) for at in range(len(line))]
            boxes += [Place(each, y, width, BOX_IN) for each in x]
            y += BOX_IN + STUB_IN
            start = EDGE_IN + SPINE_IN / 3 if several else x[0] + width / 2
            buses.append((start, x[-1] + width / 2, y))
            y += GAP_IN
        y += HOST_FOOT_IN - GAP_IN
        frame = Place(left, top, WIDTH_IN - EDGE_IN - left, y - top)
        hosts.append(HostPlace(name, frame, tuple(buses)))
        y += HOST_GAP_IN
    history = y + LINKS_IN
    height = history + LINE_IN * (HISTORY_LINES + 1) + 0.1
    spine = EDGE_IN + SPINE_IN / 3 if several else None
    return MapLayout(tuple(boxes), tuple(hosts), spine, y + 0.02, history, height)
