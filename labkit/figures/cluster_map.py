"""A cluster now: hosts, workers, ranks, their leader, load, memory, links, and what happened."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

from labkit.figures.axis_units import said_bytes
from labkit.figures.cluster_map_layout import LINE_IN, STUB_IN, Place, map_layout
from labkit.figures.cluster_map_words import carried, named, newest, said_busy, said_state, spoken
from labkit.figures.colours import mix
from labkit.figures.picture import Picture
from labkit.figures.remark import Remark
from labkit.figures.style import (
    BLUE,
    EDGE_IN,
    GREEN,
    GREY,
    KIND_NOTES,
    LIGHT,
    ORANGE,
    SMALL_PT,
    TICK_PT,
    TITLE_PT,
    VERMILLION,
    WIDTH_IN,
    YELLOW,
    Theme,
)
from labkit.runs.cluster_view import ClusterView, RankState, WorkerView

STATE_COLOURS: dict[RankState, str] = {
    "free": GREY,
    "waiting": YELLOW,
    "starting": YELLOW,
    "running": GREEN,
    "slowed": ORANGE,
    "lost": VERMILLION,
    "gone": VERMILLION,
    "done": BLUE,
    "failed": VERMILLION,
}
TINT = 0.8  # share of the paper in the colour of a box
TINY_PT = 7.5
CHARACTERS_PER_IN = 13.0  # of tiny type
BAR_IN = 0.075
BUSY_AT, MEMORY_AT = 0.77, 1.06  # of the bars, below the top of a box
PAD_IN = 0.08


class _Box(NamedTuple):
    """The parts of one worker that change."""

    place: Place
    paper: FancyBboxPatch
    head: Text
    state: Text
    star: Line2D
    busy: Text
    busy_bar: Rectangle
    memory: Text
    memory_bar: Rectangle


class ClusterMap(Picture[ClusterView]):
    """A box for each worker, by host; its bars and their numbers move.

    States and history change rarely, so they belong to the background. The places of the workers
    are fixed: a view with other workers needs another map.
    """

    def __init__(self, view: ClusterView, theme: Theme = LIGHT) -> None:
        layout = map_layout(view)
        super().__init__(layout.height, Remark(kind_note=""), theme)
        self._names = _names(view)
        self._layout = layout
        self.axes = _blank(self.figure, layout.height)
        self._draw_hosts()
        self._boxes = [
            self._box(place, worker)
            for place, worker in zip(layout.workers, view.workers, strict=True)
        ]
        self._heading = self._text(EDGE_IN, 0.22, TITLE_PT, weight="bold")
        self._kind = self._text(WIDTH_IN - EDGE_IN, 0.22, TICK_PT, theme.muted, ha="right")
        self._links = self._text(EDGE_IN, layout.links_y, SMALL_PT)
        self._history = self._text(EDGE_IN, layout.history_y + LINE_IN, SMALL_PT, va="top")
        self._history.set_linespacing(1.35)
        self._text(EDGE_IN, layout.history_y + 0.06, SMALL_PT, theme.muted).set_text(
            "What happened, newest first (seconds since the call of train):"
        )
        self._leads = self._legend()
        self._still: object = None
        self.keep_moving(self._heading)
        self.update(view)

    def fits(self, view: ClusterView) -> bool:
        """Whether the workers of a view are those that have a place here."""
        return _names(view) == self._names

    def update(self, shown: ClusterView) -> bool:
        """Show a view that fits; whether a state, the links or the history have changed."""
        self._heading.set_text(shown.title[0].upper() + shown.title[1:])
        for box, worker in zip(self._boxes, shown.workers, strict=True):
            self._show_load(box, worker, shown)
        self.alt = spoken(shown)
        states = [(worker.state, worker.rank, worker.leads) for worker in shown.workers]
        still = (states, shown.kind, shown.term, carried(shown), shown.history)
        if still == self._still:
            return False
        self._still = still
        for box, worker in zip(self._boxes, shown.workers, strict=True):
            self._show_state(box, worker)
        self._kind.set_text(KIND_NOTES.get(shown.kind, ""))
        self._leads.set_text(f"leads{f' (term {shown.term})' if shown.term else ''}")
        self._links.set_text(carried(shown))
        self._history.set_text("\n".join(newest(shown.history)))
        return True

    # -- drawing once --------------------------------------------------------------------------

    def _draw_hosts(self) -> None:
        theme, layout = self.theme, self._layout
        for host in layout.hosts:
            self.axes.add_patch(
                _rounded(host.frame, 0.07, facecolor="none", edgecolor=theme.grid, linewidth=1.2)
            )
            name = self._text(host.frame.x + 0.11, host.frame.y + 0.14, SMALL_PT, theme.muted)
            name.set_text(f"host {host.name}")
            for left, right, y in host.buses:
                self._link([left, right], [y, y])
        if layout.spine is not None:
            ys = [y for host in layout.hosts for _, _, y in host.buses]
            self._link([layout.spine] * 2, [min(ys), max(ys)])
        for place in layout.workers:
            foot = place.y + place.height
            self._link([place.x + place.width / 2] * 2, [foot, foot + STUB_IN])

    def _link(self, x: list[float], y: list[float]) -> None:
        self.axes.plot(x, y, color=self.theme.muted, lw=1.6, solid_capstyle="round", zorder=1)

    def _box(self, place: Place, worker: WorkerView) -> _Box:
        theme, x, y = self.theme, place.x + PAD_IN, place.y
        paper = _rounded(place, 0.05, linewidth=1.3, zorder=2)
        self.axes.add_patch(paper)
        name = self._text(x, y + 0.32, TINY_PT, theme.muted)
        name.set_text(named(worker, int((place.width - 2 * PAD_IN) * CHARACTERS_PER_IN)))
        (star,) = self.axes.plot(
            [place.x + place.width - 0.16], [y + 0.15], marker="*", ms=11, zorder=6, lw=0,
            color=mix(YELLOW, ORANGE, 0.6), markeredgecolor=theme.foreground, markeredgewidth=0.6,
        )  # fmt: skip
        width = place.width - 2 * PAD_IN
        frames = [
            Rectangle(
                (x, y + at), width, BAR_IN, facecolor=theme.background, ec=theme.muted, lw=0.6
            )
            for at in (BUSY_AT, MEMORY_AT)
        ]
        bars = [
            Rectangle((x, y + at), 0.0, BAR_IN, facecolor=theme.spans[kind], lw=0)
            for at, kind in ((BUSY_AT, "forward"), (MEMORY_AT, "comm_tp"))
        ]
        for zorder, patch in ((3, frames[0]), (3, frames[1]), (4, bars[0]), (4, bars[1])):
            patch.set_zorder(zorder)
            self.axes.add_patch(patch)
        box = _Box(
            place,
            paper,
            self._text(x, y + 0.15, TICK_PT, weight="bold"),
            self._text(x, y + 0.49, SMALL_PT),
            star,
            self._text(x, y + BUSY_AT - 0.09, TINY_PT),
            bars[0],
            self._text(x, y + MEMORY_AT - 0.09, TINY_PT),
            bars[1],
        )
        self.keep_moving(box.busy, box.busy_bar, box.memory, box.memory_bar)
        return box

    def _legend(self) -> Text:
        """What the star and the bars are; the words at the star."""
        x, y, theme = EDGE_IN + 0.08, 0.48, self.theme
        self.axes.plot(
            [x], [y], marker="*", ms=9, lw=0, color=mix(YELLOW, ORANGE, 0.6),
            markeredgecolor=theme.foreground, markeredgewidth=0.6,
        )  # fmt: skip
        x += 0.14
        leads = self._text(x, y, SMALL_PT, theme.muted)
        x += 1.25
        for colour, words, step in (
            (theme.spans["forward"], "load: cores, or share of a GPU", 2.2),
            (theme.spans["comm_tp"], "memory, beside the fullest", 1.9),
        ):
            self.axes.add_patch(Rectangle((x, y - 0.04), 0.2, 0.08, facecolor=colour, lw=0))
            self._text(x + 0.27, y, SMALL_PT, theme.muted).set_text(words)
            x += step + 0.27
        return leads

    def _text(
        self, x: float, y: float, size: float, colour: str = "", *, ha: str = "left",
        va: str = "center", weight: str = "normal",
    ) -> Text:  # fmt: skip
        return self.axes.text(
            x, y, "", fontsize=size, color=colour or self.theme.foreground, ha=ha, va=va,
            fontweight=weight, zorder=5,
        )  # fmt: skip

    # -- drawing again and again ---------------------------------------------------------------

    def _show_state(self, box: _Box, worker: WorkerView) -> None:
        colour = STATE_COLOURS[worker.state]
        box.paper.set_facecolor(mix(colour, self.theme.background, TINT))
        box.paper.set_edgecolor(colour)
        box.paper.set_linestyle("--" if worker.state in ("lost", "gone") else "-")
        box.head.set_text("" if worker.rank is None else f"rank {worker.rank}")
        box.state.set_text(said_state(worker.state))
        box.star.set_visible(worker.leads)

    def _show_load(self, box: _Box, worker: WorkerView, shown: ClusterView) -> None:
        there = worker.rank is not None and worker.state != "lost"
        width = box.place.width - 2 * PAD_IN
        busy = worker.busy if there else None
        on_gpu = worker.device.startswith("GPU")
        box.busy.set_text(said_busy(busy, on_gpu=on_gpu))
        top = 1.0 if on_gpu else max(1.0, *(w.busy or 0.0 for w in shown.workers))
        box.busy_bar.set_width(width * min(1.0, (busy or 0.0) / top))
        held = worker.memory_bytes if there else 0
        fullest = max(w.memory_bytes for w in shown.workers) or 1
        box.memory.set_text(said_bytes(held) if held else "")
        box.memory_bar.set_width(width * held / fullest)


def _names(view: ClusterView) -> list[tuple[str, str, str]]:
    return [(worker.host, worker.name, worker.device) for worker in view.workers]


def _blank(figure: Figure, height_in: float) -> Axes:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH_IN)
    axes.set_ylim(height_in, 0)
    axes.set_axis_off()
    return axes


def _rounded(place: Place, radius: float, **look: object) -> FancyBboxPatch:
    return FancyBboxPatch(
        (place.x + radius, place.y + radius),
        place.width - 2 * radius,
        place.height - 2 * radius,
        boxstyle=f"round,pad={radius}",
        **look,  # type: ignore[arg-type]
    )
