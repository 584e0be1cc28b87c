"""What every live picture has: a figure, its moving artists and a sentence that says it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from labkit.figures.style import LIGHT, Theme, new_figure

Shown = TypeVar("Shown")


class Picture(ABC, Generic[Shown]):
    """A figure that follows a record.

    Artists are made once. Those in ``moving`` change with every ``update`` and are animated:
    a live view keeps the rest as a background image and draws only them (19 ms against some
    200 ms for the whole figure). Saving the figure draws everything, so the live view and the
    saved picture are the same code.

    Attributes:
        figure: the matplotlib figure.
        theme: its colours.
        moving: animated artists, in drawing order.
        alt: the picture in one sentence, for those who cannot see it.
    """

    def __init__(self, height_in: float, theme: Theme = LIGHT) -> None:
        self.theme = theme
        self.figure: Figure = new_figure(height_in, theme)
        self.moving: list[Artist] = []
        self.alt = ""

    @abstractmethod
    def update(self, shown: Shown) -> bool:
        """Let the artists show the record as it is now.

        Returns:
            Whether something else than the moving artists changed (an axis limit, the title),
            so that a live view must draw its background again.
        """

    def keep_moving(self, *artists: Artist) -> None:
        """Declare artists as moving."""
        for artist in artists:
            artist.set_animated(True)
            self.moving.append(artist)
