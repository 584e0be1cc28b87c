"""Panel 1 while a run is live: the map of the cluster, and the buttons that attack the run."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import ClusterError
from widgets import Lab

DEADLINE_S = 20.0


@pytest.fixture
def live(launched: Lab, engine: Any, wait_for: Any) -> tuple[Lab, Any]:
    """A lab whose run is live on four ranks, and that run."""
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    run = engine.runs[0]
    assert launched.cluster is not None
    run.place(launched.cluster.workers)
    run.advance(5)
    wait_for(lambda: not launched.cluster_panel.attacks.buttons["kill_rank"].disabled)
    return launched, run


def redraw(lab: Lab) -> None:
    """Let the pump render now, and the map be drawn whenever it was drawn last."""
    lab.cluster_panel.map._drawn_s = float("-inf")
    lab.pump.call(lab._render)


def attacked(engine: Any) -> list[tuple[str, tuple[Any, ...]]]:
    return [(given["what"], given["target"]) for name, given in engine.calls if name == "attack"]


def test_without_a_run_there_is_a_map_and_every_attack_is_off(launched: Lab) -> None:
    panel = launched.cluster_panel
    assert panel.map.image.png
    assert panel.map.image.alt.startswith("Map of 4 workers, no run. worker 0: no rank")
    assert all(button.disabled for button in panel.attacks.buttons.values())
    assert "No run is live: press Train" in panel.attacks.reasons.value
    assert panel.attacks.widget.layout.display == ""


def test_without_a_cluster_neither_is_shown(lab: Lab) -> None:
    assert lab.cluster_panel.attacks.widget.layout.display == "none"
    assert not lab.cluster_panel.map.image.png


def test_what_is_chosen_is_attacked(live: tuple[Lab, Any], engine: Any) -> None:
    lab, run = live
    form = lab.cluster_panel.attacks
    assert (form.rank_choice.value, form.worker_choice.value) == (0, "0"), "chosen from the start"
    form.rank_choice.value, form.worker_choice.value = 2, "3"
    for what in ("kill_rank", "kill_leader", "kill_worker", "slow_rank"):
        form.buttons[what].click()
        assert form.job.wait(DEADLINE_S)
    assert attacked(engine) == [
        ("kill_rank", (2,)),
        ("kill_leader", ()),
        ("kill_worker", ("3",)),
        ("slow_rank", (2,)),
    ]
    redraw(lab)
    told = 'aria-label="What happened">0.5 s: you slowed rank 2 4 times for 8 s'
    assert told in form.result.value
    assert form.rank_choice.value == 2
    assert not run.done
    assert "you slowed rank 2" in lab.cluster_panel.map.image.alt


def test_what_cannot_be_attacked_is_off_and_says_why(live: tuple[Lab, Any]) -> None:
    form = live[0].cluster_panel.attacks
    assert form.buttons["slow_link"].disabled
    assert "Slow link: its links are &lt;real&gt;" in form.reasons.value
    assert not form.buttons["kill_leader"].disabled


def test_an_attack_that_fails_says_why_in_the_panel(live: tuple[Lab, Any], engine: Any) -> None:
    lab, _ = live
    form = lab.cluster_panel.attacks
    engine.error = ClusterError("rank 0 was left alone: it has no <process>")
    form.buttons["kill_rank"].click()
    assert form.job.wait(DEADLINE_S)
    redraw(lab)
    assert 'role="alert">Kill rank: rank 0 was left alone: it has no &lt;process&gt;' in (
        form.result.value
    )


def test_the_map_follows_a_recovery(live: tuple[Lab, Any]) -> None:
    lab, run = live
    view = lab.cluster_panel.map
    redraw(lab)
    assert "worker 0: rank 0, running, leads term 1" in view.image.alt
    record = run.view()
    record.leaders[-1]["ended"] = "died"
    record.restarts = 1
    entry = {
        "attempt": 1, "cause": "died", "rank": 0, "why": "killed by SIGKILL", "at_s": 0.5,
        "detection_s": 0.02, "decided_by": "client", "leader": None, "term": None,
        "recovery_s": None, "from_step": 4, "lost_steps": 1, "world_size": 4,
    }  # fmt: skip
    record.recoveries.append(entry)
    redraw(lab)
    assert "worker 0: rank 0, lost; worker 1: rank 1, waits" in view.image.alt
    assert "not going on yet" in view.image.alt
    entry["recovery_s"] = 0.8
    redraw(lab)
    assert "rank 0, running; worker 1: rank 1, running" in view.image.alt
    assert "going on after 0.80 s from step 4" in view.image.alt
    assert "1 restart of this run so far: it goes on after 9 more failures" in (
        lab.cluster_panel.attacks.result.value
    )


@pytest.mark.parametrize(
    ("restarts", "said"),
    [
        (0, "0 restarts of this run so far: it goes on after 2 more failures."),
        (1, "1 restart of this run so far: it goes on after one more failure."),
        (2, "2 restarts of this run so far: the next failure ends it."),
    ],
)
def test_the_panel_says_how_often_the_run_goes_on_as_its_form_was_set(
    launched: Lab, engine: Any, wait_for: Any, restarts: int, said: str
) -> None:
    launched.train_panel.form.failures.restarts.value = 2
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    engine.runs[0].view().restarts = restarts
    redraw(launched)
    assert said in launched.cluster_panel.attacks.result.value


def test_the_map_is_drawn_at_most_twice_a_second(live: tuple[Lab, Any]) -> None:
    lab, run = live
    redraw(lab)
    shown = lab.cluster_panel.map.image.png
    run.advance(1)
    lab.cluster_panel.map._drawn_s = float("inf")
    lab.pump.call(lab._render)
    assert lab.cluster_panel.map.image.png == shown
    redraw(lab)
    assert lab.cluster_panel.map.image.png != shown


def test_after_the_run_the_map_shows_its_end_and_the_attacks_are_off(
    live: tuple[Lab, Any],
) -> None:
    lab, run = live
    run.finish()
    lab.wait_idle(DEADLINE_S)
    assert "worker 0: rank 0, done" in lab.cluster_panel.map.image.alt
    assert all(button.disabled for button in lab.cluster_panel.attacks.buttons.values())
