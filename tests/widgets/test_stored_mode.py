"""Panel 4, second mode: runs and sweeps that were kept, side by side."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from widgets import Lab
from widgets.compare_panel import STORED
from widgets.stored_mode import StoredMode

DEADLINE_S = 20.0


@pytest.fixture
def kept(launched: Lab, engine: Any) -> Lab:
    """The lab after a sweep of two strategies, with the stored runs in sight."""
    form = launched.compare_panel.sweep.form
    form.strategies["tensor"].value = form.strategies["hybrid"].value = False
    form.devices.value = (1, 2)
    launched.compare_panel.sweep.start_button.click()
    launched.wait_idle(DEADLINE_S)
    launched.compare_panel.mode.value = STORED
    launched.wait_idle(DEADLINE_S)
    return launched


def stored(lab: Lab) -> StoredMode:
    return lab.compare_panel.stored


def mark(lab: Lab, *runs: str) -> None:
    stored(lab).runs.value = runs
    lab.wait_idle(DEADLINE_S)


def press(lab: Lab, button: Any) -> None:
    button.click()
    lab.wait_idle(DEADLINE_S)


def pngs(lab: Lab) -> dict[str, bytes]:
    return lab.pump.call(lambda: stored(lab).view.pngs(lab.state.theme))


def test_modes_take_turns(kept: Lab) -> None:
    panel = kept.compare_panel
    assert panel.sweep.results.layout.display == "none"
    assert panel.stored.results.layout.display == ""
    assert "Launch workers" not in panel.message.value


def test_every_kept_run_is_a_line_with_its_kind(kept: Lab) -> None:
    lines = {value: label for label, value in stored(kept).runs.options}
    assert lines.keys() == {f"swept-{s}-{n}" for s in ("data", "pipeline") for n in (1, 2)}
    assert "| fruit | dp=2 | measured |" in lines["swept-data-2"]
    ((sweep_line, _),) = stored(kept).sweeps.options
    assert "fruit | data, pipeline | 1, 2 devices | measured | best speedup 2.00" in sweep_line


def test_nothing_marked_disables_what_needs_a_mark(kept: Lab) -> None:
    mode = stored(kept)
    assert mode.compare_button.disabled
    assert mode.note_button.disabled
    assert mode.delete_button.disabled
    assert mode.export_button.disabled
    assert "Choose runs in the list" in mode.view._head.value


def test_marked_runs_are_compared_in_a_table_and_pictures(kept: Lab) -> None:
    mark(kept, "swept-data-2", "swept-pipeline-2")
    press(kept, stored(kept).compare_button)
    view = stored(kept).view
    assert "MEASURED: real ranks, real clock" in view._head.value
    assert view._head.value.count('scope="row"') == 2
    assert "<td>1.00</td>" in view._head.value
    pictures = pngs(kept)
    assert pictures.keys() == {"loss", "timelines", "time", "bytes", "memory"}
    assert "wait for the first" in view._missing["Sweeps"].value
    before = pictures["loss"]
    view.against.value = "seconds"
    kept.wait_idle(DEADLINE_S)
    assert pngs(kept)["loss"] != before


def test_marked_sweep_shows_its_curve(kept: Lab) -> None:
    mode = stored(kept)
    mode.sweeps.value = tuple(value for _, value in mode.sweeps.options)
    kept.wait_idle(DEADLINE_S)
    press(kept, mode.compare_button)
    assert mode.view.tabs.titles[mode.view.tabs.selected_index] == "Sweeps"
    assert pngs(kept).keys() == {"sweeps"}


def test_runs_of_different_kinds_are_told_apart(kept: Lab) -> None:
    record = kept.state.store.load("swept-data-2")
    record.run, record.kind = "emulated-2", "emulated"
    record.emulation = {"device": "demo", "time_scale": 5.0, "lateness": 0.0}
    kept.state.store.save(record)
    press(kept, stored(kept).refresh_button)
    mark(kept, "swept-data-2", "emulated-2")
    press(kept, stored(kept).compare_button)
    head = stored(kept).view._head.value
    assert "MEASURED and EMULATED on demo" in head
    assert "times of different clocks are shown, not compared" in head
    assert "MEASURED and EMULATED on demo" in kept.widget.children[0].value


def test_note_is_kept_beside_one_run(kept: Lab) -> None:
    mode = stored(kept)
    mark(kept, "swept-data-1", "swept-data-2")
    assert mode.note_button.disabled
    mark(kept, "swept-data-2")
    mode.note.value = "the good one"
    press(kept, mode.note_button)
    assert kept.state.store.note_of("swept-data-2") == "the good one"
    assert any("“the good one”" in label for label, _ in mode.runs.options)
    assert mode.runs.value == ("swept-data-2",)  # still marked


def test_delete_asks_for_a_second_press(kept: Lab) -> None:
    mode = stored(kept)
    mark(kept, "swept-data-1", "swept-data-2")
    press(kept, mode.delete_button)
    assert mode.delete_button.description == "Really delete 2?"
    assert len(kept.state.store.list()) == 4
    mark(kept, "swept-data-2")  # another choice takes the question back
    assert mode.delete_button.description == "Delete"
    press(kept, mode.delete_button)
    press(kept, mode.delete_button)
    assert {entry.run for entry in kept.state.store.list()} == {
        "swept-data-1", "swept-pipeline-1", "swept-pipeline-2",
    }  # fmt: skip
    assert "swept-data-2" not in [value for _, value in mode.runs.options]


def test_damaged_record_is_listed_and_can_be_deleted(kept: Lab) -> None:
    mode = stored(kept)
    (kept.state.store.folder / "swept-data-2" / "record.json").write_text("{")
    press(kept, mode.refresh_button)
    assert any("DAMAGED swept-data-2" in label for label, _ in mode.runs.options)
    assert "1 damaged" in mode.damaged.value
    mark(kept, "swept-data-2")
    press(kept, mode.compare_button)
    assert "compare failed" in kept.compare_panel.message.value
    press(kept, mode.delete_button)
    press(kept, mode.delete_button)
    assert mode.damaged.value == ""


def test_comparison_is_exported(kept: Lab) -> None:
    mark(kept, "swept-data-2", "swept-pipeline-2")
    press(kept, stored(kept).compare_button)
    press(kept, stored(kept).export_button)
    (folder,) = (kept.state.store.folder / "exports").iterdir()
    rows = list(csv.DictReader((folder / "runs.csv").read_text().splitlines()))
    assert [row["run"] for row in rows] == ["swept-data-2", "swept-pipeline-2"]
    assert {path.stem for path in folder.glob("*.png")} == pngs(kept).keys()
    assert "runs.csv" in stored(kept).files.value


def test_store_is_read_without_a_button_after_a_run(kept: Lab, engine: Any, wait_for: Any) -> None:
    kept.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    engine.runs[0].advance(3)
    engine.runs[0].finish()
    kept.wait_idle(DEADLINE_S)
    assert "fake-0" in [value for _, value in stored(kept).runs.options]
