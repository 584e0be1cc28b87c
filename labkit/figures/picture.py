"""What every picture has: a figure, a sentence that says it and, if live, its moving artists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from labkit.figures.remark import Remark, RemarkText
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
        foot_in: room at the foot that the remark on an emulated run takes.
    """

    def __init__(self, height_in: float, remark: Remark, theme: Theme = LIGHT) -> None:
        self.theme = theme
        self.foot_in = remark.height_in
        self.figure: Figure = new_figure(height_in + self.foot_in, theme)
        self.moving: list[Artist] = []
        self._remark = RemarkText(self.figure, theme, remark)

    @property
    def alt(self) -> str:
        """The picture in one sentence, for those who cannot see it."""
        return alt_of(self.figure)

    @alt.setter
    def alt(self, sentence: str) -> None:
        describe(self.figure, sentence)

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

    def say(self, remark: Remark) -> bool:
        """Follow the remark on a live run; whether it changed."""
        return self._remark.show(remark)


def describe(figure: Figure, sentence: str) -> None:
    """Give a figure its alternative text."""
    figure.set_label(sentence)


def alt_of(figure: Figure) -> str:
    """The alternative text of a figure; empty where it has none."""
    return str(figure.get_label() or "")
