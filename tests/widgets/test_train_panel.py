"""Panel 3: foreseeing, training, stopping, checking, exporting."""

from __future__ import annotations

import csv
import json
import threading
from typing import Any

import pytest

from labkit.errors import RankFailed
from labkit.plan import Plan
from labkit.runs.record import Load
from widgets import Lab

DEADLINE_S = 20.0


def choose(lab: Lab, **values: Any) -> None:
    """Move controls of the form by name."""
    form = lab.train_panel.form
    named = {**form.split.options, "strategy": form.split.strategy, "clock": form.clock.clock}
    named |= {"workload": form.recipe.workload, "steps": form.steps}
    for name, value in values.items():
        named[name].value = value
        lab.wait_idle(DEADLINE_S)


def train(lab: Lab, engine: Any, wait_for: Any) -> dict[str, Any]:
    """Start a run and stop it; what the engine was given for it."""
    before = len(engine.runs)
    lab.train_panel.start_button.click()
    wait_for(lambda: len(engine.runs) > before)
    lab.train_panel.stop_button.click()
    lab.wait_idle(DEADLINE_S)
    return dict([given for name, given in engine.calls if name == "train"][-1])


@pytest.fixture
def training(launched: Lab, engine: Any, wait_for: Any) -> Any:
    """A run on four ranks that has begun."""
    launched.train_panel.start_button.click()
    wait_for(lambda: launched.run is not None)
    return engine.runs[0]


@pytest.fixture
def trained(launched: Lab, training: Any) -> Lab:
    """The lab with a finished run."""
    training.advance(20)
    training.finish()
    launched.wait_idle(DEADLINE_S)
    return launched


