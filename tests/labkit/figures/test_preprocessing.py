"""The row of small pictures: one a step, drawn as far as the report goes."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.figures.preprocessing import preprocessing_figure
from labkit.figures.style import DARK, LIGHT

STEPS = ("statistics", "integration", "cleaning", "reduction", "transformation")
Report = dict[str, Any]


def headings(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts]


def said(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def picture(report: Report, step: str) -> dict[str, Any]:
    return next(each for each in report["steps"] if each["name"] == step)["picture"]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_step_has_its_picture(preprocessed: Report, theme: Any) -> None:
    figure = preprocessing_figure(preprocessed, theme)
    assert len(figure.axes) == 7  # cleaning and transformation have a before and an after
    assert headings(figure)[2:] == [f"{place} {name}" for place, name in enumerate(STEPS, start=1)]
    figure.savefig("/dev/null", format="png")


def test_heading_counts_the_rows_and_says_measured(preprocessed: Report) -> None:
    words = headings(preprocessing_figure(preprocessed))
    assert words[0] == "180 raw rows became 168 clean ones in 1.2 s"
    assert words[1].startswith("MEASURED")


def test_report_so_far_is_drawn_as_far_as_it_goes(preprocessed: Report) -> None:
    preprocessed["steps"] = preprocessed["steps"][:2]
    preprocessed["rows_out"] = 0
    figure = preprocessing_figure(preprocessed)
    assert len(figure.axes) == 2
    assert headings(figure)[0] == "180 raw rows"
    assert figure.axes[0].get_position().width == pytest.approx(1.58 / 9)


@pytest.mark.parametrize("left_out", STEPS)
def test_any_subset_of_the_steps_is_drawn(preprocessed: Report, left_out: str) -> None:
    steps = [step for step in preprocessed["steps"] if step["name"] != left_out]
    figure = preprocessing_figure({**preprocessed, "steps": steps})
    names = [name for name in STEPS if name != left_out]
    assert headings(figure)[2:] == [f"{place} {name}" for place, name in enumerate(names, start=1)]


def test_few_steps_fill_the_width_once_finished(preprocessed: Report) -> None:
    preprocessed["steps"] = preprocessed["steps"][:2]
    width = preprocessing_figure(preprocessed).axes[0].get_position().width
    assert width == pytest.approx(2.78 / 9)


def test_bars_carry_their_numbers_and_columns_without_gaps_are_left_out(
    preprocessed: Report,
) -> None:
    statistics, integration = preprocessing_figure(preprocessed).axes[:2]
    assert said(statistics) == ["weight_g", "7", "fruit", "1"]
    assert said(integration)[:2] == ["orchard", "100"]
    assert said(integration)[-2:] == ["= rows left", "168"]


def test_many_sources_are_added_up(preprocessed: Report) -> None:
    rows = {f"source {number}": 10 for number in range(12)}
    picture(preprocessed, "integration")["rows_per_source"] = rows
    words = said(preprocessing_figure(preprocessed).axes[1])
    assert "10 more" in words
    assert "100" in words


def test_cleaning_counts_what_lay_outside(preprocessed: Report) -> None:
    axes = preprocessing_figure(preprocessed).axes
    assert said(axes[2]) == ["before: 5 outside"]
    assert said(axes[3]) == ["after"]
    assert axes[3].get_xlabel() == "diameter (cm), log counts"


def test_wide_spread_is_drawn_on_a_logarithmic_axis(preprocessed: Report) -> None:
    picture(preprocessed, "cleaning")["column"] = "weight_g"
    axes = preprocessing_figure(preprocessed).axes[3]
    assert axes.get_xscale() == "log"


def test_reduction_says_what_the_kept_components_explain(preprocessed: Report) -> None:
    axes = preprocessing_figure(preprocessed).axes
    assert "2 of 3 keep 90% of variance" in axes[4].get_xlabel()


def test_data_without_a_label_have_one_colour_and_no_legend(preprocessed: Report) -> None:
    for side in ("before", "after"):
        counts = {"all": [1, 2, 3]}
        picture(preprocessed, "cleaning")["columns"]["diameter_cm"][side] = {"counts": counts}
    figure = preprocessing_figure(preprocessed)
    assert figure.legends == []


@pytest.mark.parametrize("step", STEPS)
def test_a_step_with_nothing_to_draw_says_so(preprocessed: Report, step: str) -> None:
    next(each for each in preprocessed["steps"] if each["name"] == step)["picture"] = {}
    preprocessing_figure(preprocessed).savefig("/dev/null", format="png")
