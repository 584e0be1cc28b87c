"""Panel 1: launching and closing."""

from __future__ import annotations

from typing import Any

from labkit.errors import ClusterError
from widgets import Lab

DEADLINE_S = 20.0


def test_launch_shows_the_workers_and_why_they_were_chosen(lab: Lab, engine: Any) -> None:
    panel = lab.cluster_panel
    assert "Press Launch" in panel.about.value
    panel.workers_slider.value = 3
    panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    assert engine.calls == [("launch", {"num_workers": 3})]
    assert "no GPU &lt;here&gt;" in panel.about.value
    assert "gloo, because the ranks compute on processor cores" in panel.about.value
    assert panel.about.value.count('scope="row"') == 3
    assert "3 workers are ready" in panel.message.value
    assert "share 2 cores" in panel.about.value
    assert panel.launch_button.disabled
    assert not panel.close_button.disabled


def test_second_launch_does_nothing(launched: Lab, engine: Any) -> None:
    launched.cluster_panel.launch_button.click()
    launched.wait_idle(DEADLINE_S)
    assert [name for name, _ in engine.calls] == ["launch"]


def test_double_click_launches_once(lab: Lab, engine: Any) -> None:
    engine.gate.clear()
    lab.cluster_panel.launch_button.click()
    lab.cluster_panel.launch_button.click()
    engine.gate.set()
    lab.wait_idle(DEADLINE_S)
    assert [name for name, _ in engine.calls] == ["launch"]


def test_failed_launch_says_why_in_the_panel_and_can_be_tried_again(lab: Lab, engine: Any) -> None:
    engine.error = ClusterError("4 workers did not start within 60 s <log>")
    panel = lab.cluster_panel
    panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    assert 'role="alert">launch failed: 4 workers did not start' in panel.message.value
    assert "&lt;log&gt;" in panel.message.value
    assert lab.cluster is None
    assert not panel.launch_button.disabled
    panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    assert lab.cluster is not None


def test_close_ends_the_workers(launched: Lab, engine: Any) -> None:
    launched.cluster_panel.close_button.click()
    launched.wait_idle(DEADLINE_S)
    assert engine.closed == [4]
    assert launched.cluster is None
    assert not launched.cluster_panel.launch_button.disabled


def test_close_stops_a_run_first(launched: Lab, engine: Any, wait_for: Any) -> None:
    launched.train_panel.start_button.click()
    wait_for(lambda: engine.runs)
    launched.cluster_panel.close_button.click()
    launched.wait_idle(DEADLINE_S)
    assert launched.train_panel.job.state == "stopped"
    assert engine.closed == [4]


def test_close_while_launching_leaves_no_workers(lab: Lab, engine: Any) -> None:
    engine.gate.clear()
    lab.cluster_panel.launch_button.click()
    assert engine.started.wait(DEADLINE_S)
    lab.cluster_panel.job.stop()
    engine.gate.set()
    lab.wait_idle(DEADLINE_S)
    assert engine.closed == [4]
    assert lab.cluster is None
