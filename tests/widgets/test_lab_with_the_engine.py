"""The lab over the real engine: two workers, real data, real ranks, from the first button on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from widgets import Lab

DEADLINE_S = 120.0


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


def test_every_button_does_what_it_says(lab: Lab, wait_for: Any) -> None:
    cluster, data, train, compare = lab.panels

    lab.cluster_panel.workers_slider.value = 2
    lab.cluster_panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    assert cluster.job.error == ""
    assert lab.cluster is not None
    assert len(lab.cluster.workers) == 2

    lab.data_panel.rows_slider.value = 5_000
    lab.data_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert data.job.error == ""
    assert lab.dataset.to_json()["rows_out"] > 4_900
    assert lab.data_panel.about.value.count('scope="row"') > 5  # five steps, and the columns

    lab.train_panel.workload.value = "digits"
    lab.train_panel.strategy.value = "pipeline"
    lab.train_panel.steps.value = 20
    lab.train_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert train.job.error == ""
    record = lab.run.record
    assert (record.status, record.strategy, len(record.steps)) == ("done", "pipeline", 20)
    assert "comm_pp" in lab.train_panel.about.value
    assert lab.train_panel.timeline.alt.startswith("Timeline of 2 ranks, steps")

    lab.train_panel.workload.value = "fruit"
    lab.train_panel.steps.value = 1000
    lab.train_panel.start_button.click()
    wait_for(lambda: lab.run.view().steps and lab.run.view().workload["name"] == "fruit")
    begun_s = time.monotonic()
    lab.train_panel.stop_button.click()
    lab.wait_idle(DEADLINE_S)
    assert time.monotonic() - begun_s < 10.0
    assert train.job.state == "stopped"
    assert 0 < len(lab.run.record.steps) < 1000

    lab.compare_panel.workload.value = "digits"
    lab.compare_panel.repeats.value = 1
    lab.compare_panel.steps.value = 6
    lab.compare_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert compare.job.error == ""
    assert lab.curve is not None
    assert lab.curve.kind == "measured"
    assert {(p.strategy, p.devices) for p in lab.curve.points} == {
        (strategy, devices)
        for strategy in ("data", "pipeline", "tensor", "hybrid")
        for devices in (1, 2)
    }
    assert all(p.speedup == 1.0 for p in lab.curve.points if p.devices == 1)
    assert "8 of 8 points" in lab.compare_panel.picture.alt
