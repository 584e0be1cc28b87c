"""Panel 4: sweeping point by point."""

from __future__ import annotations

from typing import Any

from labkit.errors import RankFailed
from widgets import Lab

DEADLINE_S = 20.0


def test_device_counts_double_up_to_the_workers(lab: Lab) -> None:
    lab.cluster_panel.workers_slider.value = 6
    lab.wait_idle(DEADLINE_S)
    labels = [label for label, _ in lab.compare_panel.devices.options]
    assert labels == ["1", "1, 2", "1, 2, 4", "1, 2, 4, 6"]


def test_plan_counts_the_runs_and_equal_plans_once(launched: Lab) -> None:
    # baseline, data 2 and 4, pipeline 2 and 4, tensor 2 and 4, hybrid 4; hybrid 2 is pipeline 2
    assert "24 runs of" in launched.compare_panel.plan_note.value


def test_nothing_chosen_is_explained(launched: Lab) -> None:
    panel = launched.compare_panel
    for box in panel.strategies.values():
        box.value = False
    launched.wait_idle(DEADLINE_S)
    assert 'role="alert">nothing to sweep' in panel.plan_note.value
    assert panel.start_button.disabled


def test_sweep_gives_the_engine_what_the_panel_says(launched: Lab, engine: Any) -> None:
    panel = launched.compare_panel
    panel.strategies["tensor"].value = False
    panel.devices.value = (1, 2)
    panel.repeats.value = 2
    panel.scaling.value = "weak"
    panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    name, given = engine.calls[-1]
    assert name == "sweep"
    assert given["strategies"] == ("data", "pipeline", "hybrid")
    assert given["devices"] == (1, 2)
    assert (given["repeats"], given["scaling"]) == (2, "weak")


def test_points_appear_one_by_one_and_stop_keeps_them(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    panel = launched.compare_panel
    engine.gate.clear()
    panel.start_button.click()
    wait_for(lambda: panel.picture.alt.startswith("Speedup of fruit, 1 of 12 points"))
    assert panel.progress.value == 1
    assert "baseline" in panel.about.value
    panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert panel.job.state == "stopped"
    assert launched.curve is not None
    assert len(launched.curve.points) == 1
    assert "1 of 12 points" in panel.picture.alt


def test_finished_sweep_is_a_picture_and_a_table(launched: Lab) -> None:
    panel = launched.compare_panel
    panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    assert launched.curve is not None
    assert len(launched.curve.points) == 12
    assert "12 of 12 points" in panel.picture.alt
    assert panel.about.value.count(">baseline<") == 1
    assert panel.about.value.count('scope="row"') == 9
    assert "<td>4.00</td><td>3.90 to 4.10</td><td>100%</td>" in panel.about.value
    assert panel.progress.value == panel.progress.max


def test_failing_run_of_a_sweep_is_explained(launched: Lab, engine: Any) -> None:
    engine.error = RankFailed("rank 0 raised ValueError", rank=0)
    launched.compare_panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    assert "sweep failed: rank 0 raised" in launched.compare_panel.message.value
