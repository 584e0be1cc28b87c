"""Each step as one large picture: known numbers are found again in what is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from labkit.errors import SettingError
from labkit.figures.preprocess_cleaning import repairs_of
from labkit.figures.preprocess_columns import cleaning_columns_figure
from labkit.figures.preprocess_reduction import reasons_of
from labkit.figures.preprocess_step import (
    DRAWN,
    columns_of,
    has_overview,
    step_figure,
    step_in_words,
)
from labkit.figures.style import DARK, LIGHT

Report = dict[str, Any]


def words(figure: Any) -> list[str]:
    """Everything that is written in a figure."""
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    return [each.get_text() for each in texts] + titles + labels


def details(report: Report, step: str) -> dict[str, Any]:
    return next(each for each in report["steps"] if each["name"] == step)["details"]


def picture(report: Report, step: str) -> dict[str, Any]:
    return next(each for each in report["steps"] if each["name"] == step)["picture"]


def overlaps(figure: Any) -> list[tuple[str, str]]:
    """Texts of one row or column that are written over each other."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [
        (text.get_text(), text.get_window_extent(renderer))
        for axes in figure.axes
        for text in axes.texts
        if text.get_text()
    ]
    return [
        (a, b)
        for at, (a, one) in enumerate(boxes)
        for b, other in boxes[at + 1 :]
        if one.x0 + 1 < other.x1 and other.x0 + 1 < one.x1
        and one.y0 + 2 < other.y1 and other.y0 + 2 < one.y1
    ]  # fmt: skip


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("step", DRAWN)
def test_every_step_is_drawn_within_the_house_width(
    preprocessed: Report, step: str, theme: Any
) -> None:
    figure = step_figure(preprocessed, step, theme)
    assert figure.get_figwidth() == 9.0
    assert any(text.startswith("MEASURED") for text in words(figure))
    assert figure.get_facecolor()[:3] == pytest.approx(
        tuple(int(theme.background[at : at + 2], 16) / 255 for at in (1, 3, 5))
    )
    figure.savefig("/dev/null", format="png")


@pytest.mark.parametrize("step", DRAWN)
def test_nothing_is_written_over_anything_else(preprocessed: Report, step: str) -> None:
    for column in (None, *columns_of(preprocessed, step)):
        assert overlaps(step_figure(preprocessed, step, column=column)) == []


@pytest.mark.parametrize("step", DRAWN)
def test_a_step_that_did_not_run_or_says_nothing_is_no_error(step: str) -> None:
    for report in ({"steps": []}, {"steps": [{"name": step}], "statistics": {}}):
        step_figure(report, step).savefig("/dev/null", format="png")
        assert columns_of(report, step) == ()


def test_statistics_write_range_median_and_gaps(preprocessed: Report) -> None:
    said = words(step_figure(preprocessed, "statistics"))
    assert {"weight (g)", "2", "10", "48", "5.6%", "none"} <= set(said)
    assert "2 names; most often orange (56%)" in said
    assert "31 texts; most often ripe" in said


def test_statistics_of_one_column_are_by_source_and_class(preprocessed: Report) -> None:
    said = words(step_figure(preprocessed, "statistics", column="weight_g"))
    assert {"all rows", "orchard", "orange", "from 2 to 48"} <= set(said)


def test_statistics_of_a_category_are_its_names(preprocessed: Report) -> None:
    said = words(step_figure(preprocessed, "statistics", column="fruit"))
    assert {"orange", "100 (55.9%)", "79 (44.1%)"} <= set(said)


def test_an_all_missing_column_has_no_values(preprocessed: Report) -> None:
    figures = {"count": 0, "missing": 180, "min": None, "max": None, "mean": None, "median": None}
    preprocessed["statistics"] = {"empty": figures}
    said = words(step_figure(preprocessed, "statistics"))
    assert {"empty", "no values", "100.0%"} <= set(said)


def test_many_columns_are_cut_and_counted(preprocessed: Report) -> None:
    one = preprocessed["statistics"]["weight_g"]
    preprocessed["statistics"] = {f"pixel_{number}": one for number in range(64)}
    figure = step_figure(preprocessed, "statistics")
    assert any("47 more columns" in text for text in words(figure))
    assert figure.get_figheight() < 7


