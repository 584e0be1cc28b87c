"""House style of the pictures."""

from __future__ import annotations

import subprocess
import sys

import pytest
from matplotlib.colors import to_rgb

from labkit.figures.colours import contrast, readable_on
from labkit.figures.style import (
    DARK,
    LIGHT,
    Theme,
    add_title,
    new_figure,
    nice_ceiling,
    place_axes,
)


@pytest.mark.parametrize(
    ("value", "limit"),
    [(0.0, 1.0), (1.0, 1.0), (1.01, 1.2), (235.0, 250.0), (0.031, 0.04), (850.0, 1000.0)],
)
def test_limits_are_round_and_just_above(value: float, limit: float) -> None:
    assert nice_ceiling(value) == pytest.approx(limit)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_strategies_and_kinds_have_colours_of_their_own(theme: Theme) -> None:
    for colours in (theme.spans, theme.strategies, theme.losses, theme.memory):
        assert len(set(colours.values())) == len(colours)
        assert all(len(to_rgb(colour)) == 3 for colour in colours.values())


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_further_lines_differ_from_the_strategies_and_from_the_paper(theme: Theme) -> None:
    assert not set(theme.variants) & set(theme.strategies.values())
    assert all(contrast(colour, theme.background) > 2 for colour in theme.variants)


def test_text_is_readable_on_its_background() -> None:
    assert readable_on(LIGHT.background) == "black"
    assert readable_on(DARK.background) == "white"
    assert readable_on("#0072B2") == "white"
    assert readable_on("#F0E442") == "black"


def test_note_stands_at_the_edge_of_the_figure_whatever_the_margins() -> None:
    ends = []
    for right in (0.25, 1.95):
        figure = new_figure(3.0, LIGHT)
        axes = place_axes(figure, left=0.8, right=right, bottom=0.5, top=0.5)
        add_title(axes, LIGHT, "title", "note")
        figure.draw_without_rendering()
        ends.append(axes._right_title.get_window_extent().x1)  # matplotlib has no other way to it
    assert ends == pytest.approx([888.0, 888.0], abs=1.0)


def test_pictures_load_no_pyplot() -> None:
    code = (
        "import importlib, pkgutil, sys, labkit.figures as figures; "
        "names = [m.name for m in pkgutil.iter_modules(figures.__path__, 'labkit.figures.')]; "
        "assert len(names) > 20; [importlib.import_module(name) for name in names]; "
        "print(sorted({'matplotlib.pyplot', 'torch', 'ipywidgets'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
