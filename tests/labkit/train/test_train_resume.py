"""``labkit.train`` writes checkpoints and goes on from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import SettingError, WorkloadError
from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.runs.store import RunStore
from labkit.workload import WORKLOADS

TIMEOUT_S = 120.0
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)


@pytest.fixture(scope="module")
def saved(cluster4: Cluster) -> RunRecord:
    """A run of six steps with a checkpoint after every second one, in the cluster's folder."""
    run = labkit.train(
        DIGITS, Plan(dp=2), cluster4, steps=6, checkpoint_every=2, evaluate=False
    )  # fmt: skip
    return run.wait(TIMEOUT_S)


def test_a_record_tells_of_its_checkpoints(cluster4: Cluster, saved: RunRecord) -> None:
    assert [entry["step"] for entry in saved.checkpoints] == [2, 4, 6]
    assert all(entry["seconds"] > 0 and entry["bytes"] > 0 for entry in saved.checkpoints)
    folder = cluster4.folder / "checkpoints" / saved.run
    assert sorted(path.name for path in folder.iterdir()) == ["step-000004", "step-000006"]
    assert saved.checkpoints[-1]["folder"] == str(folder / "step-000006")
    assert sum(saved.attribution_s.values()) == pytest.approx(saved.wall_s)
    assert saved.to_json()["checkpoints"] == saved.checkpoints
    assert saved.resumed == {}


def test_a_run_goes_on_under_another_plan(cluster4: Cluster, saved: RunRecord) -> None:
    straight = labkit.train(DIGITS, None, cluster4, steps=8, evaluate=False).wait(TIMEOUT_S)
    plan = Plan(pp=2, microbatches=4)
    record = labkit.train(
        None, plan, cluster4, steps=8, resume=saved, evaluate=False
    ).wait(TIMEOUT_S)  # fmt: skip
    assert record.status == "done"
    assert record.run != saved.run
    assert (record.resumed["step"], record.planned_steps) == (6, 2)
    assert [step.step for step in record.steps] == [6, 7]
    assert record.strategy == "pipeline"
    assert record.workload == saved.workload
    assert np.abs(np.subtract(record.losses, straight.losses[6:])).max() <= 1e-6


def test_what_is_not_given_is_taken_from_the_checkpoint(cluster4: Cluster, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = labkit.train(
        DIGITS, Plan(dp=2), cluster4, steps=4, checkpoint_every=2, emulate="demo", runs=runs
    ).wait(TIMEOUT_S)
    newest = runs / first.run / "checkpoints" / "step-000002"
    assert newest.is_dir()
    record = labkit.train(None, None, cluster4, resume=str(newest), runs=runs).wait(TIMEOUT_S)
    assert record.kind == "emulated"
    assert record.emulation["device"] == "demo"
    assert record.emulation["time_scale"] == first.emulation["time_scale"]
    assert record.plan == first.plan
    assert record.losses == first.losses[2:]
    (entry,) = RunStore(runs).list()
    assert entry.run == first.run


def test_a_run_that_is_not_kept_leaves_none_by_time(cluster4: Cluster) -> None:
    record = labkit.train(DIGITS, None, cluster4, steps=2, evaluate=False).wait(TIMEOUT_S)
    assert not (cluster4.folder / "checkpoints" / record.run).exists()
    with pytest.raises(SettingError, match=r"is unknown.*if it was given checkpoint_every"):
        labkit.train(None, None, cluster4, steps=4, resume=record)


def test_another_training_is_refused_before_anything_starts(
    cluster4: Cluster, saved: RunRecord
) -> None:
    with pytest.raises(SettingError, match=r"has done 6 steps, and steps=6 are asked for"):
        labkit.train(None, None, cluster4, resume=saved)
    with pytest.raises(WorkloadError, match=r"seed=0, not with seed=5"):
        labkit.train(DIGITS.with_settings(seed=5), None, cluster4, steps=9, resume=saved)
    with pytest.raises(SettingError, match=r"checkpoint_every=-2 is no count"):
        labkit.train(DIGITS, None, cluster4, checkpoint_every=-2)
    with pytest.raises(WorkloadError, match="workload None is unknown"):
        labkit.train(None, None, cluster4)
