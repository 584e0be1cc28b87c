"""Which checkpoints are complete, and whose they are; without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.train import checkpoint_files as files
from labkit.train.checkpoint_files import Checkpoints, latest, read

DESCRIPTION = {"plan": {"dp": 2}, "workload": {"name": "fruit"}, "run": "r", "num_steps": 9}


def write(folder: Path, step: int, writer: str = "run") -> Path:
    """A complete checkpoint with one file of tensors."""
    part = files.begin(folder, step, writer)
    (part / "__0_0.distcp").write_bytes(b"tensors")
    (part / files.METADATA_FILE).write_bytes(b"index")
    files.describe(part, {"step": step, **DESCRIPTION})
    return files.complete(part)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_complete_one_is_found_with_what_it_says_of_itself(tmp_path: Path) -> None:
    assert latest(tmp_path / "none") is None
    folder = tmp_path / "run" / "checkpoints"
    for step in (20, 1_000_000, 3):
        write(folder, step)
    saved = latest(folder)
    assert saved is not None
    assert saved.folder == str(folder / "step-1000000")
    assert (saved.step, saved.run, saved.num_steps) == (1_000_000, "r", 9)
    assert (saved.plan, saved.workload) == (DESCRIPTION["plan"], DESCRIPTION["workload"])


def test_what_is_being_written_is_no_checkpoint_and_is_removed_as_a_leftover(
    tmp_path: Path,
) -> None:
    write(tmp_path, 2)
    part = files.begin(tmp_path, 4, "killed")
    (part / files.METADATA_FILE).write_bytes(b"index")
    files.describe(part, {"step": 4, **DESCRIPTION})
    saved = latest(tmp_path)
    assert saved is not None
    assert saved.step == 2
    assert names(tmp_path) == ["step-000002", "step-000004.killed.part"]
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["step-000002"]


def test_two_writers_of_one_step_do_not_meet(tmp_path: Path) -> None:
    lost = files.begin(tmp_path, 4, "first-attempt")
    write(tmp_path, 4, "second-attempt")
    files.remove_leftovers(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.complete(lost)
    assert names(tmp_path) == ["step-000004"]


def test_a_step_that_is_done_again_replaces_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, 4)
    part = files.begin(tmp_path, 4, "again")
    (part / files.METADATA_FILE).write_bytes(b"another index")
    files.describe(part, {"step": 4, **DESCRIPTION, "run": "again"})
    saved = read(files.complete(part))
    assert saved.run == "again"
    assert names(tmp_path) == ["step-000004"]


def test_the_newest_ones_are_kept(tmp_path: Path) -> None:
    for step in (8, 16, 24, 32):
        write(tmp_path, step)
    files.keep_newest(tmp_path, 2)
    assert names(tmp_path) == ["step-000024", "step-000032"]


def test_nobody_else_can_look_into_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "run" / "checkpoints", 4)
    made = (folder.parent.parent, folder.parent, folder)
    assert [oct(path.stat().st_mode)[-3:] for path in made] == ["700", "700", "700"]
    assert {oct(path.stat().st_mode)[-3:] for path in folder.iterdir()} == {"600"}


def damage_nothing_there(folder: Path) -> None:
    (folder / "__0_0.distcp").unlink()


def damage_cut_short(folder: Path) -> None:
    (folder / "__0_0.distcp").write_bytes(b"tens")


def damage_no_index(folder: Path) -> None:
    (folder / files.METADATA_FILE).unlink()


def damage_no_description(folder: Path) -> None:
    (folder / files.DESCRIPTION_FILE).unlink()


def damage_half_a_description(folder: Path) -> None:
    text = (folder / files.DESCRIPTION_FILE).read_text()
    (folder / files.DESCRIPTION_FILE).write_text(text[: len(text) // 2])


def damage_other_values(folder: Path) -> None:
    values = json.loads((folder / files.DESCRIPTION_FILE).read_text())
    (folder / files.DESCRIPTION_FILE).write_text(json.dumps({**values, "plan": []}))


@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing_there,
        damage_cut_short,
        damage_no_index,
        damage_no_description,
        damage_half_a_description,
        damage_other_values,
    ],
)
def test_a_damaged_one_is_passed_over_and_named_when_asked_for(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 4)
    damage(write(tmp_path, 8))
    saved = latest(tmp_path)
    assert saved is not None
    assert saved.step == 4
    assert "step-000008 is damaged" in caplog.text
    with pytest.raises(SettingError, match=r"step-000008 is damaged .*choose another one"):
        read(tmp_path / "step-000008")


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"there is no checkpoint '.*step-000012'"):
        read(tmp_path / "step-000012")


def test_one_of_another_user_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, 4)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    for find in (latest, lambda _: read(folder)):
        with pytest.raises(SettingError, match=r"belongs to user \d+, not to \d+, so it is not"):
            find(tmp_path)


@pytest.mark.parametrize("what", [".", "__0_0.distcp", files.METADATA_FILE])
def test_one_that_others_may_write_to_is_not_read(tmp_path: Path, what: str) -> None:
    folder = write(tmp_path, 4)
    (folder / what).chmod(0o722)
    with pytest.raises(SettingError, match=r"others may write to .* chmod -R go-w"):
        latest(tmp_path)
    assert subprocess.run(["chmod", "-R", "go-w", str(folder)], check=False).returncode == 0
    assert read(folder).step == 4


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = write(tmp_path / "elsewhere", 4)
    (tmp_path / "step-000004").symlink_to(folder)
    with pytest.raises(SettingError, match="is a link"):
        latest(tmp_path)
    (folder / "__0_0.distcp").rename(tmp_path / "tensors")
    (folder / "__0_0.distcp").symlink_to(tmp_path / "tensors")
    with pytest.raises(SettingError, match="is a link"):
        read(folder)


def test_those_for_failures_go_with_the_run(tmp_path: Path) -> None:
    write(tmp_path / "kept", 4)
    write(tmp_path / "passing", 4)
    files.remove_passing(None)
    files.remove_passing(Checkpoints(folder=str(tmp_path / "kept")))
    files.remove_passing(Checkpoints(folder=str(tmp_path / "passing"), passing=True))
    assert names(tmp_path) == ["kept"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"every_steps": -1}, "checkpoint_every=-1 is no count of steps; choose a number >= 1"),
        ({"every_steps": 0}, "checkpoint_every=0"),
        ({"keep": 0}, "keep=0 keeps no checkpoint"),
    ],
)
def test_counts_below_one_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Checkpoints(folder="x", **values)


def test_the_client_finds_them_without_torch() -> None:
    code = "import sys, labkit.train.checkpoint_files; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
