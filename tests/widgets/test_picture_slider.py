"""A slider over pictures: each setting has its picture, also without a kernel."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from labkit.errors import SettingError
from labkit.figures.picture import describe
from widgets.picture_slider import PictureSlider


def picture(what: str) -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, what)
    describe(figure, what)
    return figure


def test_moving_the_slider_shows_the_other_picture_and_says_it() -> None:
    slides = PictureSlider("bucket", {"1 MB": picture("one"), "4 MB": picture("four")})
    first = slides.image.value
    assert slides.alt == "one"
    slides.slider.value = "4 MB"
    assert slides.alt == "four"
    assert slides.image.value != first
    assert list(slides.accessibility.alts.values()) == ["four"]


def test_a_saved_notebook_holds_the_picture_beside_the_live_view() -> None:
    slides = PictureSlider("bucket", {"1 MB": picture("one"), "4 MB": picture("four")}, "4 MB")
    bundle = slides._repr_mimebundle_()
    assert bundle["image/png"] == slides.image.value
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "bucket 4 MB: four"


def test_one_picture_needs_no_slider() -> None:
    with pytest.raises(SettingError, match="1 pictures need no slider; give two or more"):
        PictureSlider("bucket", {"1 MB": picture("one")})
    with pytest.raises(SettingError, match="first='2 MB' has no picture; choose 1 MB, 4 MB"):
        PictureSlider("bucket", {"1 MB": picture("one"), "4 MB": picture("four")}, "2 MB")
