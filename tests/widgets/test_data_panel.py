"""Panel 2: sources and steps to choose, progress, stop, errors, every step to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import SettingError, SourceError
from widgets import Lab
from widgets.data_sources import FLIGHTS, OWN
from widgets.data_view import ALL_COLUMNS, OVERVIEW

DEADLINE_S = 20.0


def preprocessed(lab: Lab) -> Any:
    """The panel after it has run once."""
    lab.data_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    return lab.data_panel


def asked(engine: Any) -> dict[str, Any]:
    """What the newest preprocessing was asked for."""
    given: dict[str, Any] = [given for name, given in engine.calls if name == "preprocess"][-1]
    return given


def test_preprocessing_needs_workers(lab: Lab) -> None:
    panel = lab.data_panel
    assert panel.start_button.disabled
    assert "Launch workers first" in panel.message.value
    panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert "there is no cluster; press Launch first" in panel.message.value


def test_preprocess_shows_what_each_step_did(launched: Lab, engine: Any) -> None:
    launched.data_panel.sources.rows.value = 5_000
    panel = preprocessed(launched)
    assert asked(engine)["rows"] == 5_000
    assert launched.dataset.name == "fruit"
    assert "one row a fruit" in panel.view.about.value
    assert "weight_g" in panel.view.about.value
    assert panel.picture.png.startswith(b"\x89PNG")
    assert panel.picture.alt.startswith("Preprocessing: 100 rows in, 90 rows out")
    assert panel.progress.value == panel.progress.max


def test_progress_moves_and_stop_ends_it(launched: Lab, engine: Any, wait_for: Any) -> None:
    panel = launched.data_panel
    engine.gate.clear()
    panel.start_button.click()
    wait_for(lambda: "3 of 6, integration: task 1 of 2" in panel.message.value)
    assert panel.progress.value == pytest.approx(2.5 / 6)
    assert 'aria-label="integration: 1 of 2 tasks"' in panel.strips.value
    assert 'aria-label="sources: 2 of 2 tasks"' in panel.strips.value
    assert 'aria-label="cleaning: waits"' in panel.strips.value
    wait_for(lambda: panel.picture.png)  # the steps so far
    assert panel.start_button.disabled
    assert panel.sources.kind.disabled
    assert all(control.disabled for control in panel.steps.controls)
    panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert panel.job.state == "stopped"
    assert launched.dataset is None
    assert 'role="alert"' not in panel.message.value
    assert not panel.picture.png
    assert panel.strips.value == ""


def test_stopping_a_second_one_keeps_the_first(launched: Lab, engine: Any, wait_for: Any) -> None:
    panel = preprocessed(launched)
    first = launched.dataset
    engine.gate.clear()
    panel.start_button.click()
    wait_for(lambda: "integration" in panel.message.value)
    panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert launched.dataset is first
    assert panel.picture.alt.startswith("Preprocessing: 100 rows in, 90 rows out")
    assert "one row a fruit" in panel.view.about.value


def test_unreadable_source_is_explained_in_the_panel(launched: Lab, engine: Any) -> None:
    engine.error = SourceError("fruit.csv lacks column 'weight'; add it")
    panel = preprocessed(launched)
    assert "preprocess failed: fruit.csv lacks column" in panel.message.value


def test_dataset_goes_with_its_cluster(launched: Lab) -> None:
    panel = preprocessed(launched)
    launched.cluster_panel.close_button.click()
    launched.wait_idle(DEADLINE_S)
    assert launched.dataset is None
    assert not panel.picture.png
    assert panel.after.layout.display == "none"


def test_fruit_is_asked_for_with_all_steps_and_usual_settings(launched: Lab, engine: Any) -> None:
    preprocessed(launched)
    given = asked(engine)
    chosen = {name: given[name] for name in ("sources", "spec", "label", "key", "settings")}
    assert chosen == {"sources": None, "spec": "fruit", "label": None, "key": (), "settings": {}}
    assert given["steps"] == (
        "statistics", "integration", "cleaning", "reduction", "transformation",
    )  # fmt: skip


def test_flights_have_their_specification(launched: Lab, engine: Any) -> None:
    launched.data_panel.sources.kind.value = FLIGHTS
    preprocessed(launched)
    assert (asked(engine)["sources"], asked(engine)["spec"]) == (None, "flights")
    assert launched.data_panel.sources.rows.layout.display == "none"


def test_own_files_are_read_with_their_label_and_key(launched: Lab, engine: Any) -> None:
    form = launched.data_panel.sources
    form.kind.value = OWN
    form.paths.value = "a.csv, s3://bucket/b.parquet ,"
    form.label.value = " late "
    form.key.value = "carrier, flight"
    preprocessed(launched)
    given = asked(engine)
    assert given["sources"] == ["a.csv", "s3://bucket/b.parquet"]
    assert given["spec"] is None
    assert given["label"] == "late"
    assert given["key"] == ("carrier", "flight")


def test_own_files_must_be_named(launched: Lab, engine: Any) -> None:
    panel = launched.data_panel
    panel.sources.kind.value = OWN
    launched.wait_idle(DEADLINE_S)
    assert "Files is empty; give the path or URL" in panel.message.value
    assert panel.start_button.disabled
    assert panel.sources.paths.layout.display == ""
    assert panel.sources.rows.layout.display == "none"
    panel.sources.paths.value = "a.csv"
    launched.wait_idle(DEADLINE_S)
    assert not panel.start_button.disabled


def test_steps_that_are_off_are_not_done(launched: Lab, engine: Any) -> None:
    form = launched.data_panel.steps
    form.toggles["reduction"].value = False
    form.toggles["statistics"].value = False
    form.options["reduction"]["method"].value = "none"  # of a step that is off: not sent
    preprocessed(launched)
    assert asked(engine)["steps"] == ("integration", "cleaning", "transformation")
    assert asked(engine)["settings"] == {}


def test_statistics_alone_leave_a_report_but_nothing_to_train_on(
    launched: Lab, engine: Any
) -> None:
    engine.shards = []
    panel = preprocessed(launched)
    assert launched.dataset is None
    assert panel.picture.png
    assert not panel.save_button.disabled
    assert panel.progress.value == panel.progress.max


def test_settings_that_were_chosen_are_sent(launched: Lab, engine: Any) -> None:
    form = launched.data_panel.steps
    form.options["cleaning"]["fill"].value = "mean"
    form.options["reduction"]["explained"].value = 0.9
    form.options["transformation"]["scale"].value = "robust"
    preprocessed(launched)
    assert asked(engine)["settings"] == {
        "cleaning": {"fill": "mean"},
        "reduction": {"explained": 0.9},
        "transformation": {"scale": "robust"},
    }
    titles = form.groups.titles
    assert titles[1:] == ("Cleaning: mean", "Reduction: 90%", "Transformation: robust")


def test_report_is_saved_as_a_page(launched: Lab, tmp_path: Path) -> None:
    assert launched.data_panel.save_button.disabled
    panel = preprocessed(launched)
    assert not panel.save_button.disabled
    panel.save_button.click()
    launched.wait_idle(DEADLINE_S)
    page = tmp_path / "runs" / "exports" / "data-fruit-made" / "report.html"
    assert "Preprocessing of made" in page.read_text(encoding="utf-8")
    assert "data-fruit-made/report.html" in panel.files.value
    preprocessed(launched)
    assert panel.files.value == ""  # it was about the one before


def test_each_step_is_looked_at_large(launched: Lab) -> None:
    panel = preprocessed(launched)
    view = panel.view
    assert view.step.options == (OVERVIEW, "statistics", "integration")
    assert view.column.layout.display == "none"
    view.step.value = "statistics"
    launched.wait_idle(DEADLINE_S)
    assert panel.picture.alt.startswith("Statistics: range, median and gaps")
    assert [value for _, value in view.column.options] == [ALL_COLUMNS, "weight_g"]
    view.column.value = "weight_g"
    launched.wait_idle(DEADLINE_S)
    assert panel.picture.alt.startswith("Statistics of weight (g)")
    view.step.value = "integration"
    launched.wait_idle(DEADLINE_S)
    assert panel.picture.alt.startswith("Integration: rows by source")
    assert view.column.layout.display == "none"


def test_a_picture_is_drawn_only_when_something_changed(
    launched: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = preprocessed(launched)
    drawn: list[Any] = []
    monkeypatch.setattr(panel.picture, "show_rest", lambda *given: drawn.append(given))
    launched.wait_idle(DEADLINE_S)
    assert drawn == []
    launched.accessibility.dark = True
    launched.wait_idle(DEADLINE_S)
    assert len(drawn) == 1


def test_quality_is_shown_before_and_after(launched: Lab) -> None:
    panel = preprocessed(launched)
    assert 'aria-label="Data quality"' in panel.view.quality.value
    assert "uniqueness" in panel.view.quality.value
    assert "96.0 % \u2192 100 %" in panel.view.quality.value
    assert "how it was counted" in panel.view.about.value


def test_what_cannot_be_read_is_not_started(launched: Lab, engine: Any) -> None:
    form = launched.data_panel.steps
    form.num_components.value = "many"
    launched.wait_idle(DEADLINE_S)
    assert "Number &#x27;many&#x27; cannot be read" in launched.data_panel.message.value
    assert launched.data_panel.start_button.disabled
    form.num_components.value = "0"
    with pytest.raises(SettingError, match="Number 0 of components; choose 1 or more, or auto"):
        launched.data_panel.read()


def test_the_panel_loads_neither_torch_nor_dask() -> None:
    import subprocess

    code = (
        "import sys, widgets.data_panel; "
        "print([m for m in ('torch', 'dask', 'distributed', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "[]"
