"""A picture that moves: kept background, only the moving artists drawn, into an ipw.Image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from labkit.figures.picture import Picture

LIVE_DPI = 100  # 900 px: 10 to 20 ms a picture, of cores that the ranks work on
REST_DPI = 160  # once nothing moves: sharp on dense screens


class LiveImage:
    """One place for pictures in a panel; only the pump touches it.

    Attributes:
        widget: what is displayed.
        alt: the picture in one sentence.
        css_class: by which the browser finds the image to give it its alternative text.
        kept: whether a saved notebook holds it.
    """

    def __init__(self, css_class: str, *, kept: bool = True) -> None:
        self.css_class = css_class
        self.kept = kept
        self.alt = ""
        self.widget = ipw.Image(format="png", layout=ipw.Layout(width="100%", display="none"))
        self.widget.add_class("lab-picture")
        self.widget.add_class(css_class)
        self._picture: Picture[Any] | None = None
        self._canvas: FigureCanvasAgg | None = None
        self._background: Any = None

    @property
    def png(self) -> bytes:
        """The image as it is shown now; empty before the first."""
        return bytes(self.widget.value)

    def show_live(self, picture: Picture[Any], shown: Any) -> None:
        """Update the picture with a record and show it, at the price of its moving artists."""
        if picture is not self._picture:
            picture.figure.set_dpi(LIVE_DPI)
            self._picture = picture
            self._canvas = FigureCanvasAgg(picture.figure)
            self._background = None
        canvas = self._canvas
        assert canvas is not None
        if picture.update(shown) or self._background is None:
            canvas.draw()  # leaves animated artists out
            self._background = canvas.copy_from_bbox(picture.figure.bbox)
        canvas.restore_region(self._background)
        renderer = canvas.get_renderer()
        for artist in picture.moving:
            artist.draw(renderer)
        self._put(_png_of(canvas), picture.alt)

    def show_rest(self, figure: Figure, alt: str, dpi: int = REST_DPI) -> None:
        """Show a whole figure once, in high resolution unless it is soon replaced."""
        self._picture = self._canvas = self._background = None
        self._put(_saved(figure, dpi), alt)

    def show_all(self, figures: Sequence[Figure], alt: str, background: str) -> None:
        """Show several figures once, one below the other."""
        self._picture = self._canvas = self._background = None
        self._put(stack([_saved(figure, REST_DPI) for figure in figures], background), alt)

    def clear(self) -> None:
        """Show nothing."""
        self._picture = self._canvas = self._background = None
        self.widget.layout.display = "none"
        self.widget.value = b""
        self.alt = ""

    def _put(self, png: bytes, alt: str) -> None:
        self.widget.value = png
        self.widget.layout.display = ""
        self.alt = alt


def _saved(figure: Figure, dpi: int) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def _png_of(canvas: FigureCanvasAgg) -> bytes:
    file = io.BytesIO()
    pixels = bytes(canvas.buffer_rgba())
    image = Image.frombuffer("RGBA", canvas.get_width_height(), pixels).convert("RGB")
    image.save(file, "png", compress_level=1)
    return file.getvalue()


def stack(pngs: list[bytes], background: str) -> bytes:
    """Pictures one below the other in one PNG: what a saved notebook shows."""
    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    width = max(image.width for image in images)
    images = [image.resize((width, image.height * width // image.width)) for image in images]
    page = Image.new("RGB", (width, sum(image.height for image in images)), background)
    top = 0
    for image in images:
        page.paste(image, (0, top))
        top += image.height
    file = io.BytesIO()
    page.save(file, "png")
    return file.getvalue()
