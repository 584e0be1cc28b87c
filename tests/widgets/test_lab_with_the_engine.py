"""The lab over the real engine: two workers, real data, real ranks, from the first button on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from widgets import Lab
from widgets.forecast_view import foresee

DEADLINE_S = 120.0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(runs=tmp_path / "runs")
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

    lab.data_panel.sources.rows.value = 5_000
    lab.data_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert data.job.error == ""
    assert lab.dataset.to_json()["rows_out"] > 4_900
    assert lab.data_panel.view.about.value.count('scope="row"') > 5  # five steps, and the columns

    form = lab.train_panel.form
    form.recipe.workload.value = "digits"
    form.split.strategy.value = "pipeline"
    form.steps.value = 20
    lab.train_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert train.job.error == ""
    record = lab.run.record
    assert (record.status, record.strategy, len(record.steps)) == ("done", "pipeline", 20)
    view = lab.train_panel.view
    assert "comm_pp" in view.bytes_about.value
    assert view.timeline.alt.startswith("Timeline of 2 ranks, steps")
    assert view.overlay.alt
    assert view.memory.alt

    lab.train_panel.parity_button.click()
    lab.wait_idle(DEADLINE_S)
    assert "Equal to one process" in lab.train_panel.badge.value

    form.recipe.workload.value = "fruit"
    form.steps.value = 1000
    lab.train_panel.start_button.click()
    wait_for(lambda: lab.run.view().steps and lab.run.view().workload["name"] == "fruit")
    lab.train_panel.stop_button.click()
    lab.wait_idle(DEADLINE_S)
    assert train.job.state == "stopped"
    assert 0 < len(lab.run.record.steps) < 1000

    sweep = lab.compare_panel.sweep
    sweep.form.workload.value = "digits"
    sweep.form.variants.value = ("data+sync=ring",)
    sweep.form.repeats.value = 1
    sweep.form.steps.value = 6
    sweep.start_button.click()
    lab.wait_idle(DEADLINE_S)
    assert compare.job.error == ""
    assert lab.curve is not None
    assert lab.curve.kind == "measured"
    assert {(p.strategy, p.devices) for p in lab.curve.points} == {
        (strategy, devices)
        for strategy in ("data", "pipeline", "tensor", "hybrid", "data+sync=ring")
        for devices in (1, 2)
    }
    assert all(p.speedup == 1.0 for p in lab.curve.points if p.devices == 1)
    assert "10 of 10 points" in sweep.picture.alt

    kept = lab.state.store.list()
    assert len(kept) == 2 + 5  # two runs; baseline, data, pipeline, tensor, ring
    assert not any(entry.damage for entry in kept)


def test_forecast_is_that_of_the_emulated_run(lab: Lab) -> None:
    lab.cluster_panel.workers_slider.value = 2
    lab.cluster_panel.launch_button.click()
    lab.wait_idle(DEADLINE_S)
    form = lab.train_panel.form
    form.recipe.workload.value = "digits"
    form.clock.clock.value = "emulated"
    lab.train_panel.forecast.predict_button.click()
    lab.wait_idle(DEADLINE_S)
    assert lab.train_panel.job.error == ""
    profile = lab.train_panel.profiler.of(lab.pump.call(form.read).workload)
    assert profile is not None
    foreseen = lab.pump.call(lambda: foresee(form.read(), profile, form.clock.declared()))
    assert foreseen is not None
    assert foreseen.ideal is not None
    form.steps.value = 4
    lab.train_panel.start_button.click()
    lab.wait_idle(DEADLINE_S)
    record = lab.run.record
    assert (record.status, record.kind) == ("done", "emulated")
    assert record.ideal["step_time_s"] == pytest.approx(foreseen.ideal.step_s)
    assert "EMULATED on demo" in lab.train_panel.view.banner.value
