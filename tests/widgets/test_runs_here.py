"""Runs of others in the Cluster panel: listed, followed, let go, stopped."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.cluster.posted_run import FoundRun
from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.workload import find_workload
from widgets import Lab
from widgets.runs_here import FOLLOW, LET_GO, RunsHere

DEADLINE_S = 20.0


def found(run: str, topic: str = "theirs", **more: Any) -> FoundRun:
    values: dict[str, Any] = {
        "run": run, "status": "running", "kind": "measured", "workload": "fruit",
        "strategy": "data", "world_size": 2, "step": 5, "planned_steps": 200, "position": 0,
        "workers": ("w0", "w1"), "host": "there", "pid": 7, "user": "<ann>", "since_s": 1e9,
        "restarts": 0, "error": "", "topic": topic, "gang": run,
    }  # fmt: skip
    return FoundRun(**(values | more))


@pytest.fixture
def theirs(launched: Lab, engine: Any, wait_for: Any) -> Any:
    """A run of somebody else, on a scheduler to which the lab is connected."""
    workload, plan = find_workload("fruit"), Plan(dp=2)
    run = engine.train(workload, plan, launched.cluster, steps=200, emulate=None, max_restarts=3)
    waiting = {"status": "waiting", "position": 2, "workers": ()}
    engine.others = [found(run.run), found("queued", **waiting), found("own", topic="mine")]
    launched.cluster.topic, launched.cluster.kind = "mine", "existing"
    launched.pump.poke()
    wait_for(lambda: here(launched).choice.value and not here(launched).stop_button.disabled)
    return run


def here(lab: Lab) -> RunsHere:
    return lab.cluster_panel.runs_here


def test_nothing_of_it_is_seen_on_the_labs_own_workers(launched: Lab) -> None:
    assert here(launched).controls.layout.display == "none"
    assert here(launched).results.layout.display == "none"


def test_runs_of_others_are_listed_and_not_the_labs_own(theirs: Any, launched: Lab) -> None:
    assert here(launched).controls.layout.display == ""
    assert [run for _, run in here(launched).choice.options] == [theirs.run, "queued"]
    listed = here(launched).about.value
    assert "&lt;ann&gt; on there" in listed
    assert "waiting, 2nd in the line" in listed
    assert "5 of 200" in listed
    assert "own" not in listed.replace("owner", "")


def test_a_run_is_followed_and_let_go_while_it_goes_on(
    theirs: Any, launched: Lab, wait_for: Any
) -> None:
    panel = here(launched)
    panel.follow_button.click()
    wait_for(lambda: panel.follow_button.description == LET_GO)
    theirs.advance(5)
    wait_for(lambda: "step 5 of 200" in panel.image.alt)
    assert launched.wait_idle(DEADLINE_S) is None, "the panels are free meanwhile"
    panel.follow_button.click()
    wait_for(lambda: panel.follow_button.description == FOLLOW)
    assert theirs.closed
    assert not theirs.stopped


def test_the_end_of_a_followed_run_is_told(theirs: Any, launched: Lab, wait_for: Any) -> None:
    panel = here(launched)
    panel.follow_button.click()
    wait_for(lambda: panel.watch.active)
    theirs.finish(status="failed", error="the client that owned it was lost")
    wait_for(lambda: not panel.watch.active)
    wait_for(lambda: "failed. the client that owned it was lost" in panel.about.value)
    assert "has ended, failed: the client that owned it was lost" in launched.log.html()


def test_a_run_of_somebody_else_is_stopped(
    theirs: Any, launched: Lab, engine: Any, wait_for: Any
) -> None:
    panel = here(launched)
    engine.others = []
    panel.stop_button.click()
    wait_for(lambda: "No run of anybody else is on this scheduler" in panel.about.value)
    assert theirs.stopped
    assert panel.stop_button.disabled


def test_what_cannot_be_done_is_said(
    theirs: Any, launched: Lab, engine: Any, wait_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(cluster: Any, run: str) -> None:
        raise SettingError(f"run {run!r} is not on this scheduler; no run is")

    monkeypatch.setattr(engine, "follow", refuse)
    here(launched).follow_button.click()
    wait_for(lambda: "is not on this scheduler; no run is" in here(launched).about.value)
