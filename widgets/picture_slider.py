"""A slider over finished pictures: the same experiment at several settings."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import ipywidgets as ipw
from matplotlib.figure import Figure

from labkit.errors import SettingError
from labkit.figures.picture import alt_of
from widgets.accessibility import Accessibility

PNG_DPI = 120
_PNG = "image/png"


class PictureSlider(ipw.VBox):
    """One picture for each setting, and a slider that chooses.

    The pictures are drawn when the slider is made, in the cell: a mistake shows there, and a
    moved slider answers at once.

    Args:
        label: what the slider sets, such as ``bucket size``.
        pictures: figure by the text of the setting, in the order of the slider.
        first: the setting to begin with; ``None`` takes the first.
    Raises:
        SettingError: fewer than two pictures, or an unknown first setting.
    """

    def __init__(
        self, label: str, pictures: Mapping[str, Figure], first: str | None = None
    ) -> None:
        if len(pictures) < 2:
            raise SettingError(f"{len(pictures)} pictures need no slider; give two or more")
        first = first or next(iter(pictures))
        if first not in pictures:
            raise SettingError(f"first={first!r} has no picture; choose {', '.join(pictures)}")
        self._pngs = {setting: png_of(figure) for setting, figure in pictures.items()}
        self._alts = {setting: alt_of(figure) for setting, figure in pictures.items()}
        self._class = f"lab-slides-{uuid4().hex[:8]}"
        self.slider = ipw.SelectionSlider(
            options=list(pictures),
            value=first,
            description=label,
            style={"description_width": "initial"},
            layout=ipw.Layout(width="520px", max_width="100%"),
        )
        self.image = ipw.Image(format="png", layout=ipw.Layout(width="100%"))
        self.image.add_class("lab-picture")
        self.image.add_class(self._class)
        self.accessibility = Accessibility()
        self._show()
        self.slider.observe(self._show, "value")
        super().__init__([self.slider, self.image, self.accessibility])
        self.add_class("lab-root")

    @property
    def alt(self) -> str:
        """The picture that is shown, in one sentence."""
        return self._alts[self.slider.value]

    def _show(self, change: Any = None) -> None:
        self.image.value = self._pngs[self.slider.value]
        self.accessibility.alts = {self._class: self.alt}

    def _repr_mimebundle_(self, **given: Any) -> dict[str, Any]:
        """The live view, and the picture for a notebook that is read without a kernel."""
        bundle = super()._repr_mimebundle_(**given) or {}
        return {**bundle, _PNG: self._pngs[self.slider.value], "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"{self.slider.description} {self.slider.value}: {self.alt}"


def png_of(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PNG_DPI)
    return file.getvalue()
