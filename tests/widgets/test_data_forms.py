"""The controls of the Data panel: what they say, what is off, and why."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from labkit.preprocess.clean.settings import CleaningSettings, Fill, Outliers
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.report import STEPS
from labkit.preprocess.transform.settings import TransformationSettings
from widgets.data_progress import MAX_CELLS, TaskProgress
from widgets.data_sources import FRUIT, OWN, SourceForm, Sources
from widgets.data_steps import CHOICES, StepForm

SETTINGS: dict[str, Any] = {
    "integration": IntegrationSettings,
    "cleaning": CleaningSettings,
    "reduction": ReductionSettings,
    "transformation": TransformationSettings,
}


@pytest.fixture
def form() -> StepForm:
    form = StepForm()
    form.render(active=False)
    return form


def why(form: StepForm, step: str) -> str:
    return str(form._why[step].value)


@pytest.mark.parametrize("step", CHOICES)
def test_every_choice_is_one_that_the_step_takes(step: str) -> None:
    for name, (_, choices, _) in CHOICES[step].items():
        for choice in choices:
            assert getattr(SETTINGS[step](**{name: choice}), name) == choice


def test_choices_of_cleaning_leave_out_only_what_needs_more() -> None:
    assert set(get_args(Fill)) - set(CHOICES["cleaning"]["fill"][1]) == {"constant", "related"}
    assert set(get_args(Outliers)) == set(CHOICES["cleaning"]["outliers"][1])


def test_everything_is_on_and_usual_at_first(form: StepForm) -> None:
    assert form.steps == STEPS
    assert form.read() == {}
    assert not any(control.disabled for control in form.controls)
    assert form.groups.titles == ("Integration", "Cleaning", "Reduction", "Transformation")


def test_settings_of_a_step_that_is_off_are_off_with_the_reason(form: StepForm) -> None:
    form.options["cleaning"]["fill"].value = "mean"
    form.toggles["cleaning"].value = False
    form.render(active=False)
    assert form.options["cleaning"]["fill"].disabled
    assert "Cleaning is off; switch it on above." in why(form, "cleaning")
    assert form.groups.titles[1] == "Cleaning: off"
    assert "Without cleaning: noise stays" in form._consequences.value
    assert form.read() == {}
    form.toggles["cleaning"].value = True
    form.render(active=False)
    assert not form.options["cleaning"]["fill"].disabled
    assert why(form, "cleaning") == ""
    assert form.read() == {"cleaning": {"fill": "mean"}}


def test_the_last_step_cannot_be_switched_off(form: StepForm) -> None:
    for step in STEPS[1:]:
        form.toggles[step].value = False
    form.render(active=False)
    assert form.toggles["statistics"].disabled
    assert "Statistics stays on: one step at least is done." in form._consequences.value
    assert "Statistics alone makes no training data." in form._consequences.value
    form.toggles["cleaning"].value = True
    form.render(active=False)
    assert not form.toggles["statistics"].disabled


def test_without_components_there_is_no_variance_to_choose(form: StepForm) -> None:
    form.options["reduction"]["method"].value = "none"
    form.options["reduction"]["explained"].value = 0.9
    form.render(active=False)
    assert form.options["reduction"]["explained"].disabled
    assert form.num_components.disabled
    assert "neither variance nor number" in why(form, "reduction")
    assert form.read() == {"reduction": {"method": "none"}}


def test_a_number_of_components_comes_before_the_variance(form: StepForm) -> None:
    form.options["reduction"]["explained"].value = 0.9
    form.num_components.value = "3"
    form.render(active=False)
    assert form.options["reduction"]["explained"].disabled
    assert not form.num_components.disabled
    assert "Number says how many components" in why(form, "reduction")
    assert form.read() == {"reduction": {"components": 3}}
    assert form.groups.titles[2] == "Reduction: 90%, 3 components"


def test_nothing_moves_while_it_is_active(form: StepForm) -> None:
    form.render(active=True)
    assert all(control.disabled for control in form.controls)


def test_sources_say_what_they_are() -> None:
    assert str(Sources(spec=FRUIT, rows=5000)) == "5,000 fruits"
    assert str(Sources(spec="flights")) == "flights"
    assert str(Sources(paths=["a.csv", "b.csv"], label="late")) == "a.csv, b.csv, label late"


def test_fruit_has_rows_and_own_files_have_fields() -> None:
    form = SourceForm()
    form.render(active=False)
    assert [control.layout.display for control in form.controls[1:]] == ["", "none", "none", "none"]
    form.kind.value = OWN
    form.render(active=False)
    assert [control.layout.display for control in form.controls[1:]] == ["none", "", "", ""]
    assert form.rows.options[-1][1] == 24_000_000


def test_progress_counts_every_step_alike() -> None:
    progress = TaskProgress(("sources", "cleaning"))
    assert progress.share() == 0.0
    assert progress.in_words() == ""
    progress.note("cleaning", 3, 4)
    assert progress.share() == pytest.approx((1 + 0.75) / 2)
    assert progress.in_words() == "2 of 2, cleaning: task 3 of 4"
    progress.note("cleaning", 0, 0)  # a step without tasks divides nothing by zero
    assert progress.share() == 0.5


def test_a_step_that_was_not_announced_comes_in_its_place() -> None:
    progress = TaskProgress(("sources", "cleaning"))
    progress.note("integration", 1, 2)
    assert progress.stages == ("sources", "integration", "cleaning")
    progress.note("writing", 0, 2)
    assert progress.stages[-1] == "writing"


def test_cells_show_tasks_and_share_them_when_there_are_many() -> None:
    progress = TaskProgress(("sources", "cleaning", "reduction"))
    progress.note("sources", 2, 2)
    progress.note("cleaning", 100, 400)
    markup = progress.html()
    assert "--share:25.00%" in markup
    assert f"--cells:{MAX_CELLS}" in markup
    assert "100 of 400" in markup
    assert 'class="lab-strip done"><span class="name">sources' in markup
    assert 'class="lab-strip later"><span class="name">reduction' in markup
    assert "waits" in markup
