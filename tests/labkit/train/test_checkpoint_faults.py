"""What goes wrong with checkpoints: killed writers, full disks, damaged files, other trainings."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.errors import RankFailed, SettingError, WorkloadError
from labkit.plan import Plan
from labkit.train import checkpoint, checkpoint_files
from labkit.train.checkpoint_files import Checkpoints, latest
from labkit.train.job import RankResult, TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

TIMEOUT_S = 60.0
FRUIT = WORKLOADS["fruit"].with_settings(global_batch=8)

MakeJob = Callable[..., TrainJob]


@pytest.fixture
def make_job(dataset_folders: dict[str, str], tmp_path: Path) -> MakeJob:
    """A job of six small steps with a checkpoint after every second one."""

    def make(**values: Any) -> TrainJob:
        settings = {
            "workload": FRUIT,
            "plan": Plan(),
            "dataset_folder": dataset_folders["fruit"],
            "num_steps": 6,
            "evaluate": False,
            "checkpoints": Checkpoints(folder=str(tmp_path / "checkpoints"), every_steps=2),
        }
        return TrainJob(**{**settings, **values})

    return make


def losses(result: RankResult) -> list[float]:
    return [step.loss for step in result.steps]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def train_and_die(ctx: RankContext, job: TrainJob, dying_rank: int) -> RankResult:
    """Killed while the second checkpoint is written: all tensors are there, its name is not."""
    finish = checkpoint.files.describe

    def die(part: Path, saved: Any) -> int:
        if saved["step"] == 4 and ctx.rank == dying_rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return finish(part, saved)

    checkpoint.files.describe = die  # type: ignore[assignment]
    return train_rank(ctx, job)


def test_of_a_checkpoint_whose_writer_was_killed_the_older_one_is_used_and_the_rest_removed(
    cluster4: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(plan=Plan(dp=2))
    straight = cluster4.run_ranks(train_rank, 2, make_job(plan=Plan(dp=2), checkpoints=None))
    with pytest.raises(RankFailed, match="rank 0"):
        cluster4.run_ranks(train_and_die, 2, job, 0, timeout_s=TIMEOUT_S)
    folder = tmp_path / "checkpoints"
    parts = [path for path in folder.glob("*.part") if (path / ".metadata").exists()]
    assert len(parts) == 1
    saved = latest(folder)
    assert saved is not None
    assert saved.step == 2
    again = make_job(plan=Plan(dp=2), resume_from=saved.folder, start_step=2)
    resumed = cluster4.run_ranks(train_rank, 2, again, timeout_s=TIMEOUT_S)
    assert losses(resumed[0]) == losses(straight[0])[2:]
    assert names(folder) == ["step-000004", "step-000006"]


def train_on_a_small_disk(ctx: RankContext, job: TrainJob, num_bytes: int) -> RankResult:
    """The last rank may not write larger files than that."""
    if ctx.rank == ctx.world_size - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    return train_rank(ctx, job)


def test_on_a_full_disk_training_goes_on_and_says_so(
    cluster4: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    results = cluster4.run_ranks(
        train_on_a_small_disk, 2, make_job(plan=Plan(dp=2)), 20_000, timeout_s=TIMEOUT_S
    )
    assert [step.step for step in results[0].steps] == list(range(6))
    assert [written["step"] for written in results[0].checkpoints] == [2, 4, 6]
    for written in results[0].checkpoints:
        assert "large" in written["error"]
        assert "folder" not in written
    assert names(tmp_path / "checkpoints") == []


def test_a_folder_that_cannot_be_written_is_told_too(
    alone: RankContext, make_job: MakeJob, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    (tmp_path / "file").touch()
    job = make_job(checkpoints=Checkpoints(folder=str(tmp_path / "file" / "in"), every_steps=3))
    result = train_rank(alone, job)
    assert len(result.steps) == 6
    told = [event for event in events if event["type"] == "checkpoint"]
    assert [event["step"] for event in told] == [3, 6]
    assert all("/file" in event["error"] for event in told)


def test_another_workload_or_dataset_is_refused_on_the_rank(
    alone: RankContext, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_rank(alone, make_job())
    folder = tmp_path / "checkpoints" / "step-000004"
    other = FRUIT.with_settings(seed=7, global_batch=16)
    with pytest.raises(WorkloadError, match=r"global_batch=8, seed=0, not with global_batch=16"):
        train_rank(alone, make_job(workload=other, resume_from=str(folder), start_step=4))
    described = folder / checkpoint_files.DESCRIPTION_FILE
    described.write_text(described.read_text().replace('"num_samples": 700', '"num_samples": 70'))
    with pytest.raises(SettingError, match="trained on 70 samples, but the dataset has 700"):
        train_rank(alone, make_job(resume_from=str(folder), start_step=4))


def test_a_tensor_that_was_changed_on_the_disk_is_a_clear_error(
    alone: RankContext, make_job: MakeJob, tmp_path: Path
) -> None:
    train_rank(alone, make_job())
    folder = tmp_path / "checkpoints" / "step-000004"
    (tensors,) = folder.glob("*.distcp")
    tensors.write_bytes(bytes(tensors.stat().st_size))
    with pytest.raises(SettingError, match=r"step-000004 cannot be read \(.*choose another one"):
        train_rank(alone, make_job(resume_from=str(folder), start_step=4))


def test_another_model_under_the_same_name_is_a_clear_error(
    alone: RankContext, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_rank(alone, make_job())
    from labkit.train.models import fruit

    monkeypatch.setattr(fruit, "WIDTH", fruit.WIDTH * 2)
    folder = tmp_path / "checkpoints" / "step-000004"
    with pytest.raises(SettingError, match=r"has weight\.\S+ of shape .* where the model has one"):
        train_rank(alone, make_job(resume_from=str(folder), start_step=4))


def test_with_no_step_left_a_rank_only_evaluates(
    alone: RankContext, make_job: MakeJob, tmp_path: Path
) -> None:
    straight = train_rank(alone, make_job(evaluate=True, keep_weights=True))
    folder = tmp_path / "checkpoints" / "step-000006"
    job = make_job(
        resume_from=str(folder), start_step=6, evaluate=True, keep_weights=True, checkpoints=None
    )
    result = train_rank(alone, job)
    assert result.steps == []
    assert not result.stopped
    assert result.accuracy == straight.accuracy
    assert result.weights is not None
    assert straight.weights is not None
    for name, array in straight.weights.items():
        np.testing.assert_array_equal(result.weights[name], array)


def test_a_training_that_is_stopped_leaves_a_checkpoint_where_it_stopped(
    alone: RankContext, make_job: MakeJob, tmp_path: Path
) -> None:
    alone.stop_flag.set()
    checkpoints = Checkpoints(folder=str(tmp_path / "checkpoints"), every_steps=100)
    result = train_rank(alone, make_job(num_steps=1_000, checkpoints=checkpoints))
    assert result.stopped
    saved = latest(tmp_path / "checkpoints")
    assert saved is not None
    assert saved.step == len(result.steps) == 1
    assert saved.num_steps == 1_000


def test_replicas_that_drift_apart_are_saved_where_they_agree(
    cluster4: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(plan=Plan(dp=2, sync="average", sync_every=3), num_steps=10)
    results = cluster4.run_ranks(train_rank, 2, job, timeout_s=TIMEOUT_S)
    assert [written["step"] for written in results[0].checkpoints] == [3, 6, 9]


def test_an_asynchronous_server_goes_on_from_where_it_was(
    cluster4: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    plan = Plan(dp=2, sync="async_parameter_server")
    straight = cluster4.run_ranks(train_rank, 2, make_job(plan=plan, num_steps=40))
    saved = latest(tmp_path / "checkpoints")
    assert saved is not None
    assert saved.step == 40
    further = {"num_steps": 60, "resume_from": saved.folder, "start_step": 40, "checkpoints": None}
    job = make_job(plan=plan, **further)
    resumed = cluster4.run_ranks(train_rank, 2, job, timeout_s=TIMEOUT_S)
    assert [step.step for step in resumed[0].steps] == list(range(40, 60))
    assert np.mean(losses(resumed[0])) < np.mean(losses(straight[0])[:20])
    assert min(resumed[0].staleness) >= 0
    # From there one process goes on just as well.
    single = cluster4.run_ranks(train_rank, 1, make_job(**further), timeout_s=TIMEOUT_S)
    assert np.mean(losses(single[0])) < np.mean(losses(straight[0])[:20])


def train_led_by_rank_1(ctx: RankContext, job: TrainJob) -> RankResult:
    """Rank 1 is the leader, but not at once."""
    asked: list[str] = []

    def commit(what: str) -> bool:
        asked.append(what)
        return ctx.rank == 1 and len(asked) > 1

    ctx.commit = commit
    return train_rank(ctx, job)


def test_the_leader_completes_checkpoints_whichever_rank_it_is(
    cluster4: Cluster, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(plan=Plan(dp=2))
    results = cluster4.run_ranks(train_led_by_rank_1, 2, job, timeout_s=TIMEOUT_S)
    assert [written["step"] for written in results[0].checkpoints] == [2, 4, 6]
    assert not any("error" in written for written in results[0].checkpoints)
    assert names(tmp_path / "checkpoints") == ["step-000004", "step-000006"]
    assert results[0].checkpoints[-1]["folder"] == str(tmp_path / "checkpoints" / "step-000006")


def test_ranks_without_a_leader_complete_none(
    alone: RankContext, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "COMMIT_PAUSE_S", 0.0)
    asked: list[str] = []
    alone.commit = lambda what: bool(asked.append(what))
    result = train_rank(alone, make_job())
    assert asked[:: checkpoint.COMMIT_TRIES] == ["step-000002", "step-000004", "step-000006"]
    assert {written["error"] for written in result.checkpoints} == {
        "no rank was the leader, which completes it"
    }
    assert names(tmp_path / "checkpoints") == []


def test_while_it_writes_a_rank_says_what_it_does(
    alone: RankContext, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    describe = checkpoint_files.describe

    def note(part: Path, saved: Any) -> int:
        said.append(alone.doing)
        return describe(part, saved)

    monkeypatch.setattr(checkpoint_files, "describe", note)
    train_rank(alone, make_job(num_steps=2))
    assert said == ["writing the checkpoint of step 2"]
    assert alone.doing == ""