def test_integration_adds_sources_up_and_takes_away(preprocessed: Report) -> None:
    figure = step_figure(preprocessed, "integration")
    said = words(figure)
    assert {"orchard", "100", "- duplicates removed", "= rows after integration", "168"} <= set(
        said
    )
    bars = [patch for patch in figure.axes[0].patches if patch.get_width()]
    assert bars[1].get_x() == 100  # the second source begins where the first ended
    assert bars[3].get_x() == 175  # 180 rows less 5 duplicates


def test_integration_shows_who_gave_what_and_who_disagreed(preprocessed: Report) -> None:
    said = words(step_figure(preprocessed, "integration"))
    assert "who gave the values of each column" in said
    assert "3 conflicts" in said
    assert "no readable key" in said
    del picture(preprocessed, "integration")["came_from"]
    said = words(step_figure(preprocessed, "integration"))
    assert "values on which sources disagree, by column" in said


def test_cleaning_draws_the_chosen_column(preprocessed: Report) -> None:
    assert columns_of(preprocessed, "cleaning") == ("diameter_cm", "weight_g")
    assert not has_overview("cleaning")
    figure = step_figure(preprocessed, "cleaning", column="weight_g")
    said = words(figure)
    assert "Cleaning: weight (g)" in said
    assert "before (5 outside)" in said
    assert figure.axes[0].get_xscale() == "log"
    assert {"noise removed", "4", "unit put right", "2", "gap filled", "8"} <= set(said)
    assert {"weight (g)", "8 to 0", "diameter (cm)", "2 to 1"} <= set(said)
    linear = step_figure(preprocessed, "cleaning")
    assert linear.axes[0].get_xscale() == "linear"


def test_cleaning_of_an_older_report_has_its_one_column(preprocessed: Report) -> None:
    del picture(preprocessed, "cleaning")["columns"]
    assert columns_of(preprocessed, "cleaning") == ("diameter_cm",)


def test_repairs_are_of_one_column_or_of_all(preprocessed: Report) -> None:
    found = details(preprocessed, "cleaning")
    assert repairs_of(found, "weight_g") == {
        "noise removed": 4, "unit put right": 2, "gap filled": 8,
    }  # fmt: skip
    assert repairs_of(found)["label put right"] == 3
    assert repairs_of(found, "red") == {}


def test_reduction_says_what_is_kept_dropped_and_important(preprocessed: Report) -> None:
    said = words(step_figure(preprocessed, "reduction"))
    assert "2 of 3 kept: 90.0% of the variance" in said
    assert {"batch no", "an identifier", "1 columns dropped, and why"} <= set(said)
    assert {"diameter (cm)", "0.9", "bits that a column tells, of the label's 0.97"} <= set(said)
    assert {"component 1", "component 2"} <= set(said)


def test_reduction_without_numbers_draws_no_points(preprocessed: Report) -> None:
    picture(preprocessed, "reduction").update(axes=[], explained=[], importance={}, correlation={})
    said = words(step_figure(preprocessed, "reduction"))
    assert any(text.startswith("no number is left") for text in said)
    assert "the columns stay as they are" in said


def test_reduction_by_wavelets_speaks_of_energy(preprocessed: Report) -> None:
    drawn = picture(preprocessed, "reduction")
    drawn.update(energy={"held": [0.6, 0.9], "num_kept": 2}, axes=["wavelet_0", "wavelet_1"])
    assert "energy by coefficient" in words(step_figure(preprocessed, "reduction"))


@pytest.mark.parametrize(("columns", "shown"), [(3, 3), (4, 4), (5, 3)])
def test_reasons_of_two_lines_are_not_written_over_each_other(
    preprocessed: Report, columns: int, shown: int
) -> None:
    why = "an identifier: about 320850 different values in 338294 training values, 100% of them"
    dropped = details(preprocessed, "reduction")["dropped"] = {
        f"c{at}": why for at in range(columns)
    }
    figure = step_figure(preprocessed, "reduction")
    assert overlaps(figure) == []
    said = words(figure)
    assert sum(name in said for name in dropped) == shown
    assert (f"+ {columns - shown} more" in said) == (columns > shown)


