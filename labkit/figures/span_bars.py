"""Spans as bars: their rectangles, their colours, and the numbers of their microbatches.

Virtual stages of a rank are told apart by shade: its first chunk has the colour of the kind, and
further chunks of a forward are darker, of a backward paler, so that the two never meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.legend import Legend
from matplotlib.legend_handler import HandlerTuple
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from labkit.figures.colours import mix, readable_on
from labkit.figures.rank_place import chunk_of
from labkit.figures.style import DPI, EDGE_IN, SMALL_PT, TICK_PT, WIDTH_IN, Theme
from labkit.runs.record import Span

NUMBERED_KINDS = ("forward", "backward", "weight_grad")
MANY_KINDS = 6  # names of kinds that fill the width in type of the usual size
NUMBER_PT = 7.5
DIGIT_WIDTH_PX = 7.0  # a span needs this much room for each digit of its microbatch number
_NAMES: Mapping[str, str] = {  # who talks to whom, in what a legend has room for
    "weight_grad": "weight gradient",
    "comm_dp": "⇄ replicas",
    "comm_tp": "⇄ slices",
    "comm_pp": "⇄ stages",
}
_SHADED: Mapping[str, tuple[str, float]] = {
    "forward": ("#000000", 0.42),
    "backward": ("#FFFFFF", 0.68),
}


class SpanColours:
    """The colour of a span: of its kind, and of its chunk where ranks hold several stages."""

    def __init__(self, theme: Theme, plan: Mapping[str, Any]) -> None:
        self._theme = theme
        self._plan = plan
        self.num_chunks = int(plan.get("virtual_stages") or 1)

    def of(self, span: Span) -> str:
        """The colour of one span."""
        return self.shade(span.kind, chunk_of(span.stage, self._plan))

    def shade(self, kind: str, chunk: int) -> str:
        """The colour of a kind in one chunk of its rank."""
        colour = self._theme.spans[kind]
        if kind not in _SHADED or self.num_chunks == 1 or chunk == 0:
            return colour
        towards, most = _SHADED[kind]
        return mix(colour, towards, most * min(chunk / (self.num_chunks - 1), 1.0))

    def add_legend(
        self, axes: Axes, kinds: Iterable[str], further: Mapping[str, str] | None = None
    ) -> Legend:
        """The kinds above the axes, each with the shades of its chunks, and further colours."""
        handles, labels = [], []
        for kind in kinds:
            chunks = self.num_chunks if kind in _SHADED else 1
            handles.append(tuple(Patch(color=self.shade(kind, c)) for c in range(chunks)))
            several = " by chunk" if chunks > 1 else ""
            labels.append(_NAMES.get(kind, kind) + several)
        for label, colour in (further or {}).items():
            handles.append((Patch(color=colour),))
            labels.append(label)
        size_pt, left = TICK_PT, 0.0
        if len(labels) > MANY_KINDS:  # smaller, and from the edge of the figure
            box = axes.get_position()
            size_pt, left = SMALL_PT, (EDGE_IN / WIDTH_IN - box.x0) / box.width
        return axes.legend(
            handles, labels, handler_map={tuple: HandlerTuple(ndivide=None, pad=0.0)},
            loc="lower left", bbox_to_anchor=(left, 1), borderaxespad=0.35, borderpad=0,
            frameon=False, ncols=len(labels), fontsize=size_pt,
            labelcolor=self._theme.foreground,
            handlelength=1.0, handleheight=0.9, columnspacing=1.2, handletextpad=0.4,
        )  # fmt: skip


def rectangle(left: float, right: float, top: float, bottom: float) -> list[tuple[float, float]]:
    """Corners of one bar."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def bar_collection(axes: Axes, theme: Theme) -> PolyCollection:
    """An empty collection of bars, added to the axes."""
    bars = PolyCollection([], linewidths=0.5, edgecolors=theme.background)
    axes.add_collection(bars, autolim=False)
    return bars


class Numbers:
    """Microbatch numbers in the middle of bars: a hundred of them cost 1 ms to draw."""

    def __init__(self, axes: Axes) -> None:
        figure = axes.get_figure(root=True)
        assert figure is not None
        self._axes = axes
        self._glyphs: dict[str, Path] = {}
        self._width_px = axes.get_window_extent().width / figure.dpi * DPI
        self.artist = PathCollection([], linewidths=0)
        self.artist.set_transform(figure.dpi_scale_trans)
        self.artist.set_offset_transform(axes.transData)
        axes.add_collection(self.artist, autolim=False)

    def show(self, bars: Sequence[tuple[float, float, float, int, str]], width: float) -> None:
        """Number the bars that have room for it.

        Args:
            bars: (left, right, middle height, microbatch, colour) of each.
            width: of the axis, in the units of ``left`` and ``right``.
        """
        places: list[tuple[float, float]] = []
        glyphs: list[Path] = []
        colours: list[str] = []
        for left, right, height, microbatch, colour in bars:
            number = str(microbatch)
            room_px = (right - left) * self._width_px / width
            if microbatch >= 0 and room_px >= DIGIT_WIDTH_PX * len(number):
                places.append(((left + right) / 2, height))
                glyphs.append(self._glyph(number))
                colours.append(readable_on(colour))
        self.artist.set_paths(glyphs)
        self.artist.set_offsets(np.array(places).reshape(-1, 2))
        self.artist.set_facecolor(colours)

    def _glyph(self, number: str) -> Path:
        """The outline of a number, centred, in inches."""
        if number not in self._glyphs:
            outline = TextPath((0, 0), number, size=NUMBER_PT)
            box = outline.get_extents()
            middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
            centred = Affine2D().translate(-middle[0], -middle[1]).scale(1 / 72)
            self._glyphs[number] = outline.transformed(centred)
        return self._glyphs[number]
