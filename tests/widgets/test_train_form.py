"""The settings of a run: every option is there, what is impossible is off and says why."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from labkit.plan import Plan
from labkit.workload import WORKLOADS, Workload
from widgets import Lab
from widgets.failure_form import SHRINK
from widgets.fields import NOT_NOW
from widgets.train_form import TrainForm

DEADLINE_S = 20.0


def form_of(lab: Lab) -> TrainForm:
    return lab.train_panel.form


def control(lab: Lab, name: str) -> Any:
    """A control by the name of the setting that it stands for."""
    form = form_of(lab)
    named = {**form.split.options, **form.split.degrees, **form.recipe.options}
    named |= {"workload": form.recipe.workload, "strategy": form.split.strategy}
    named |= {"devices": form.split.devices, "steps": form.steps, "clock": form.clock.clock}
    named |= {"device": form.clock.device, "time_scale": form.clock.time_scale}
    failures = form.failures
    named |= {"restarts": failures.restarts, "on_failure": failures.on_failure}
    named |= {"checkpoint_every": failures.checkpoint_every}
    return named[name]


def choose(lab: Lab, **values: Any) -> None:
    """Move controls by name, each looked at by the pump before the next moves."""
    for name, value in values.items():
        control(lab, name).value = value
        lab.wait_idle(DEADLINE_S)


def plan_of(lab: Lab) -> Plan:
    return lab.pump.call(form_of(lab).read).plan


def workload_of(lab: Lab) -> Workload:
    return lab.pump.call(form_of(lab).read).workload


def why(lab: Lab, group: str) -> str:
    """What a group says about what is off."""
    return form_of(lab)._why[group].value


def test_every_field_of_a_plan_and_of_a_recipe_has_a_control(lab: Lab) -> None:
    form = form_of(lab)
    plan = {field.name for field in fields(Plan)}
    assert {*form.split.options, *form.split.degrees} == plan
    given = {"name", "description", "dataset", "model", "num_layers", "tensor_units"}
    given |= {"num_features", "num_tokens", "num_branches"}
    recipe = {field.name for field in fields(Workload)} - given
    assert set(form.recipe.options) == recipe - {"reference_batch"} | {"scale_rate"}
    assert set(form.recipe.workload.options) == {(name, name) for name in WORKLOADS}


@pytest.mark.parametrize(
    ("strategy", "degrees"),
    [("data", (4, 1, 1)), ("pipeline", (1, 4, 1)), ("tensor", (1, 1, 4)), ("hybrid", (2, 2, 1))],
)
def test_strategy_sets_the_degrees(launched: Lab, strategy: str, degrees: tuple[int, ...]) -> None:
    choose(launched, strategy="tensor")
    choose(launched, strategy=strategy)
    plan = plan_of(launched)
    assert (plan.dp, plan.pp, plan.tp) == degrees
    assert not launched.train_panel.start_button.disabled


@pytest.mark.parametrize(("kind", "devices"), [("cpu", 4), ("existing", 3)])
def test_a_plan_outlasts_a_worker_that_comes_back(launched: Lab, kind: str, devices: int) -> None:
    cluster: Any = launched.cluster
    cluster.kind = kind
    choose(launched, dp=1, tp=4)
    lost = cluster.workers.pop()
    choose(launched, steps=100)
    assert control(launched, "devices").max == devices
    cluster.workers.append(lost)
    choose(launched, steps=200)
    assert control(launched, "devices").max == 4
    if kind == "cpu":
        assert (plan_of(launched).dp, plan_of(launched).tp) == (1, 4)


def test_new_strategy_sets_everything_else_back(launched: Lab) -> None:
    choose(launched, sync="ring", checkpoint_activations=True)
    assert plan_of(launched) == Plan(dp=4, sync="ring", checkpoint_activations=True)
    choose(launched, strategy="pipeline")
    assert plan_of(launched) == Plan(pp=4)


def test_device_count_sets_the_degrees_again(launched: Lab) -> None:
    choose(launched, strategy="pipeline", devices=2)
    assert plan_of(launched) == Plan(pp=2)
    choose(launched, devices=1)
    assert plan_of(launched) == Plan()
    assert all(slider.disabled for slider in form_of(launched).split.degrees.values())


def test_impossible_degrees_are_explained_and_cannot_be_trained(launched: Lab) -> None:
    choose(launched, strategy="data", pp=2)
    panel = launched.train_panel
    assert 'role="alert">dp(4) * pp(2) * tp(1) = 8 but 4 devices' in panel.plan_note.value
    assert panel.start_button.disabled
    choose(launched, dp=2)
    assert 'role="note"' in panel.plan_note.value
    assert not panel.start_button.disabled


def test_impossible_choice_stays_in_its_place_and_says_so(launched: Lab) -> None:
    choose(launched, strategy="hybrid")
    sync = control(launched, "sync")
    assert sync.disabled  # nothing but all_reduce is left
    assert [value for _, value in sync.options][:2] == ["all_reduce", "ring"]
    assert sync.options[1][0] == "ring" + NOT_NOW
    assert "is for data parallelism alone" in why(launched, "Data parallel")
    choose(launched, pp=1)
    assert sync.options[1][0] == "ring"
    assert not sync.disabled


def test_controls_that_mean_nothing_are_off_with_the_reason(launched: Lab) -> None:
    choose(launched, strategy="pipeline")
    for name in ("sync", "compression", "shard", "split", "bucket_mb", "tensor_style"):
        assert control(launched, name).disabled
    assert "dp=1: one replica has nobody" in control(launched, "sync").tooltip
    assert "Shard, Split (dp=1: one replica has nobody" in why(launched, "Data parallel")
    assert control(launched, "virtual_stages").disabled
    choose(launched, schedule="interleaved1f1b")
    assert not control(launched, "virtual_stages").disabled


def test_too_few_microbatches_rule_schedules_out(launched: Lab) -> None:
    choose(launched, strategy="pipeline", schedule="gpipe", microbatches=2)
    assert plan_of(launched) == Plan(pp=4, schedule="gpipe", microbatches=2)
    labels = dict((value, label) for label, value in control(launched, "schedule").options)
    assert labels["1f1b"] == "1f1b" + NOT_NOW
    assert "1f1b needs at least as many microbatches" in why(launched, "Pipeline")


def test_strategy_that_a_workload_cannot_use_is_named(launched: Lab) -> None:
    choose(launched, workload="logistic")
    tips = form_of(launched).split.strategy.tooltips
    assert tips[2].startswith("Not now: tp(4) does not divide the 1 slices")
    assert not tips[0].startswith("Not now")
    assert "Not now: pipeline (pp(4) stages" in form_of(launched)._why_strategies.value


def test_typed_settings_reach_the_plan_and_unreadable_ones_are_explained(launched: Lab) -> None:
    choose(launched, strategy="pipeline", cuts="1, 3,6")
    assert plan_of(launched).cuts == (1, 3, 6)
    panel = launched.train_panel
    choose(launched, cuts="one")
    assert "Cuts &#x27;one&#x27; cannot be read; give auto, or layers" in panel.plan_note.value
    assert panel.start_button.disabled
    choose(launched, cuts="3,1,6")
    assert "must rise" in panel.plan_note.value
    choose(launched, strategy="data", bucket_mb="0.5")
    assert plan_of(launched).bucket_mb == 0.5


def test_recipe_changes_the_workload_and_a_new_workload_brings_its_own(launched: Lab) -> None:
    choose(launched, global_batch=4096, learning_rate=0.1, scale_rate=True, warmup_steps=5)
    choose(launched, clip_norm="1.0", precision="bfloat16", keep_last=True, seed=7)
    workload = workload_of(launched)
    assert (workload.global_batch, workload.reference_batch) == (4096, 2048)
    assert workload.learning_rate_at(10) == 0.2
    assert (workload.clip_norm, workload.precision, workload.seed) == (1.0, "bfloat16", 7)
    assert workload.keep_last
    choose(launched, workload="text")
    assert workload_of(launched) == WORKLOADS["text"]


def test_impossible_recipe_is_explained(launched: Lab) -> None:
    choose(launched, learning_rate=0.0)
    assert "learning_rate=0.0; choose a value above 0" in launched.train_panel.plan_note.value
    assert launched.train_panel.start_button.disabled


def test_folded_groups_say_what_was_chosen_in_them(launched: Lab) -> None:
    assert form_of(launched).groups.titles == (
        "Data parallel", "Pipeline", "Tensor", "Recipe", "Device", "Failures", "Wait for workers",
    )  # fmt: skip
    choose(launched, sync="ring", seed=3, clock="emulated", restarts=2)
    assert form_of(launched).groups.titles == (
        "Data parallel: ring", "Pipeline", "Tensor", "Recipe: seed=3", "Device: demo",
        "Failures: 2 restarts", "Wait for workers",
    )  # fmt: skip


def test_emulation_takes_a_device_a_scale_and_fewer_steps(launched: Lab) -> None:
    assert control(launched, "device").disabled
    choose(launched, clock="emulated", time_scale="50")
    settings = launched.pump.call(form_of(launched).read)
    assert (settings.emulate, settings.time_scale, settings.steps) == ("demo", 50.0, 12)
    assert not control(launched, "device").disabled
    assert "emulated on demo" in launched.train_panel.plan_note.value
    choose(launched, time_scale="slow")
    assert "Time scale &#x27;slow&#x27; cannot be read" in launched.train_panel.plan_note.value
    choose(launched, clock="measured")
    assert launched.pump.call(form_of(launched).read).steps == 200


def test_a_run_of_the_lab_goes_on_often_enough_for_a_class_or_as_often_as_chosen(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    assert launched.pump.call(form_of(launched).read).max_restarts == 10
    choose(launched, restarts=0)
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    assert engine.runs[0].restarts_left == 0


def test_with_which_ranks_a_run_goes_on_and_how_often_it_saves_are_chosen(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    settings = launched.pump.call(form_of(launched).read)
    assert (settings.on_failure, settings.checkpoint_every) == ("replace", None)
    choose(launched, on_failure=SHRINK, checkpoint_every="0")
    assert "Failures: shrink, checkpoints 0" in form_of(launched).groups.titles
    assert launched.pump.call(form_of(launched).read).checkpoint_every == 0
    choose(launched, checkpoint_every="-5")
    assert "Checkpoints &#x27;-5&#x27; cannot be read; give by time, steps such as 50" in (
        launched.train_panel.plan_note.value
    )
    choose(launched, checkpoint_every="50")
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    given = engine.calls[-1][1]
    assert (given["on_failure"], given["checkpoint_every"]) == ("shrink", 50)


def test_what_cannot_follow_a_failure_is_off_and_says_why(launched: Lab) -> None:
    assert why(launched, "Failures") == ""
    choose(launched, strategy="pipeline")
    assert control(launched, "on_failure").options[1][0] == f"{SHRINK}{NOT_NOW}"
    told = f"Not now: On failure {SHRINK} (dp(1) * pp(4) * tp(1) cannot go on with 3 of its 4 ranks"
    assert told in why(launched, "Failures")
    choose(launched, on_failure=SHRINK)
    said = launched.train_panel.plan_note.value
    assert "must be shared out; choose On failure &#x27;wait for a replacement&#x27;" in said
    assert launched.train_panel.start_button.disabled
    choose(launched, restarts=0)
    assert "Off: On failure (Restarts 0: the first failure ends" in why(launched, "Failures")
    assert control(launched, "on_failure").disabled
    assert not launched.train_panel.start_button.disabled
    assert launched.cluster is not None
    launched.cluster.shares_files = False
    choose(launched, checkpoint_every="50")
    assert "Off: Checkpoints (the hosts share no files" in why(launched, "Failures")
    settings = launched.pump.call(form_of(launched).read)
    assert (settings.on_failure, settings.checkpoint_every) == ("replace", None)


def test_devices_follow_the_workers(lab: Lab) -> None:
    lab.cluster_panel.workers_slider.value = 2
    lab.wait_idle(DEADLINE_S)
    assert control(lab, "devices").max == 2
    assert plan_of(lab) == Plan(dp=2)
    assert lab.train_panel.start_button.disabled
    assert "Launch workers first" in lab.train_panel.message.value


def test_more_ranks_than_cores_are_said_to_be_unmeasurable(launched: Lab) -> None:
    warned = "4 ranks share 2 cores: speedup above 2 cannot be measured here, emulate"
    assert warned in launched.train_panel.plan_note.value
    choose(launched, clock="emulated")
    assert warned not in launched.train_panel.plan_note.value