def test_training_uses_the_plan_that_the_panel_says(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    choose(launched, workload="text", strategy="hybrid", steps=40)
    given = train(launched, engine, wait_for)
    assert given["workload"].name == "text"
    assert given["plan"] == Plan(dp=2, pp=2)
    assert (given["steps"], given["dataset"]) == (40, None)
    assert (given["emulate"], given["time_scale"], given["keep_weights"]) == (None, None, True)


def test_emulated_training_is_said_everywhere(launched: Lab, engine: Any, wait_for: Any) -> None:
    choose(launched, clock="emulated")
    header = launched.widget.children[0]
    assert "Train: EMULATED on demo: real ranks, declared speed | Compare: MEASURED" in header.value
    given = train(launched, engine, wait_for)
    assert given["emulate"] == "demo"
    banner = launched.train_panel.view.banner.value
    assert 'aria-label="Kind of run"' in banner
    assert "EMULATED on demo: real ranks, declared speed" in banner
    assert "time x 100, 1.0% late" in banner


def test_untrustworthy_emulation_is_marked_and_advised(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    choose(launched, clock="emulated")
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    late = {"device": "demo", "time_scale": 9.0, "lateness": 0.2, "trustworthy": False}
    engine.runs[0].advance(3)
    engine.runs[0].finish(emulation=late | {"advice": "choose a time scale above 9"})
    launched.wait_idle(DEADLINE_S)
    banner = launched.train_panel.view.banner.value
    assert "UNTRUSTWORTHY, EMULATED on demo" in banner
    assert 'role="alert">choose a time scale above 9' in banner


def test_pictures_and_progress_move_while_it_trains(
    launched: Lab, training: Any, wait_for: Any
) -> None:
    panel = launched.train_panel
    seen = set()
    for steps in (5, 10, 15):
        training.advance(5)
        wait_for(lambda steps=steps: f"step {steps} of 200" in panel.view.loss.alt)
        seen.add((panel.view.loss.png, panel.view.timeline.png))
        assert panel.progress.value == steps
    assert len({loss for loss, _ in seen}) == 3
    assert len({timeline for _, timeline in seen}) == 3
    assert panel.tabs.titles[panel.tabs.selected_index] == "Loss & timeline"
    assert panel.start_button.disabled
    assert panel.parity_button.disabled
    assert not panel.stop_button.disabled
    assert "samples/s" in panel.view.about.value


def test_finished_run_shows_time_bytes_and_memory(trained: Lab) -> None:
    view = trained.train_panel.view
    assert view.attribution.alt.startswith("Where the time of fruit went")
    assert view.bytes.alt
    assert view.memory.alt
    assert "<td>2.0 MB</td><td>2.0 MB</td>" in view.bytes_about.value
    assert "200 ms" in view.time_about.value
    assert "90.0%" in view.about.value
    assert "MEASURED: real ranks, real clock" in view.banner.value
    assert not view.overlay.png  # no pipeline
    assert not view.staleness.png  # no asynchronous server
    assert not view.terms.png
    assert "This run has had no leader" in view.terms_about.value


def test_pipeline_is_laid_over_its_ideal(launched: Lab, engine: Any, wait_for: Any) -> None:
    choose(launched, strategy="pipeline")
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    engine.runs[0].advance(6)
    engine.runs[0].finish()
    launched.wait_idle(DEADLINE_S)
    assert "ideal" in launched.train_panel.view.overlay.alt


def test_pipeline_stopped_before_a_whole_step_has_no_overlay(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    choose(launched, strategy="pipeline")
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    engine.runs[0].advance(1)
    engine.runs[0].finish(spans=[])
    launched.wait_idle(DEADLINE_S)
    assert not launched.train_panel.view.overlay.png
    assert 'aria-label="Ideal"' in launched.train_panel.view.time_about.value


def test_asynchronous_server_shows_its_staleness(launched: Lab, engine: Any, wait_for: Any) -> None:
    choose(launched, sync="async_parameter_server")
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    engine.runs[0].advance(3)
    engine.runs[0].finish(staleness=[0, 1, 1, 2])
    launched.wait_idle(DEADLINE_S)
    assert "taleness" in launched.train_panel.view.staleness.alt


def test_how_busy_the_devices_were_is_shown(launched: Lab, engine: Any, wait_for: Any) -> None:
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    engine.runs[0].advance(3)
    engine.runs[0].finish(load=[Load(0, 0.5, 0.9, 10**8), Load(0, 1.0, None, 10**8)])
    launched.wait_idle(DEADLINE_S)
    assert "mean 0.90 cores" in launched.train_panel.view.load.alt


def test_who_led_and_until_when_is_shown(launched: Lab, training: Any) -> None:
    view = launched.train_panel.view
    launched.pump.call(lambda: None)
    assert "once a run has ended" in view.terms_about.value
    training.place(launched.cluster.workers)
    training.advance(3)
    training.view().leaders[0]["ended"] = "run ended"
    training.finish()
    launched.wait_idle(DEADLINE_S)
    assert view.terms.alt.startswith("Leaders of the run: term 1 rank 0 from 0.10 s, run ended")
    assert view.terms_about.value == ""


def test_stop_keeps_what_was_trained(launched: Lab, training: Any) -> None:
    training.advance(7)
    launched.train_panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert training.stopped
    assert launched.train_panel.job.state == "stopped"
    assert "step 7 of 200" in launched.train_panel.view.loss.alt
    assert not launched.train_panel.start_button.disabled


def test_failing_rank_is_named_in_the_panel_and_its_steps_are_kept(
    launched: Lab, training: Any
) -> None:
    training.advance(2)
    training.error = RankFailed("rank 2 died (SIGKILL)\n\nlast words", rank=2)
    training.finish(status="failed", error="rank 2 died")
    launched.wait_idle(DEADLINE_S)
    assert 'role="alert">train failed: rank 2 died' in launched.train_panel.message.value
    assert "last words" in launched.log.html()
    assert [entry.status for entry in launched.state.store.list()] == ["failed"]


def test_other_panels_wait_while_it_trains(launched: Lab, training: Any, engine: Any) -> None:
    launched.pump.call(lambda: None)
    assert launched.data_panel.start_button.disabled
    assert launched.compare_panel.sweep.start_button.disabled
    launched.compare_panel.sweep.start_button.click()  # it overtook the button's state
    launched.pump.call(lambda: None)
    assert [name for name, _ in engine.calls] == ["launch", "train"]


def test_preprocessed_fruit_is_what_the_fruit_workload_trains_on(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    launched.data_panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    assert train(launched, engine, wait_for)["dataset"] is launched.dataset
    choose(launched, workload="digits")
    assert train(launched, engine, wait_for)["dataset"] is None


def test_finished_run_is_kept_in_the_store(trained: Lab) -> None:
    (entry,) = trained.state.store.list()
    assert (entry.workload, entry.devices, entry.status) == ("fruit", 4, "done")


def test_check_against_one_process_shows_the_parity_badge(trained: Lab, engine: Any) -> None:
    panel = trained.train_panel
    assert panel.badge.value == ""
    panel.parity_button.click()
    trained.wait_idle(DEADLINE_S)
    assert engine.calls[-1][0] == "check_parity"
    assert engine.calls[-1][1]["run"] is trained.run
    assert 'class="lab-badge good"' in panel.badge.value
    assert "losses within 3e-07, weights 1e-06, gradients 2e-06" in panel.badge.value


def test_check_says_what_it_does_meanwhile(
    trained: Lab, engine: Any, monkeypatch: pytest.MonkeyPatch, wait_for: Any
) -> None:
    gate = threading.Event()
    answer = engine.check_parity

    def slow(*given: Any, **settings: Any) -> Any:
        assert gate.wait(DEADLINE_S)
        return answer(*given, **settings)

    monkeypatch.setattr(engine, "check_parity", slow)
    panel = trained.train_panel
    panel.parity_button.click()
    wait_for(lambda: "Repeating 20 steps in one process" in panel.message.value)
    assert not panel.stop_button.disabled
    gate.set()
    trained.wait_idle(DEADLINE_S)
    assert panel.message.value == ""
    assert panel.badge.value


def test_badge_goes_when_another_run_begins(trained: Lab, engine: Any, wait_for: Any) -> None:
    trained.train_panel.parity_button.click()
    trained.wait_idle(DEADLINE_S)
    train(trained, engine, wait_for)
    assert trained.train_panel.badge.value == ""


def test_exports_write_files_beside_the_runs_and_name_them(trained: Lab) -> None:
    panel = trained.train_panel
    folder = trained.state.store.folder / "exports" / "fake-0"
    panel.csv_button.click()
    trained.wait_idle(DEADLINE_S)
    rows = list(csv.DictReader((folder / "steps.csv").read_text().splitlines()))
    assert len(rows) == 20
    assert "steps.csv" in panel.files.value
    panel.trace_button.click()
    trained.wait_idle(DEADLINE_S)
    trace = json.loads((folder / "trace.json").read_text())
    assert any(event["ph"] == "X" for event in trace["traceEvents"])
    assert 'class="lab-file"' in panel.files.value
    assert trained.state.store.delete("fake-0") == "fake-0"  # exports do not stand in the way


def test_a_run_may_wait_in_the_line_and_the_panel_says_its_place(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    panel = launched.train_panel
    panel.form.queue_s.value = 600
    launched.wait_idle(DEADLINE_S)
    assert "Wait for workers: up to 600 s" in panel.form.groups.titles
    panel.start_button.click()
    wait_for(lambda: launched.run is not None)
    assert engine.calls[-1][1]["queue_s"] == 600
    engine.runs[0].view().queue_position = 2
    wait_for(lambda: "waiting: 2nd in the line for free workers." in panel.message.value)
    engine.runs[0].view().queue_position = 0
    wait_for(lambda: "in the line" not in panel.message.value)
    panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert engine.runs[0].stopped
