"""Live images: cheap updates and whole pictures show the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from labkit.figures.loss import LossPicture
from labkit.figures.style import DARK
from labkit.runs.record import RunRecord, Step
from widgets.live import LIVE_DPI, LiveImage, stack


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(
        run="made",
        workload={"name": "text"},
        plan={"dp": 2, "pp": 1, "tp": 1},
        strategy="data",
        world_size=2,
        planned_steps=30,
        steps=[Step(n, 3 - n / 10, 64, 0.1, n / 10) for n in range(10)],
    )


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def test_image_is_hidden_until_there_is_a_picture(record: RunRecord) -> None:
    image = LiveImage("lab-picture-x")
    assert image.widget.layout.display == "none"
    image.show_live(LossPicture(record), record)
    assert image.widget.layout.display == ""
    assert pixels(image.png).shape == (290, 900, 3)
    image.clear()
    assert (image.widget.layout.display, image.png, image.alt) == ("none", b"", "")


def test_update_changes_the_image_and_its_alternative_text(record: RunRecord) -> None:
    image, picture = LiveImage("lab-picture-x"), LossPicture(record)
    image.show_live(picture, record)
    before = image.png
    record.steps += [Step(n, 1.0, 64, 0.1, n / 10) for n in range(10, 20)]
    image.show_live(picture, record)
    assert image.png != before
    assert "step 20 of 30" in image.alt


def test_live_view_and_saved_picture_are_the_same(record: RunRecord) -> None:
    image, picture = LiveImage("lab-picture-x"), LossPicture(record, DARK)
    image.show_live(picture, record)
    record.steps.append(Step(10, 1.5, 64, 0.1, 1.1))
    image.show_live(picture, record)  # over the kept background
    live = pixels(image.png)
    image.show_rest(picture.figure, picture.alt, LIVE_DPI)
    assert np.abs(live - pixels(image.png)).mean() < 0.5


def test_stack_puts_pictures_below_each_other_at_one_width(record: RunRecord) -> None:
    image, picture = LiveImage("lab-picture-x"), LossPicture(record)
    image.show_live(picture, record)
    small = image.png
    image.show_rest(picture.figure, picture.alt, 2 * LIVE_DPI)
    assert pixels(stack([small, image.png], "#FFFFFF")).shape == (2 * 580, 1800, 3)
