"""The report as one page: whole, named, without script, and with the report's own numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.preprocess.report_html import report_html, write_report_html

VOID = {"meta", "link", "br", "img", "source", "hr"}
SIDE = {"counts": {"orange": [90, 2], "watermelon": [1, 30]}, "below": 3, "above": 2}


class Page(HTMLParser):
    """What a browser would find; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.cells.append(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def make_report() -> dict[str, Any]:
    """Three of the five steps; a column's name needs escaping."""
    figures = {"count": 90, "missing": 10, "min": 1.0, "median": 5.0, "max": 9.0, "mean": 5.0}
    drawn = {"edges": [0.0, 5.0, 10.0], "before": SIDE, "after": SIDE}
    gaps = {"missing_before": {"a<b>": 10}, "missing_after": {"a<b>": 0}}
    pictures: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "statistics": ({"missing": {"a<b>": 10}}, {"unreadable_values": {"a<b>": 1}}),
        "integration": (
            {"rows_per_source": {"x": 100}, "duplicates": 5, "merged": 0, "set_aside": 2},
            {"duplicates": 5, "merged": 0, "conflicts": {"a<b>": 0},
             "set_aside_reasons": {"no readable key & no name": 2}},
        ),
        "cleaning": (
            {**gaps, "columns": {"a<b>": drawn, "c": drawn}},
            {"outliers": {"a<b>": 4}, "relabelled": 0, "fences": {"a<b>": {"low": 1.5, "high": 8}}},
        ),
    }  # fmt: skip
    return {
        "statistics": {"a<b>": figures, "c": figures}, "rows_in": 100, "rows_out": 93,
        "set_aside": 2, "shards": 2, "seconds": 1.5,
        "steps": [
            {"name": name, "seconds": 0.5, "rows_in": 100, "rows_out": 93,
             "note": f"{name} & more", "picture": picture, "details": details}
            for name, (picture, details) in pictures.items()
        ],
    }  # fmt: skip


def make_manifest() -> dict[str, Any]:
    """Two shards, one to train on and one to test by."""
    file = {"path": "shards/train-00000-inputs.npy", "bytes": 9, "sha256": "0123456789abcdef" * 4}
    entry = {"split": "train", "number": 0, "rows": 80, "inputs": [file], "targets": file}
    return {
        "name": "orchard", "columns": ["component_1"], "class_names": ["orange", "watermelon"],
        "layout": "samples", "shards": [entry, {**entry, "split": "test", "rows": 13}],
    }  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    return make_report()


@pytest.fixture(scope="module")
def text() -> str:
    """The whole page, made once: its pictures take most of a second."""
    return report_html(make_report(), make_manifest())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_is_whole_and_needs_nothing_else(text: str, page: Page) -> None:
    assert text.startswith("<!DOCTYPE html>")
    assert page.of("html")[0]["lang"] == "en"
    assert not page.of("script")
    assert not page.of("link")
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    assert "url(http" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_every_picture_and_table_has_its_words(page: Page) -> None:
    pictures = page.of("svg")
    assert len(pictures) == 1 + 3 + 1  # the overview, the steps, the second cleaned column
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    assert any("Cleaning: distribution" in str(picture["aria-label"]) for picture in pictures)
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(cell.get("scope") for cell in page.of("th"))
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_links_lead_to_the_sections(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    links = [str(link["href"])[1:] for link in page.of("a")]
    assert links == ["quality", "statistics", "integration", "cleaning", "shards"]
    assert set(links) <= ids


def test_numbers_of_the_report_are_in_the_page(page: Page) -> None:
    cells = page.cells
    assert {"100", "93", "Preprocessing of orchard"} <= set(cells)
    assert {"no readable key & no name", "Rows set aside, by reason"} <= set(cells)
    assert {"Fences, by column", "1.5", "8"} <= set(cells)
    assert "Noise removed, by column" in cells
    assert "95.00 %" in cells  # of the rows repeat no other
    assert any("80 rows to train on and 13 to test by" in cell for cell in cells)
    assert any("(0123456789abcdef)" in cell for cell in cells)


def test_what_the_data_say_is_escaped(text: str) -> None:
    assert "a<b>" not in text
    assert "a&lt;b&gt;" in text
    assert "cleaning &amp; more" in text


def test_what_was_not_counted_is_said_so(report: dict[str, Any]) -> None:
    report["steps"] = report["steps"][:1]
    cells = Page(report_html(report)).cells
    assert "not counted" in cells
    assert "integration" not in [cell.lower() for cell in cells]


def test_an_empty_report_is_a_page_too() -> None:
    page = Page(report_html({"steps": [], "statistics": {}}))
    assert not page.of("svg")
    assert "no step has ended yet" in page.cells


def test_it_is_written_beside_the_data(tmp_path: Path) -> None:
    path = write_report_html(tmp_path / "new", {"steps": []})
    assert path == tmp_path / "new" / "report.html"
    assert path.read_text(encoding="utf-8").endswith("</html>")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"report\.html cannot be written .* another folder"):
        write_report_html(tmp_path / "file" / "in", {"steps": []})
