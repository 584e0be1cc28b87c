"""Lines are told apart, and look the same in every picture."""

from __future__ import annotations

import pytest

from labkit.figures.line_styles import SOLID, STRATEGY_MARKERS, LineStyles
from labkit.figures.style import DARK, LIGHT, Theme

EIGHT = (
    "data",
    "data+sync=ring",
    "data+sync=average",
    "data+sync=parameter_server",
    "data+shard=parameters",
    "pipeline",
    "pipeline+schedule=zero_bubble",
    "hybrid",
)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_eight_lines_have_eight_looks(theme: Theme) -> None:
    styles = LineStyles(theme)
    looks = [styles.of(name) for name in EIGHT]
    assert len({(look.colour, look.marker) for look in looks}) == 8
    assert len({look.marker for look in looks}) == 8


def test_name_has_the_same_look_in_every_picture() -> None:
    alone = LineStyles(LIGHT).of("data+sync=ring")
    styles = LineStyles(LIGHT)
    styles.of("data")
    assert styles.of("data+sync=ring") == alone
    styles.of("pipeline")
    assert styles.of("data+sync=ring") == alone


def test_strategies_look_as_they_always_did() -> None:
    for strategy, marker in STRATEGY_MARKERS.items():
        assert LineStyles(LIGHT).of(strategy) == (LIGHT.strategies[strategy], marker, SOLID)


def test_further_names_take_free_colours_first() -> None:
    styles = LineStyles(LIGHT)
    colours = [styles.of(f"run {number}").colour for number in range(len(LIGHT.variants))]
    assert sorted(colours) == sorted(LIGHT.variants)


def test_more_lines_than_looks_are_drawn_all_the_same() -> None:
    styles = LineStyles(LIGHT)
    assert len([styles.of(f"run {number}") for number in range(40)]) == 40
