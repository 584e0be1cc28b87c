"""What ipywidgets leaves out: names and roles for assistive technology, and the page's theme."""

from __future__ import annotations

from pathlib import Path

import anywidget
import ipywidgets as ipw
import traitlets

HERE = Path(__file__).parent


class Accessibility(anywidget.AnyWidget):
    """An invisible widget that stands inside the lab and tends its neighbours.

    Sliders, progress bars, toggles and images of ipywidgets 8.1 have no accessible names; the
    browser side adds them from the labels that are there, and again whenever something changes.

    Attributes:
        alts: alternative text of each picture by its CSS class.
        dark: whether the page is dark; set by the browser.
    """

    _esm = HERE / "accessibility.js"
    _css = HERE / "lab.css"

    alts = traitlets.Dict().tag(sync=True)
    dark = traitlets.Bool(False).tag(sync=True)

    def __init__(self) -> None:
        super().__init__(layout=ipw.Layout(height="0px", margin="0px", overflow="hidden"))
