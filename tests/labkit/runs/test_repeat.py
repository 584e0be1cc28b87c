"""A kept run once more: the same losses, or the reason why they cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.runs.repeat import loss_differences, repeat, stored_plan, stored_workload
from labkit.runs.store import RunStore
from labkit.workload import find_workload

MakeRun = Callable[..., RunRecord]


@pytest.mark.parametrize("single", [False, True])
def test_a_kept_run_is_repeated_with_the_same_losses(
    cluster4: Cluster, tmp_path: Path, single: bool
) -> None:
    workload = find_workload("digits").with_settings(global_batch=64, seed=3, clip_norm=1.0)
    record = labkit.train(workload, Plan(dp=2), cluster4, steps=5, evaluate=False).wait()
    RunStore(tmp_path).save(record)
    kept = RunStore(tmp_path).load(record.run)
    again = repeat(kept, cluster4, single=single).wait()
    assert again.run != record.run
    assert again.world_size == (1 if single else 2)
    assert again.workload == record.workload
    differences = loss_differences(kept, again)
    assert len(differences.relative) == 5
    assert differences.holds, differences
    assert differences.to_json()["repeats"] == record.run


def test_a_stored_workload_is_the_one_that_was_trained(make_run: MakeRun) -> None:
    fruit = find_workload("fruit").with_settings(seed=4, precision="float64", keep_last=True)
    assert stored_workload(make_run(workload=fruit.to_dict())) == fruit


def test_a_workload_of_the_version_before_takes_defaults(make_run: MakeRun) -> None:
    older = make_run()
    for name in ("num_features", "precision", "keep_last", "warmup_steps"):
        del older.workload[name]
    older.workload["later"] = 1
    assert stored_workload(older) == find_workload("fruit").with_settings(
        global_batch=64, num_features=0
    )


def test_a_workload_that_is_not_whole_is_refused(make_run: MakeRun) -> None:
    record = make_run("a")
    del record.workload["learning_rate"]
    with pytest.raises(SettingError, match="run a does not hold its whole workload"):
        stored_workload(record)


@pytest.mark.parametrize("model", ["build_mine", "Sequential", "", None])
def test_a_custom_model_cannot_be_repeated_from_its_record(
    make_run: MakeRun, model: str | None
) -> None:
    record = make_run("a")
    record.workload["model"] = model
    with pytest.raises(SettingError, match=r"run a trained the custom model .* only the name"):
        stored_workload(record)


def test_another_dataset_is_refused(cluster4: Cluster, make_run: MakeRun) -> None:
    digits = find_workload("digits").to_dict()
    record = make_run("a", workload=digits, dataset="mine", num_samples=77)
    with pytest.raises(SettingError, match="run a trained on 77 samples of 'mine', but 'digits'"):
        repeat(record, cluster4)


def test_one_process_is_the_plan_of_one_device(make_run: MakeRun) -> None:
    assert stored_plan(make_run(plan=Plan(dp=2, pp=2)), single=True) == Plan()
    assert stored_plan(make_run(plan=Plan(dp=2, pp=2))) == Plan(dp=2, pp=2)


def losses(record: RunRecord, values: list[float]) -> RunRecord:
    record.steps = [
        step._replace(loss=loss) for step, loss in zip(record.steps, values, strict=False)
    ]
    return record


@pytest.mark.parametrize(
    ("again", "greatest", "holds"),
    [
        ([0.7, 0.6, 0.5], 0.0, True),
        ([0.7, 0.6, 0.5 * (1 + 1e-7)], 1e-7, True),
        ([0.7, 0.66, 0.5], 0.1, False),
        ([0.7, 0.6, float("nan")], float("inf"), False),
        ([0.7], 0.0, True),
    ],
)
def test_differences_are_relative_and_a_diverged_run_is_no_repetition(
    make_run: MakeRun, again: list[float], greatest: float, holds: bool
) -> None:
    differences = loss_differences(make_run("a"), losses(make_run("b"), again))
    assert differences.greatest == pytest.approx(greatest, rel=1e-6)
    assert differences.holds is holds


def test_a_plan_that_is_approximate_is_held_to_no_limit(make_run: MakeRun) -> None:
    settings: dict[str, Any] = {"plan": Plan(dp=2, compression="fp16")}
    differences = loss_differences(make_run("a", **settings), make_run("b", **settings))
    assert differences.holds is None
    assert "compressed" in differences.why


def test_a_run_that_went_on_is_compared_from_its_own_steps_on(make_run: MakeRun) -> None:
    record = losses(make_run("a"), [0.5, 0.4, 0.3])
    record.resumed = {"folder": "runs/x/checkpoints/step-000002", "step": 2}
    whole = make_run("b")
    whole.steps = [whole.steps[0]] * 5
    again = losses(whole, [0.7, 0.6, 0.5, 0.4, 0.3])
    assert loss_differences(record, again).relative == (0.0, 0.0, 0.0)
