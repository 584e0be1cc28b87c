"""Panel 4, first mode: sweeping point by point."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from labkit.errors import RankFailed
from widgets import Lab
from widgets.fields import NOT_NOW
from widgets.sweep_mode import SweepMode

DEADLINE_S = 20.0


@pytest.fixture
def sweep(launched: Lab) -> SweepMode:
    """The mode for sweeps, with four workers."""
    return launched.compare_panel.sweep


def start(lab: Lab) -> None:
    lab.compare_panel.sweep.start_button.click()
    lab.wait_idle(DEADLINE_S)


def emulate(lab: Lab) -> None:
    lab.compare_panel.sweep.form.clock.clock.value = "emulated"
    lab.wait_idle(DEADLINE_S)


def test_device_counts_double_up_to_the_workers(lab: Lab) -> None:
    lab.cluster_panel.workers_slider.value = 16
    lab.wait_idle(DEADLINE_S)
    form = lab.compare_panel.sweep.form
    assert [label for label, _ in form.devices.options][-1] == "1, 2, 4, 8, 16"
    lab.cluster_panel.workers_slider.value = 6
    lab.wait_idle(DEADLINE_S)
    labels = [label for label, _ in form.devices.options]
    assert labels == ["1", "1, 2", "1, 2, 4", "1, 2, 4, 6"]


def test_plan_counts_the_runs_and_equal_plans_once(sweep: SweepMode) -> None:
    # baseline, data 2 and 4, pipeline 2 and 4, tensor 2 and 4, hybrid 4; hybrid 2 is pipeline 2
    assert "24 runs of" in sweep.plan_note.value
    assert "4 ranks share 2 cores: speedup above 2 cannot be measured here" in sweep.plan_note.value


def test_nothing_chosen_is_explained(launched: Lab, sweep: SweepMode) -> None:
    for box in sweep.form.strategies.values():
        box.value = False
    launched.wait_idle(DEADLINE_S)
    assert 'role="alert">nothing to sweep' in sweep.plan_note.value
    assert sweep.start_button.disabled


def test_more_lines_than_a_picture_can_show_are_refused(launched: Lab, sweep: SweepMode) -> None:
    variants = [value for label, value in sweep.form.variants.options if NOT_NOW not in label]
    sweep.form.variants.value = tuple(variants[:5])
    launched.wait_idle(DEADLINE_S)
    assert "9 lines are too many for one picture; choose at most 8" in sweep.plan_note.value


def test_strategies_that_cannot_be_swept_are_off_and_left_out(
    launched: Lab, sweep: SweepMode
) -> None:
    sweep.form.workload.value = "logistic"
    launched.wait_idle(DEADLINE_S)
    assert [box.disabled for box in sweep.form.strategies.values()] == [False, True, True, True]
    assert "Not now: pipeline" in sweep.form._why.value
    assert "logistic: data on 1, 2, 4 devices" in sweep.plan_note.value
    labels = {value: label for label, value in sweep.form.variants.options}
    assert labels["pipeline+schedule=gpipe"].endswith(NOT_NOW)
    assert labels["data+split=features"] == "data+split=features"


def test_emulated_sweep_rules_out_what_cannot_be_emulated(launched: Lab, sweep: SweepMode) -> None:
    labels = {value: label for label, value in sweep.form.variants.options}
    assert labels["data+sync=async_parameter_server"] == "data+sync=async_parameter_server"
    assert sweep.form.clock.device.layout.display == "none"
    emulate(launched)
    labels = {value: label for label, value in sweep.form.variants.options}
    assert labels["data+sync=async_parameter_server"].endswith(NOT_NOW)
    assert (sweep.form.repeats.value, sweep.form.steps.value) == (1, 4)
    assert sweep.form.clock.device.layout.display == ""
    assert "cannot be measured" not in sweep.plan_note.value


def test_sweep_gives_the_engine_what_the_panel_says(
    launched: Lab, sweep: SweepMode, engine: Any
) -> None:
    form = sweep.form
    form.strategies["tensor"].value = False
    form.variants.value = ("data+sync=ring",)
    form.devices.value = (1, 2)
    form.scaling.value = "weak"
    emulate(launched)
    form.repeats.value = 2
    start(launched)
    name, given = engine.calls[-1]
    assert name == "sweep"
    assert given["strategies"] == ("data", "pipeline", "hybrid", "data+sync=ring")
    assert given["devices"] == (1, 2)
    assert (given["repeats"], given["scaling"]) == (2, "weak")
    assert (given["emulate"], given["time_scale"]) == ("demo", None)


def test_points_appear_one_by_one_and_stop_keeps_them(
    launched: Lab, sweep: SweepMode, engine: Any, wait_for: Any
) -> None:
    engine.gate.clear()
    sweep.start_button.click()
    wait_for(lambda: sweep.picture.alt.startswith("Speedup of fruit, 1 of 12 points"))
    assert sweep.progress.value == 1
    assert "baseline" in sweep.about.value
    sweep.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert launched.compare_panel.job.state == "stopped"
    assert launched.curve is not None
    assert len(launched.curve.points) == 1
    assert "1 of 12 points" in sweep.picture.alt


def test_finished_sweep_is_two_pictures_and_a_table(launched: Lab, sweep: SweepMode) -> None:
    start(launched)
    assert launched.curve is not None
    assert len(launched.curve.points) == 12
    assert "12 of 12 points" in sweep.picture.alt
    assert sweep.efficiency.alt.startswith("Efficiency of fruit")
    assert sweep.about.value.count(">baseline<") == 1
    assert sweep.about.value.count('scope="row"') == 9
    assert "<td>4.00</td><td>3.90 to 4.10</td><td>100%</td></tr>" in sweep.about.value
    assert "MEASURED: real ranks, real clock" in sweep.banner.value
    assert sweep.progress.value == sweep.progress.max


def test_emulated_sweep_says_device_ideal_and_lateness(
    launched: Lab, sweep: SweepMode, engine: Any
) -> None:
    emulate(launched)
    engine.lateness = 0.3
    start(launched)
    assert "EMULATED on demo: real ranks, declared speed" in sweep.banner.value
    assert "UNTRUSTWORTHY" in sweep.banner.value
    assert "<td>4.20</td><td>30.0% UNTRUSTWORTHY</td>" in sweep.about.value
    header = launched.widget.children[0].value
    assert "Train: MEASURED" in header
    assert "Compare: EMULATED on demo" in header


def test_sweep_and_its_runs_are_kept(launched: Lab) -> None:
    start(launched)
    (entry,) = launched.state.curves.list()
    assert (entry.workload, entry.devices) == ("fruit", (1, 2, 4))
    assert len(launched.state.store.list()) == 12


def test_export_writes_pictures_and_points(launched: Lab, sweep: SweepMode) -> None:
    assert sweep.export_button.disabled
    start(launched)
    sweep.export_button.click()
    launched.wait_idle(DEADLINE_S)
    (entry,) = launched.state.curves.list()
    folder = launched.state.store.folder / "exports" / entry.sweep
    rows = list(csv.DictReader((folder / "points.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert rows[0]["kind"] == "measured"
    assert (folder / "speedup.png").read_bytes() == sweep.picture.png
    assert (folder / "efficiency.png").read_bytes().startswith(b"\x89PNG")
    assert "points.csv" in sweep.files.value


def test_failing_run_of_a_sweep_is_explained(launched: Lab, engine: Any) -> None:
    engine.error = RankFailed("rank 0 raised ValueError", rank=0)
    start(launched)
    assert "sweep failed: rank 0 raised" in launched.compare_panel.message.value
