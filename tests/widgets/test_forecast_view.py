"""What the Plan tab says before anything starts."""

from __future__ import annotations

from typing import Any

from labkit.errors import WorkloadError
from widgets import Lab

DEADLINE_S = 20.0


def tab(lab: Lab) -> Any:
    return lab.train_panel.forecast


def facts(lab: Lab) -> str:
    return lab.train_panel.forecast._facts.value


def test_mesh_is_drawn_before_there_are_workers(lab: Lab) -> None:
    lab.wait_idle(DEADLINE_S)
    assert "data, dp=4" in lab.accessibility.alts["lab-picture-mesh"]
    assert "Launch workers first" in facts(lab)
    assert "PROJECTED: computed, nothing ran" in tab(lab)._banner.value


def test_mesh_follows_the_plan(launched: Lab) -> None:
    launched.train_panel.form.split.strategy.value = "hybrid"
    launched.wait_idle(DEADLINE_S)
    assert "dp=2 pp=2" in launched.accessibility.alts["lab-picture-mesh"]


def test_profile_is_found_by_itself_once_the_data_are_there(launched: Lab, engine: Any) -> None:
    assert "Press Predict" in facts(launched)
    launched.data_panel.start_button.click()
    launched.wait_idle(DEADLINE_S)
    name, given = engine.calls[-1]
    assert (name, given["dataset"]) == ("profile", launched.dataset)
    assert "of memory a rank by formula" in facts(launched)
    assert launched.accessibility.alts["lab-picture-predicted-memory"]
    assert tab(launched).predict_button.layout.display == "none"


def test_profile_is_found_once_for_a_workload(launched: Lab, engine: Any) -> None:
    engine.data.add("fruit")
    launched.wait_idle(DEADLINE_S)
    launched.train_panel.form.split.strategy.value = "pipeline"
    launched.wait_idle(DEADLINE_S)
    assert [name for name, _ in engine.calls].count("profile") == 1
    assert "layers" in launched.accessibility.alts["lab-picture-mesh"]


def test_another_cluster_is_profiled_anew(launched: Lab, engine: Any) -> None:
    engine.data.add("fruit")
    launched.wait_idle(DEADLINE_S)
    launched.cluster_panel.close_button.click()
    launched.wait_idle(DEADLINE_S)
    assert "Launch workers first" in facts(launched)
    launched.cluster_panel.launch_button.click()
    launched.wait_idle(DEADLINE_S)
    assert [name for name, _ in engine.calls].count("profile") == 2


def test_predict_prepares_the_data_and_finds_the_profile(launched: Lab, engine: Any) -> None:
    tab(launched).predict_button.click()
    launched.wait_idle(DEADLINE_S)
    assert engine.calls[-1][0] == "profile"
    assert engine.calls[-1][1]["dataset"] is None
    assert "of memory a rank by formula" in facts(launched)


def test_emulated_plan_has_an_ideal_step_and_says_how_long_it_will_take(
    launched: Lab, engine: Any
) -> None:
    engine.data.add("fruit")
    launched.train_panel.form.clock.clock.value = "emulated"
    launched.wait_idle(DEADLINE_S)
    assert "a step on demo" in facts(launched)
    assert "efficiency" in facts(launched)
    assert "here for 12 steps (time x" in facts(launched)
    assert "The ideal step, mean over the ranks" in facts(launched)


def test_training_waits_for_a_profile_that_is_being_found(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    engine.gate.clear()
    engine.data.add("fruit")
    launched.pump.poke()
    wait_for(lambda: launched.train_panel.profiler.job.active)
    launched.train_panel.start_button.click()
    wait_for(lambda: launched.train_panel.job.active)
    assert not engine.runs
    engine.gate.set()
    wait_for(lambda: engine.runs)


def test_failed_profile_says_why_and_is_not_tried_again(launched: Lab, engine: Any) -> None:
    engine.error = WorkloadError("the model does not fit <shape>")
    engine.data.add("fruit")
    launched.wait_idle(DEADLINE_S)
    assert 'role="alert">the model does not fit &lt;shape&gt;' in facts(launched)
    launched.wait_idle(DEADLINE_S)
    assert [name for name, _ in engine.calls].count("profile") == 1


def test_impossible_plan_has_no_picture(launched: Lab) -> None:
    launched.train_panel.form.split.degrees["pp"].value = 2
    launched.wait_idle(DEADLINE_S)
    assert launched.accessibility.alts["lab-picture-mesh"] == ""
    assert "This plan is impossible" in facts(launched)


def test_forecast_is_not_part_of_a_saved_notebook(launched: Lab, engine: Any) -> None:
    engine.data.add("fruit")
    launched.wait_idle(DEADLINE_S)
    assert "image/png" not in launched.pump.call(launched._bundle)
