"""Panel 2: preprocessing with progress, stop and errors."""

from __future__ import annotations

from typing import Any

from labkit.errors import SourceError
from widgets import Lab

DEADLINE_S = 20.0


def test_preprocessing_needs_workers(lab: Lab) -> None:
    panel = lab.data_panel
    assert panel.start_button.disabled
    assert "Launch workers first" in panel.message.value
    panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert "there is no cluster; press Launch first" in panel.message.value


def test_preprocess_shows_what_each_step_did(launched: Lab, engine: Any) -> None:
    panel = launched.data_panel
    panel.rows_slider.value = 5_000
    panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    assert engine.calls[1][0] == "preprocess"
    assert engine.calls[1][1]["rows"] == 5_000
    assert launched.dataset.name == "fruit"
    assert "one row a fruit" in panel.about.value
    assert "weight_g" in panel.about.value
    assert panel.picture.png.startswith(b"\x89PNG")
    assert panel.picture.alt.startswith("Preprocessing: 100 rows in, 90 rows out")
    assert panel.progress.value == panel.progress.max


def test_progress_moves_and_stop_ends_it(launched: Lab, engine: Any, wait_for: Any) -> None:
    panel = launched.data_panel
    engine.gate.clear()
    panel.start_button.click()
    wait_for(lambda: "3 of 6, integration: task 1 of 2" in panel.message.value)
    assert panel.progress.value == 2.5
    wait_for(lambda: panel.picture.png)  # the steps so far
    assert panel.start_button.disabled
    panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert panel.job.state == "stopped"
    assert launched.dataset is None
    assert 'role="alert"' not in panel.message.value
    assert not panel.picture.png


def test_unreadable_source_is_explained_in_the_panel(launched: Lab, engine: Any) -> None:
    engine.error = SourceError("fruit.csv lacks column 'weight'; add it")
    launched.data_panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    assert "preprocess failed: fruit.csv lacks column" in launched.data_panel.message.value


def test_dataset_goes_with_its_cluster(launched: Lab) -> None:
    launched.data_panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    launched.cluster_panel.close_button.click()
    launched.wait_idle(DEADLINE_S)
    assert launched.dataset is None
    assert not launched.data_panel.picture.png
