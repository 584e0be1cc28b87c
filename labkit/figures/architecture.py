"""The processes of a lab on this host, and who talks to whom by which way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labkit.cluster.processes import LabProcess
from labkit.figures.colours import mix
from labkit.figures.picture import describe
from labkit.figures.style import EDGE_IN, LIGHT, SMALL_PT, TICK_PT, WIDTH_IN, Theme, new_figure

HEIGHT_IN = 4.2
BOX_IN = 0.62  # height of a process
SIDE_IN = 1.45  # width of the column at the right
ROWS_IN = {"client": 3.4, "worker": 1.9, "fork server": 1.9, "rank": 0.35, "store": 0.35}
TINT = 0.82
MOST_WORKERS = 6  # drawn; the rest is counted

Place = tuple[float, float, float]  # left, bottom, width; inches


def architecture_figure(processes: Sequence[LabProcess], theme: Theme = LIGHT) -> Figure:
    """Processes as boxes with their own memory, in rows; ways as arrows with what they carry.

    Args:
        processes: from ``lab_processes``; the client and at least one worker.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi.
    Raises:
        ValueError: there is no client or no worker among them.
    """
    roles = {process.role for process in processes}
    if not {"client", "worker"} <= roles:
        raise ValueError(f"a lab has a client and workers, not {sorted(roles)}")
    figure = new_figure(HEIGHT_IN, theme)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH_IN), ylim=(0, HEIGHT_IN))
    axes.axis("off")
    places = _places(processes)
    for process, place in places.items():
        _draw_process(axes, theme, process, place)
    _draw_ways(axes, theme, places)
    num_workers = sum(process.role == "worker" for process in processes)
    if num_workers > MOST_WORKERS:
        axes.text(
            EDGE_IN, ROWS_IN["worker"] - 0.12, f"and {num_workers - MOST_WORKERS} workers more",
            va="top", fontsize=SMALL_PT, color=theme.muted,
        )  # fmt: skip
    said = ", ".join(f"{_name(process)} (process {process.pid})" for process in processes)
    describe(figure, f"The processes of the lab and who talks to whom: {said}")
    return figure


def _places(processes: Sequence[LabProcess]) -> dict[LabProcess, Place]:
    """The client above, workers in a row, each rank below its worker, the rest at the right."""
    workers = [process for process in processes if process.role == "worker"][:MOST_WORKERS]
    side = WIDTH_IN - EDGE_IN - SIDE_IN
    pitch = (side - 0.45 - EDGE_IN) / len(workers)
    width = min(pitch - 0.15, 1.6)
    lefts = {worker.pid: EDGE_IN + at * pitch for at, worker in enumerate(workers)}
    places = {}
    for process in processes:
        bottom = ROWS_IN[process.role]
        if process.role == "client":
            places[process] = (EDGE_IN, bottom, side - 0.45 - EDGE_IN)
        elif process.role in ("fork server", "store"):
            places[process] = (side, bottom, SIDE_IN)
        elif (left := lefts.get(process.worker or process.pid)) is not None:
            places[process] = (left, bottom, width)
    return places


def _name(process: LabProcess) -> str:
    if process.role in ("worker", "rank"):
        return f"{process.role} {process.number}"
    return "this notebook: client and scheduler" if process.role == "client" else process.role


def _draw_process(axes: Axes, theme: Theme, process: LabProcess, place: Place) -> None:
    left, bottom, width = place
    kind = {"rank": "forward", "worker": "optimizer", "client": "comm_tp"}.get(process.role, "idle")
    colour = theme.spans[kind]
    axes.add_patch(
        FancyBboxPatch(
            (left + 0.04, bottom + 0.04), width - 0.08, BOX_IN - 0.08,
            boxstyle="round,pad=0.04", facecolor=mix(colour, theme.background, TINT),
            edgecolor=colour, linewidth=1.2,
        )
    )  # fmt: skip
    middle = left + width / 2
    axes.text(
        middle, bottom + 0.40, _name(process), ha="center", va="center", fontsize=TICK_PT,
        fontweight="bold", color=theme.foreground,
    )  # fmt: skip
    axes.text(
        middle, bottom + 0.18, f"{process.own_bytes / 1e6:.0f} MB of its own", ha="center",
        va="center", fontsize=SMALL_PT - 1, color=theme.muted,
    )  # fmt: skip


def _draw_ways(axes: Axes, theme: Theme, places: dict[LabProcess, Place]) -> None:
    """Arrows from who opens a connection to who is called; the words once for each kind."""
    of = {(process.role, process.number): place for process, place in places.items()}
    client = of["client", 0]
    server, store = of.get(("fork server", 0)), of.get(("store", 0))
    workers = [place for (role, _), place in of.items() if role == "worker"]
    for place in workers:
        x = place[0] + place[2] / 2
        _arrow(axes, theme, (x, place[1] + BOX_IN), (x, client[1]), both=True)
    _word(axes, theme, workers[0], client[1] - 0.32, "TLS: tasks, events")
    if server is not None:
        at = server[1] + BOX_IN / 2
        _arrow(axes, theme, (workers[-1][0] + workers[-1][2], at), (server[0], at))
        axes.text(
            server[0] + SIDE_IN / 2, server[1] + BOX_IN + 0.08, "Unix socket:\n“fork me a rank”",
            ha="center", va="bottom", fontsize=SMALL_PT, color=theme.muted,
        )  # fmt: skip
    ranks = [(process, place) for process, place in places.items() if process.role == "rank"]
    for process, place in ranks:
        x = place[0] + place[2] / 2
        _arrow(axes, theme, (x, ROWS_IN["worker"]), (x, place[1] + BOX_IN), both=True)
        if process.number == 0:
            _word(axes, theme, place, ROWS_IN["worker"] - 0.35, "pipe: orders, reports")
    for (_, left), (_, right) in pairwise(ranks):
        y = left[1] + BOX_IN / 2
        _arrow(axes, theme, (left[0] + left[2], y), (right[0], y), both=True)
    if ranks:
        foot = ROWS_IN["rank"] - 0.16
        axes.text(
            ranks[0][1][0], foot, "ranks among themselves: gloo, gradients and activations",
            va="center", fontsize=SMALL_PT, color=theme.muted,
        )  # fmt: skip
    if store is not None and ranks:
        last = ranks[-1][1]
        y = store[1] + BOX_IN / 2
        _arrow(axes, theme, (last[0] + last[2], y), (store[0], y))
        axes.text(
            store[0] + SIDE_IN / 2, store[1] + BOX_IN + 0.08, "addresses, and\nwho leads",
            ha="center", va="bottom", fontsize=SMALL_PT, color=theme.muted,
        )  # fmt: skip


def _word(axes: Axes, theme: Theme, place: Place, y: float, text: str) -> None:
    axes.text(
        place[0] + place[2] / 2 + 0.08, y, text, va="center", fontsize=SMALL_PT, color=theme.muted
    )


def _arrow(
    axes: Axes,
    theme: Theme,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    both: bool = False,
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="<|-|>" if both else "-|>", mutation_scale=9, shrinkA=2,
            shrinkB=2, linewidth=1.1, color=theme.muted,
        )
    )  # fmt: skip
