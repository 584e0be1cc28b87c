"""The public ``train``: a live handle, then a record; and what it refuses."""

from __future__ import annotations

import threading
import time
from typing import Any

import psutil
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import PlanError, RankFailed, SettingError, WorkloadError
from labkit.runs.run import Run
from labkit.train.train import count_steps, train
from labkit.workload import WORKLOADS

SOON_S = 20.0
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)


def wait_for_steps(run: Run, num_steps: int) -> None:
    """Until a live run has done some steps."""
    deadline = time.monotonic() + SOON_S
    while len(run.view().steps) < num_steps:
        assert time.monotonic() < deadline, run
        assert not run.done, run
        threading.Event().wait(0.01)


def test_a_run_is_live_first_and_a_whole_record_then(cluster4: Cluster) -> None:
    run = train(DIGITS, labkit.Plan(dp=2), cluster4, steps=400)
    wait_for_steps(run, 3)
    early = run.view()
    assert early.status == "running"
    assert 3 <= len(early.steps) < 400
    assert {span.rank for span in early.spans} <= {0, 1}
    assert "step" in repr(run)
    assert (run.kind, run.plan, run.workload.name) == ("measured", labkit.Plan(dp=2), "digits")
    assert run.to_json()["status"] == "running"
    record = run.wait(60)
    assert len(early.steps) < 400, "a view does not change"
    assert record is run.record
    assert run.to_json() == record.to_json()
    assert record.to_json()["seed"] == 0
    assert record.status == run.status == "done"
    assert [step.step for step in record.steps] == list(range(400))
    assert run.losses[-1] < run.losses[0]
    assert record.strategy == "data"
    assert [device["rank"] for device in record.devices] == [0, 1]
    assert {device["device"] for device in record.devices} == {"CPU"}
    assert record.versions["torch"].startswith("2.13")
    assert record.comm_bytes["measured"] == record.comm_bytes["formula"]
    assert record.accuracy["correct"] > record.accuracy["before"]
    assert sum(record.attribution_s.values()) == pytest.approx(record.wall_s)
    startup = record.startup_s
    assert startup["cluster"] + startup["ranks"] < startup["first_step"]
    assert all(size > 0 for size in record.memory_bytes_per_rank)
    assert record.error == ""


@pytest.mark.parametrize(
    "plan", [labkit.Plan(dp=4), labkit.Plan(pp=4), labkit.Plan(tp=4), labkit.Plan(dp=2, pp=2)]
)
def test_stop_ends_a_run_within_two_seconds_and_keeps_what_it_did(
    cluster4: Cluster, plan: labkit.Plan
) -> None:
    run = train(DIGITS, plan, cluster4, steps=100_000, evaluate=False)
    wait_for_steps(run, 2)
    started = time.monotonic()
    run.stop()
    record = run.wait(SOON_S)
    assert time.monotonic() - started < 2.0
    assert record.status == run.status == "stopped"
    assert 2 <= len(record.steps) < 100_000
    assert len(record.losses) == len(record.steps)


def test_a_rank_that_is_killed_is_named_and_the_next_run_starts(cluster4: Cluster) -> None:
    before = {child.pid for server in cluster4._fork_servers() for child in server.children()}
    run = train(DIGITS, labkit.Plan(dp=2), cluster4, steps=100_000, max_restarts=0)
    wait_for_steps(run, 2)
    (server,) = cluster4._fork_servers()
    victim = next(child for child in server.children() if child.pid not in before)
    started = time.monotonic()
    victim.kill()
    with pytest.raises(RankFailed, match=r"rank [01] died: killed by SIGKILL") as failure:
        run.wait(SOON_S)
    assert time.monotonic() - started < 5.0
    view = run.view()
    assert view.status == run.status == "failed"
    assert view.error == str(failure.value)
    assert len(view.steps) >= 2, "what was done before is kept"
    assert not psutil.pid_exists(victim.pid)
    assert train(DIGITS, labkit.Plan(dp=2), cluster4, steps=3).wait(SOON_S).status == "done"


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(cluster4: Cluster) -> None:
    def losses(seed: int) -> list[float]:
        workload = DIGITS.with_settings(seed=seed)
        return train(workload, None, cluster4, steps=5, evaluate=False).losses

    assert losses(0) == losses(0) != losses(1)


def test_weights_come_back_when_they_are_kept(cluster4: Cluster) -> None:
    run = train(DIGITS, labkit.Plan(pp=2), cluster4, steps=2, keep_weights=True)
    assert run.weights.keys() == run.gradients.keys()
    assert all(run.gradients[name].shape == array.shape for name, array in run.weights.items())
    run = train(DIGITS, None, cluster4, steps=1, evaluate=False)
    for kept in ("weights", "gradients"):
        with pytest.raises(SettingError, match=r"kept no weights; train\(..., keep_weights=True\)"):
            getattr(run, kept)


def test_an_epoch_is_the_training_samples_once() -> None:
    assert count_steps(DIGITS, 1000, None, 2) == 2 * 15
    assert count_steps(DIGITS, 1000, 7, None) == 7
    assert count_steps(DIGITS, 1000, None, None) == 100


@pytest.mark.parametrize(
    ("workload", "plan", "settings", "error", "message"),
    [
        ("imagenet", None, {}, WorkloadError, "'imagenet' is unknown"),
        ("digits", labkit.Plan(dp=8), {}, PlanError, "= 8 but 4 devices are available"),
        ("digits", None, {"steps": 0}, SettingError, "steps=0 is not a length"),
        ("digits", None, {"steps": 1, "epochs": 1}, SettingError, "both given; choose one"),
        (
            WORKLOADS["digits"].with_settings(global_batch=4096),
            None,
            {},
            WorkloadError,
            "global batch of 4096 but the dataset has",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(
    cluster4: Cluster,
    workload: Any,
    plan: labkit.Plan | None,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        train(workload, plan, cluster4, **settings)