def test_reasons_may_come_in_any_of_their_forms() -> None:
    assert reasons_of({"dropped": {"a": "constant"}}) == {"a": "constant"}
    assert reasons_of({"dropped": [{"column": "a", "reason": "constant"}]}) == {"a": "constant"}
    assert reasons_of({"dropped": {"a": {"why": "constant"}}}) == {"a": "constant"}
    assert reasons_of({}) == {}


def test_transformation_draws_all_or_one_or_a_category(preprocessed: Report) -> None:
    assert columns_of(preprocessed, "transformation") == ("component_1", "component_2", "city")
    everything = step_figure(preprocessed, "transformation")
    assert [len(axes.lines) for axes in everything.axes] == [2, 2]
    assert "Transformation: component 1" in words(
        step_figure(preprocessed, "transformation", column="component_1")
    )
    said = words(step_figure(preprocessed, "transformation", column="city"))
    assert "60 (60.0%)" in said
    assert any("no place in the hierarchy: Atlantis" in text for text in said)


def test_a_column_has_its_own_scale_before(preprocessed: Report) -> None:
    drawn = picture(preprocessed, "transformation")
    drawn["own_edges"] = {"component_1": [0.0, 1.0, 2.0, 3.0]}
    drawn["own_before"] = {"component_1": drawn["before"]["component_1"]}
    before, after = step_figure(preprocessed, "transformation", column="component_1").axes
    assert before.get_xlim() == (0.0, 3.0)
    assert after.get_xlim() == (0.0, 30.0)


def test_many_classes_stay_apart_or_turn_grey(preprocessed: Report) -> None:
    counts = {f"class {number}": [number, 2, 1] for number in range(12)}
    for side in ("before", "after"):
        picture(preprocessed, "cleaning")["columns"]["weight_g"][side] = {"counts": counts}
    figure = step_figure(preprocessed, "cleaning", column="weight_g")
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "4 more"


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(SettingError, match="step 'training' has no picture; choose from statis"):
        step_figure({"steps": []}, "training")


def test_the_picture_is_told_in_one_sentence(preprocessed: Report) -> None:
    said = step_in_words(preprocessed, "cleaning", "weight_g")
    assert said.startswith("Cleaning of weight (g): distribution before and after")
    assert said.endswith("cleaning done")
    assert step_in_words({"steps": []}, "reduction").startswith("Reduction: rows along")


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_cleaning_of_every_column_is_seen_at_a_glance(preprocessed: Report, theme: Any) -> None:
    figure = cleaning_columns_figure(preprocessed, theme)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["diameter (cm)", "weight (g)"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]
    assert overlaps(figure) == []
    empty = cleaning_columns_figure({"steps": []}, theme)
    assert "no column was counted before and after" in words(empty)


def test_many_inputs_are_strips(preprocessed: Report) -> None:
    drawn = picture(preprocessed, "transformation")
    names = [f"input_{number}" for number in range(12)]
    for side in ("before", "after"):
        drawn[side] = dict.fromkeys(names, drawn[side]["component_1"])
    drawn["columns"] = names
    figure = step_figure(preprocessed, "transformation")
    assert [len(axes.images) for axes in figure.axes] == [1, 1]
    assert figure.axes[0].images[0].get_array().shape == (12, 3)


def test_one_source_shows_what_joined_tables_lack(preprocessed: Report) -> None:
    picture(preprocessed, "integration")["rows_per_source"] = {"flights": 180}
    details(preprocessed, "integration")["lookups"] = {"weather": {"matched": 126, "unmatched": 42}}
    said = words(step_figure(preprocessed, "integration"))
    assert {"weather", "42 (25.0%)"} <= set(said)


def test_a_class_has_one_colour_in_all_pictures(preprocessed: Report) -> None:
    points = picture(preprocessed, "reduction")["points"]
    points["class"] = ["watermelon", "unknown", "orange"]
    found = details(preprocessed, "statistics")["by_class"]
    found["watermelon"] = found["orange"]
    figure = step_figure(preprocessed, "reduction")
    shown = {
        text.get_text(): handle.get_facecolor()
        for text, handle in zip(
            figure.legends[0].get_texts(), figure.legends[0].get_patches(), strict=True
        )
    }
    assert list(shown) == ["orange", "watermelon", "unknown"]
    assert shown["orange"] == pytest.approx(to_rgba(LIGHT.classes[0]))
    assert shown["watermelon"] == pytest.approx(to_rgba(LIGHT.classes[1]))
