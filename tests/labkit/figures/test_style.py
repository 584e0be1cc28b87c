"""House style of the pictures."""

from __future__ import annotations

import subprocess
import sys

import pytest
from matplotlib.colors import to_rgb

from labkit.figures.attribution import readable_on
from labkit.figures.style import DARK, LIGHT, Theme, nice_ceiling


@pytest.mark.parametrize(
    ("value", "limit"),
    [(0.0, 1.0), (1.0, 1.0), (1.01, 1.2), (235.0, 250.0), (0.031, 0.04), (850.0, 1000.0)],
)
def test_limits_are_round_and_just_above(value: float, limit: float) -> None:
    assert nice_ceiling(value) == pytest.approx(limit)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_strategies_and_kinds_have_colours_of_their_own(theme: Theme) -> None:
    for colours in (theme.spans, theme.strategies, theme.losses):
        assert len(set(colours.values())) == len(colours)
        assert all(len(to_rgb(colour)) == 3 for colour in colours.values())


def test_text_is_readable_on_its_background() -> None:
    assert readable_on(LIGHT.background) == "black"
    assert readable_on(DARK.background) == "white"


def test_pictures_load_no_pyplot() -> None:
    code = (
        "import sys, labkit.figures.loss, labkit.figures.timeline, labkit.figures.speedup, "
        "labkit.figures.attribution, labkit.figures.preprocessing; "
        "print(sorted({'matplotlib.pyplot', 'torch', 'ipywidgets'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
