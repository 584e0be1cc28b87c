"""A figure inside a page: named, coloured by the page, apart from its neighbours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from labkit.figures.inline_svg import inline_svg
from labkit.figures.style import LIGHT, label_axes, new_figure, place_axes, style_axes


def made(name: str = "one") -> str:
    figure = new_figure(2.0, LIGHT)
    axes = place_axes(figure, left=0.5, right=0.5, bottom=0.5, top=0.5)
    style_axes(axes, LIGHT, grid="y")
    axes.scatter([1, 2], [3, 4], color=LIGHT.strategies["data"])
    label_axes(axes, LIGHT, x="x")
    return inline_svg(figure, 'a "picture" of <two> points', name)


def test_it_is_one_well_formed_element_with_a_name() -> None:
    root = ElementTree.fromstring(made())
    assert root.tag.endswith("svg")
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "picture" of <two> points'
    assert root.get("viewBox") == "0 0 648 144"
    assert root.get("width") is None  # as wide as the page lets it be


def test_neutral_colours_are_the_pages_own() -> None:
    svg = made()
    for colour in (LIGHT.foreground, LIGHT.muted, LIGHT.background, LIGHT.grid):
        assert colour.lower() not in svg
    assert {"var(--ink)", "var(--paper)", "var(--line)", "var(--accent)"} <= set(
        re.findall(r"var\(--\w+\)", svg)
    )


def test_identifiers_of_two_pictures_are_apart_and_all_references_lead_somewhere() -> None:
    one, two = made("one"), made("two")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, two)]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'href="#([^"]+)"', one)) | set(re.findall(r"url\(#([^)]+)\)", one))
    assert used
    assert used <= ids[0]


def test_nothing_is_loaded_and_no_time_is_written() -> None:
    svg = made()
    assert "metadata" not in svg
    assert not re.findall(r'(?:href|src)="(?!#)', svg)
