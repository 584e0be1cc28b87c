"""The parity badge: equal where mathematics says so, honest where it does not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import RunStopped, SettingError
from labkit.plan import Plan
from labkit.runs import parity as parity_module
from labkit.runs.parity import check_parity, expected_difference, greatest_difference
from labkit.workload import WORKLOADS

SMALL = WORKLOADS["fruit"].with_settings(global_batch=64)


def test_a_split_run_is_compared_with_one_process_down_to_its_weights(cluster4: Cluster) -> None:
    run = labkit.train(SMALL, Plan(dp=2, pp=2), cluster4, steps=6, keep_weights=True)
    parity = check_parity(run, cluster4)
    assert parity.holds
    assert parity.steps == 6
    assert 0 <= parity.loss <= 1e-5
    assert parity.weights is not None
    assert parity.weights <= 1e-4
    assert parity.gradients is not None
    assert parity.gradients <= 1e-3
    assert parity.run == run.run != parity.single
    assert json.loads(json.dumps(parity.to_json()))["holds"] is True


def test_a_run_whose_losses_differ_is_found_out(cluster4: Cluster) -> None:
    run = labkit.train(SMALL, Plan(dp=2), cluster4, steps=4)
    run.job = replace(run.job, workload=SMALL.with_settings(seed=5))  # as if it had gone wrong
    parity = check_parity(run, cluster4)
    assert parity.holds is False
    assert parity.loss > 1e-3
    assert parity.weights is parity.gradients is None


def test_a_run_that_went_on_is_compared_from_its_checkpoint_on(cluster4: Cluster) -> None:
    first = labkit.train(SMALL, Plan(dp=2), cluster4, steps=4, checkpoint_every=4, evaluate=False)
    run = labkit.train(
        None, Plan(pp=2), cluster4, steps=7, resume=first.record, checkpoint_every=0,
        evaluate=False, keep_weights=True,
    )  # fmt: skip
    parity = check_parity(run, cluster4)
    assert parity.steps == 3
    assert parity.holds, parity
    assert parity.weights is not None
    assert parity.weights <= 1e-4


def test_losses_of_zero_are_compared_too(
    cluster4: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = labkit.train(SMALL, Plan(), cluster4, steps=2, evaluate=False)
    record = run.record
    record.steps = [step._replace(loss=0.0) for step in record.steps]
    monkeypatch.setattr(parity_module, "train", lambda *_, **__: run)
    assert check_parity(run, cluster4).loss == 0.0


def test_a_check_can_be_stopped(cluster4: Cluster) -> None:
    run = labkit.train(SMALL, Plan(), cluster4, steps=400, evaluate=False)
    run.wait()
    with pytest.raises(RunStopped, match="the check against one process was stopped"):
        check_parity(run, cluster4, should_stop=lambda: bool(cluster4._gangs))


def test_an_approximate_plan_has_no_limit_but_a_reason() -> None:
    for plan, reason in (
        (Plan(dp=2, sync="average"), "averaged every 4 steps"),
        (Plan(dp=2, sync="async_parameter_server"), "stale by 2"),
        (Plan(dp=2, compression="powersgd"), "compressed to powersgd"),
    ):
        limit, why = expected_difference(plan, SMALL)
        assert limit is None
        assert reason in why
    assert expected_difference(Plan(dp=2, sync="average", sync_every=1), SMALL)[0] == 1e-5
    clipped = SMALL.with_settings(clip_norm=1.0)
    limit, why = expected_difference(Plan(dp=2, sync="average", sync_every=1), clipped)
    assert limit is None
    assert "clips the gradient of its own samples" in why
    exact = expected_difference(Plan(tp=2), SMALL.with_settings(precision="float64"))
    assert exact[0] == 1e-10


def test_differences_are_relative_to_the_greatest_element_of_each_array() -> None:
    wanted = {"a": np.array([1.0, -4.0]), "b": np.zeros(2)}
    found = {"a": np.array([1.0, -4.4]), "b": np.zeros(2)}
    assert greatest_difference(found, wanted) == pytest.approx(0.1)
    with pytest.raises(SettingError, match="different parameters: b"):
        greatest_difference({"a": wanted["a"]}, wanted)
