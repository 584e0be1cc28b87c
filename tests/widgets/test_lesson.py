"""The prediction widget: what the reader enters is kept and stands beside what was found."""

from __future__ import annotations

import ipywidgets as ipw
import pytest
from matplotlib.figure import Figure

from labkit.errors import SettingError
from labkit.figures.picture import alt_of, describe
from widgets.lesson import UNTOUCHED, Prediction, beside, mark_predictions, until


def test_a_prediction_starts_in_the_middle_and_says_that_nobody_entered_it() -> None:
    prediction = Prediction("How fast are 8 devices?", unit="x", low=1, high=8, step=0.5)
    assert prediction.value == 4.5
    assert not prediction.entered
    assert UNTOUCHED in repr(prediction)
    assert UNTOUCHED in repr(prediction.beside(6.0, "emulated"))


def test_what_the_reader_enters_is_kept_and_stands_beside_what_was_measured() -> None:
    prediction = Prediction("How fast are 8 devices?", unit="x", low=1, high=8, step=0.5)
    prediction.control.value = 6.0
    assert prediction.entered
    shown = prediction.beside(4.0, "measured")._repr_markdown_()
    assert "MEASURED" in shown
    assert "| 6x | 4x | 50% too high |" in shown
    assert UNTOUCHED not in shown


@pytest.mark.parametrize(
    ("predicted", "found", "verdict"),
    [
        (5.1, 5.0, "within 5%"),
        (7.5, 5.0, "50% too high"),
        (4.0, 5.0, "20% too low"),
        (9.0, 3.0, "3 times too high"),
        (2.5, 5.0, "2 times too low"),
        (1.0, 0.0, "off by 1"),
        (1.0, -1.0, "off by 2"),
    ],
)
def test_the_verdict_says_by_how_much_a_number_was_off(
    predicted: float, found: float, verdict: str
) -> None:
    prediction = Prediction("How much?", low=-10, high=10, step=0.1)
    prediction.control.value = predicted
    assert prediction.beside(found, "measured").rows[0][-1] == verdict


@pytest.mark.parametrize(
    ("found", "verdict"), [(1.4e-6, "right order of magnitude"), (1e-9, "1e+03 times too high")]
)
def test_orders_of_magnitude_are_predicted_in_powers_of_ten(found: float, verdict: str) -> None:
    prediction = Prediction("How far apart?", low=1e-12, high=1, logarithmic=True)
    assert prediction.value == pytest.approx(1e-6)
    assert prediction.beside(found, "measured").rows[0][-1] == verdict


def test_one_of_several_options_can_be_predicted() -> None:
    prediction = Prediction("Which is faster?", options=["data", "tensor"])
    assert prediction.beside("data", "emulated").rows[0][-1] == "right"
    prediction.control.value = "tensor"
    assert prediction.beside("data", "emulated").rows[0][-1] == "not this time"


def test_several_predictions_share_one_table_and_its_kind() -> None:
    two, four = (Prediction(f"{n} devices?", unit="x", low=1, high=n) for n in (2, 4))
    shown = beside((two, 1.9), (four, 3.1), kind="emulated")._repr_markdown_()
    assert len(shown.splitlines()) == 4
    with pytest.raises(SettingError, match="'guessed' is unknown; choose measured, emulated"):
        beside((two, 1.9), kind="guessed")


def test_predictions_are_drawn_where_they_belong_and_said() -> None:
    figure = Figure()
    axes = figure.add_subplot()
    describe(figure, "Speedup over devices")
    prediction = Prediction("8 devices?", unit="x", low=0, high=8)
    assert mark_predictions(figure, {8: prediction}) is figure
    assert axes.lines[-1].get_xydata().tolist() == [[8.0, 4.0]]
    assert alt_of(figure) == "Speedup over devices; your prediction: 4x at 8"


def test_a_question_needs_options_or_a_range_that_rises() -> None:
    with pytest.raises(SettingError, match="low=3 and high=3 are no range; give one, or options"):
        Prediction("How much?", low=3, high=3)
    with pytest.raises(SettingError, match="low=0 and high=3 are no range"):
        Prediction("How much?", low=0, high=3, logarithmic=True)


def test_the_question_is_shown_as_text_and_the_control_can_be_named() -> None:
    prediction = Prediction("Is a < b?", low=0, high=1)
    asked, row, _ = prediction.children
    assert asked.value == "<b>Is a &lt; b?</b>"
    assert isinstance(row, ipw.HBox)
    assert prediction.control.description == "Your prediction"
    assert "lab-root" in prediction._dom_classes, "by which the browser side finds it"


def test_an_experiment_waits_for_what_happens_but_not_for_ever() -> None:
    answers = iter([False, False, True])
    until(lambda: next(answers))
    with pytest.raises(TimeoutError, match=r"has not happened within 0.05 s"):
        until(lambda: False, patience_s=0.05)
