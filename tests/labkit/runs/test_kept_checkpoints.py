"""Checkpoints beside the records: found by the run's name, listed, and deleted with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cluster import shared_files
from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.kept_checkpoints import find_newest, find_saved, kept_in, passing_in
from labkit.runs.record import RunRecord
from labkit.runs.store import RunStore
from labkit.train import checkpoint_files as files
from labkit.train.resume_check import check_goes_on, find_resumed, saved_workload
from labkit.workload import WORKLOADS

RUN = "20260101-000000-abc"
FRUIT = WORKLOADS["fruit"]


def write(folder: Path, step: int, **values: Any) -> Path:
    """A complete checkpoint without tensors."""
    part = files.begin(folder, step, "ranks")
    (part / files.METADATA_FILE).write_bytes(b"index")
    described = {
        "step": step,
        "plan": Plan(dp=2).to_dict(),
        "workload": FRUIT.to_dict(),
        "run": "ranks",
        "num_steps": 100,
        "num_samples": 700,
        **values,
    }
    files.describe(part, json.loads(json.dumps(described)))
    return files.complete(part)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of kept runs with one that was cut off after step 40."""
    write(kept_in(tmp_path / "runs", RUN), 20)
    write(kept_in(tmp_path / "runs", RUN), 40)
    return tmp_path / "runs"


def test_a_run_that_was_cut_off_is_listed_with_how_to_go_on(runs: Path) -> None:
    (entry,) = RunStore(runs).list()
    assert (entry.run, entry.workload, entry.strategy, entry.devices) == (RUN, "fruit", "data", 2)
    assert f"cut off; labkit train --resume {RUN} goes on from step 40" in entry.damage
    with pytest.raises(SettingError, match="half-written"):
        RunStore(runs).load(RUN)


def test_a_run_with_a_record_is_listed_as_ever(
    runs: Path, make_run: Callable[..., RunRecord]
) -> None:
    RunStore(runs).save(make_run(RUN))
    (entry,) = RunStore(runs).list()
    assert (entry.damage, entry.status) == ("", "done")


def test_one_whose_checkpoints_are_all_damaged_says_no_more_than_that(runs: Path) -> None:
    for folder in kept_in(runs, RUN).iterdir():
        (folder / files.DESCRIPTION_FILE).unlink()
    (entry,) = RunStore(runs).list()
    assert "half-written" in entry.damage
    with pytest.raises(SettingError, match=f"run '{RUN}' has no complete checkpoint in"):
        find_saved(RUN, runs)


def test_it_is_deleted_with_its_checkpoints_but_not_with_other_files(runs: Path) -> None:
    store, stranger = RunStore(runs), kept_in(runs, RUN) / "thesis.tex"
    stranger.touch()
    with pytest.raises(SettingError, match="also holds checkpoints, so it is not deleted"):
        store.delete(RUN)
    stranger.unlink()
    files.begin(kept_in(runs, RUN), 60, "killed")
    assert store.delete(RUN[:10]) == RUN
    assert list(runs.iterdir()) == []


def test_a_checkpoint_is_found_by_name_beginning_or_folder(runs: Path, tmp_path: Path) -> None:
    newest = kept_in(runs, RUN) / "step-000040"
    for resume in (RUN, RUN[:8], str(newest.parent), str(newest)):
        assert find_saved(resume, runs).folder == str(newest)
    older = newest.with_name("step-000020")
    assert find_saved(str(older), runs).step == 20
    passing = write(passing_in(tmp_path / "cluster", "live"), 7)
    assert find_saved("live", runs, tmp_path / "cluster").folder == str(passing)
    assert find_saved(RUN, runs, tmp_path / "cluster").folder == str(newest)


@pytest.mark.parametrize("resume", ["20270101", "", "nowhere/step-000040"])
def test_a_run_that_is_not_there_is_named(runs: Path, resume: str) -> None:
    with pytest.raises(SettingError, match=f"run '{resume}' is unknown"):
        find_saved(resume, runs)


def test_only_the_same_training_can_go_on(runs: Path) -> None:
    saved = find_saved(RUN, runs)
    assert saved_workload(saved) == FRUIT
    check_goes_on(saved, FRUIT, 700, 41)
    with pytest.raises(ValueError, match="trained with name='fruit', not with name='digits'"):
        check_goes_on(saved, WORKLOADS["digits"], 700, 100)
    with pytest.raises(ValueError, match=r"momentum=0.9, seed=0, not with momentum=0.0, seed=3"):
        check_goes_on(saved, FRUIT.with_settings(seed=3, momentum=0.0), 700, 100)
    with pytest.raises(SettingError, match="on 700 samples, but the dataset has 1,400"):
        check_goes_on(saved, FRUIT, 1400, 100)
    for steps in (40, 10):
        with pytest.raises(SettingError, match=rf"has done 40 steps.*steps={steps} .*more than 40"):
            check_goes_on(saved, FRUIT, 700, steps)


def test_a_custom_model_needs_its_workload(tmp_path: Path) -> None:
    write(kept_in(tmp_path, RUN), 4, workload={**FRUIT.to_dict(), "model": "Mine"})
    with pytest.raises(SettingError, match=r"trained the custom model 'Mine'.*where the model is"):
        saved_workload(find_saved(RUN, tmp_path))


@pytest.fixture
def elsewhere(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody's cluster whose workers see the kept runs; this process does not."""
    hidden = runs.rename(runs.with_name("hidden"))

    def ask(client: Any, function: Callable[..., Any], *args: Any, **how: Any) -> dict[str, Any]:
        hidden.rename(runs)
        try:
            return {worker: function(*args) for worker in how["workers"]}
        finally:
            runs.rename(hidden)

    monkeypatch.setattr(shared_files, "ask_workers", ask)
    return SimpleNamespace(
        kind="existing", client=None, alive_workers=lambda: ["worker"], folder=runs / "none"
    )


def test_what_a_failed_run_goes_on_from_is_asked_of_workers_on_other_machines(
    runs: Path, elsewhere: Any
) -> None:
    folder = kept_in(runs, RUN)
    checkpoints = files.Checkpoints(folder=str(folder))
    assert not folder.exists()
    for committed, at_most, step in (("", 50, 40), ("step-000020", 50, 20), ("", 30, 20)):
        saved = find_newest(elsewhere, checkpoints, committed, at_most)
        assert saved is not None
        assert (saved.step, saved.folder) == (step, str(folder / f"step-{step:06d}"))
    assert find_newest(elsewhere, checkpoints, "", 10) is None
    assert find_newest(elsewhere, None, "step-000020", 50) is None


def test_a_committed_checkpoint_beyond_what_is_known_or_damaged_is_passed_over(runs: Path) -> None:
    own: Any = SimpleNamespace(kind="cpu")
    checkpoints = files.Checkpoints(folder=str(kept_in(runs, RUN)))
    for committed, at_most in (("step-000040", 39), ("step-000041", 39)):
        saved = find_newest(own, checkpoints, committed, at_most)
        assert saved is not None
        assert saved.step == 20


def test_a_kept_run_is_resumed_whose_checkpoints_only_the_workers_see(
    runs: Path, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    for resume in (RUN, f"runs/{RUN}/checkpoints"):
        saved = find_resumed(resume, "runs", elsewhere)
        assert saved is not None
        assert saved.folder == str(kept_in(runs, RUN) / "step-000040")
    with pytest.raises(SettingError, match="run '2027' is unknown"):
        find_resumed("2027", "runs", elsewhere)
