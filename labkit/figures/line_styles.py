"""How the lines of a picture are told apart: by colour, marker and dashes, and always the same way.

The four strategies have looks of their own. Any other line, such as ``data+sync=ring`` or a second
run of a strategy, gets one by its name, so that it looks the same in every picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from labkit.figures.style import Theme

Dashes = Literal["solid"] | tuple[float, tuple[float, ...]]

STRATEGY_MARKERS: Mapping[str, str] = MappingProxyType(
    {"single": "X", "data": "o", "pipeline": "s", "tensor": "^", "hybrid": "D"}
)
SOLID: Dashes = "solid"
_DASHES: tuple[Dashes, ...] = (
    (0.0, (5.0, 1.6)),
    (0.0, (1.4, 1.2)),
    (0.0, (6.0, 1.4, 1.4, 1.4)),
)
_MARKERS = ("P", "v", "*", "h", "<", "p", "d", ">", "8", "H", "X", "|")


class LineStyle(NamedTuple):
    """What a line is drawn with."""

    colour: str
    marker: str
    dashes: Dashes


class LineStyles:
    """Hands out looks: the same for the same name, and none twice.

    A name asks for the look that its letters point to. If another line of the picture has that
    already, it takes the next, first of the colours that are still free.
    """

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self._given: dict[str, LineStyle] = {}

    def of(self, name: str) -> LineStyle:
        """The look of a line.

        Args:
            name: a strategy, a variant of one, or any other name.
        """
        if name not in self._given:
            self._given[name] = self._own(name) or self._next_free(name)
        return self._given[name]

    def _own(self, name: str) -> LineStyle | None:
        if name not in STRATEGY_MARKERS:
            return None
        return LineStyle(self._theme.strategies[name], STRATEGY_MARKERS[name], SOLID)

    def _next_free(self, name: str) -> LineStyle:
        slots = self._slots()
        first = zlib.crc32(name.encode()) % len(slots)
        tried = slots[first:] + slots[:first]
        taken = set(self._given.values())
        used_colours = {style.colour for style in taken}
        free = [style for style in tried if style not in taken] or tried
        return next((style for style in free if style.colour not in used_colours), free[0])

    def _slots(self) -> list[LineStyle]:
        colours = self._theme.variants
        return [
            LineStyle(colours[i % len(colours)], marker, _DASHES[i % len(_DASHES)])
            for i, marker in enumerate(_MARKERS)
        ]
