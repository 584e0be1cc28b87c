"""Panel 3: choosing a plan, training, stopping."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import RankFailed
from labkit.plan import Plan
from widgets import Lab

DEADLINE_S = 20.0


def choose(lab: Lab, **values: Any) -> None:
    """Move controls of the panel by name and let the pump look at them."""
    for name, value in values.items():
        degrees = lab.train_panel.degrees
        (degrees[name] if name in degrees else getattr(lab.train_panel, name)).value = value
        lab.wait_idle(DEADLINE_S)


def degrees_of(lab: Lab) -> tuple[int, ...]:
    return tuple(slider.value for slider in lab.train_panel.degrees.values())


@pytest.mark.parametrize(
    ("strategy", "degrees"),
    [("data", (4, 1, 1)), ("pipeline", (1, 4, 1)), ("tensor", (1, 1, 4)), ("hybrid", (2, 2, 1))],
)
def test_strategy_sets_the_degrees(launched: Lab, strategy: str, degrees: tuple[int, ...]) -> None:
    choose(launched, strategy="tensor")
    choose(launched, strategy=strategy)
    assert degrees_of(launched) == degrees
    assert (
        f"dp={degrees[0]} pp={degrees[1]} tp={degrees[2]}" in launched.train_panel.plan_note.value
    )
    assert not launched.train_panel.start_button.disabled


def test_device_count_sets_the_degrees_again(launched: Lab) -> None:
    choose(launched, strategy="pipeline", devices=2)
    assert degrees_of(launched) == (1, 2, 1)
    choose(launched, devices=1)
    assert degrees_of(launched) == (1, 1, 1)
    assert all(slider.disabled for slider in launched.train_panel.degrees.values())


def test_degrees_can_be_moved_after_the_strategy(launched: Lab) -> None:
    choose(launched, strategy="data", dp=2, tp=2)
    assert degrees_of(launched) == (2, 1, 2)
    assert "fruit, hybrid: dp=2 pp=1 tp=2, 4 ranks" in launched.train_panel.plan_note.value


def test_impossible_degrees_are_explained_and_cannot_be_trained(launched: Lab) -> None:
    choose(launched, strategy="data", pp=2)
    panel = launched.train_panel
    assert 'role="alert">dp(4) * pp(2) * tp(1) = 8 but 4 devices' in panel.plan_note.value
    assert panel.start_button.disabled
    choose(launched, dp=2)
    assert 'role="note"' in panel.plan_note.value
    assert not panel.start_button.disabled


def test_too_few_microbatches_are_explained(launched: Lab) -> None:
    choose(launched, strategy="pipeline", microbatches=2)
    assert "1f1b needs at least as many microbatches" in launched.train_panel.plan_note.value
    choose(launched, schedule="gpipe")
    assert "2 microbatches by gpipe" in launched.train_panel.plan_note.value


def test_devices_follow_the_workers(lab: Lab) -> None:
    lab.cluster_panel.workers_slider.value = 2
    lab.wait_idle(DEADLINE_S)
    assert lab.train_panel.devices.max == 2
    assert degrees_of(lab) == (2, 1, 1)
    assert lab.train_panel.start_button.disabled
    assert "Launch workers first" in lab.train_panel.message.value


def test_training_uses_the_plan_that_the_panel_says(
    launched: Lab, engine: Any, wait_for: Any
) -> None:
    choose(launched, workload="text", strategy="hybrid", steps=40)
    given = train(launched, engine, wait_for)
    assert given["workload"].name == "text"
    assert given["plan"] == Plan(dp=2, pp=2)
    assert given["steps"] == 40
    assert given["dataset"] is None


def train(lab: Lab, engine: Any, wait_for: Any) -> dict[str, Any]:
    """Start a run and stop it; what the engine was given for it."""
    before = len(engine.runs)
    lab.train_panel.start_button.click()
    wait_for(lambda: len(engine.runs) > before)
    lab.train_panel.stop_button.click()
    lab.wait_idle(DEADLINE_S)
    return dict(engine.calls[-1][1])


@pytest.fixture
def training(launched: Lab, engine: Any, wait_for: Any) -> Any:
    """A run on four ranks that has begun."""
    launched.train_panel.start_button.click()
    wait_for(lambda: launched.run is not None)
    return engine.runs[0]


def test_pictures_and_progress_move_while_it_trains(
    launched: Lab, training: Any, wait_for: Any
) -> None:
    panel = launched.train_panel
    seen = set()
    for steps in (5, 10, 15):
        training.advance(5)
        wait_for(lambda steps=steps: f"step {steps} of 200" in panel.loss.alt)
        seen.add((panel.loss.png, panel.timeline.png))
        assert panel.progress.value == steps
    assert len({loss for loss, _ in seen}) == 3
    assert len({timeline for _, timeline in seen}) == 3
    assert panel.start_button.disabled
    assert not panel.stop_button.disabled
    assert "samples/s" in panel.about.value


def test_finished_run_shows_attribution_bytes_and_startup(launched: Lab, training: Any) -> None:
    training.advance(200)
    training.finish()
    launched.wait_idle(DEADLINE_S)
    panel = launched.train_panel
    assert panel.attribution.alt == "Where the time of fruit went: compute 75%, imbalance 25%"
    assert "<td>2.0 MB</td><td>2.0 MB</td>" in panel.about.value
    assert "200 ms" in panel.about.value
    assert "90.0%" in panel.about.value
    assert panel.job.state == "done"
    assert launched.run is training


def test_stop_keeps_what_was_trained(launched: Lab, training: Any, wait_for: Any) -> None:
    training.advance(7)
    launched.train_panel.stop_button.click()
    launched.wait_idle(DEADLINE_S)
    assert training.stopped
    assert launched.train_panel.job.state == "stopped"
    assert "step 7 of 200" in launched.train_panel.loss.alt
    assert not launched.train_panel.start_button.disabled


def test_failing_rank_is_named_in_the_panel(launched: Lab, training: Any) -> None:
    training.error = RankFailed("rank 2 died (SIGKILL)\n\nlast words", rank=2)
    training.finish()
    launched.wait_idle(DEADLINE_S)
    assert 'role="alert">train failed: rank 2 died' in launched.train_panel.message.value
    assert "last words" in launched.log.html()


def test_other_panels_wait_while_it_trains(launched: Lab, training: Any, engine: Any) -> None:
    launched.pump.call(lambda: None)
    assert launched.data_panel.start_button.disabled
    assert launched.compare_panel.start_button.disabled
    launched.compare_panel.start_button.click()  # a click that overtook the button's state
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
