"""The row of small pictures: one a step, drawn as far as the report goes."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.figures.preprocessing import preprocessing_figure
from labkit.figures.style import DARK, LIGHT

EDGES = [0.0, 10.0, 20.0, 30.0]
SIDE = {"counts": {"orange": [90, 2, 0], "watermelon": [1, 30, 40]}, "below": 3, "above": 2}
CLEAN = {"counts": {"orange": [92, 0, 0], "watermelon": [0, 31, 45]}, "below": 0, "above": 0}


@pytest.fixture
def report() -> dict[str, Any]:
    """What ``Dataset.to_json()`` holds for pictures, with small numbers."""
    sources = {"orchard": 100, "market": 60, "questionnaire": 20}
    pictures = {
        "statistics": {
            "rows_per_source": sources,
            "missing": {"weight_g": 7, "red": 0, "fruit": 1},
        },
        "integration": {
            "rows_per_source": sources,
            "duplicates": 5,
            "merged": 7,
            "set_aside": 0,
            "rows_out": 168,
        },
        "cleaning": {"column": "diameter_cm", "edges": EDGES, "before": SIDE, "after": CLEAN},
        "reduction": {
            "explained": [0.6, 0.3, 0.1],
            "num_kept": 2,
            "points": {"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 1.0], "class": ["orange"] * 3},
        },
        "transformation": {
            "columns": ["component_1", "component_2"],
            "edges": EDGES,
            "before": {"component_1": SIDE, "component_2": SIDE},
            "after": {"component_1": CLEAN, "component_2": CLEAN},
        },
    }
    steps = [{"name": name, "picture": picture} for name, picture in pictures.items()]
    return {"rows_in": 180, "rows_out": 168, "seconds": 1.25, "steps": steps}


def headings(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_step_has_its_picture(report: dict[str, Any], theme: Any) -> None:
    figure = preprocessing_figure(report, theme)
    assert len(figure.axes) == 7  # cleaning and transformation have a before and an after
    assert headings(figure)[2:] == [
        "1 statistics",
        "2 integration",
        "3 cleaning",
        "4 reduction",
        "5 transformation",
    ]
    figure.savefig("/dev/null", format="png")


def test_heading_counts_the_rows_and_says_measured(report: dict[str, Any]) -> None:
    said = headings(preprocessing_figure(report))
    assert said[0] == "180 raw rows became 168 clean ones in 1.2 s"
    assert said[1].startswith("MEASURED")


def test_report_so_far_is_drawn_as_far_as_it_goes(report: dict[str, Any]) -> None:
    report["steps"] = report["steps"][:2]
    report["rows_out"] = 0
    figure = preprocessing_figure(report)
    assert len(figure.axes) == 2
    assert headings(figure)[0] == "180 raw rows"


def test_bars_carry_their_numbers_and_columns_without_gaps_are_left_out(
    report: dict[str, Any],
) -> None:
    statistics, integration = preprocessing_figure(report).axes[:2]
    assert [text.get_text() for text in statistics.texts] == ["weight_g", "7", "fruit", "1"]
    said = [text.get_text() for text in integration.texts]
    assert said[:2] == ["orchard", "100"]
    assert said[-2:] == ["= one row a fruit", "168"]


def test_cleaning_counts_what_lay_outside(report: dict[str, Any]) -> None:
    axes = preprocessing_figure(report).axes
    assert axes[2].texts[0].get_text() == "before: 5 outside"
    assert axes[3].texts[0].get_text() == "after"
    assert axes[3].get_xlabel() == "diameter (cm), log counts"


def test_reduction_says_what_the_kept_components_explain(report: dict[str, Any]) -> None:
    axes = preprocessing_figure(report).axes
    assert "2 of 3 keep 90% of the variance" in axes[4].get_xlabel()
