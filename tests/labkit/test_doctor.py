"""What ``labkit doctor`` finds, and the way out it names for each problem."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from labkit.cluster.devices import Devices
from labkit.cluster.fork_server import OWNER_FILE, PID_FILE
from labkit.cluster.launch import WORKER_BYTES
from labkit.doctor import (
    Check,
    Report,
    check_devices,
    check_disk,
    check_leftovers,
    check_loopback,
    check_memory,
    check_system,
    check_versions,
    examine,
    installed_versions,
)

GPU = Devices(kind="gpu", names=("A100",), indices=("0",), num_cores=2, why="found 1 GPU: A100")
CPU = Devices(kind="cpu", names=(), indices=(), num_cores=2, why="no NVIDIA driver is installed")
DEADLINE_S = 30.0


@contextmanager
def process_that_looks_like_a_fork_server(folder: Path) -> Iterator[psutil.Popen]:
    """A process that does nothing under a fork server's command line, until its input closes."""
    command = [sys.executable, "-c", "input()", "labkit.cluster.fork_server", str(folder)]
    process = psutil.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(DEADLINE_S)


def pid_of_a_dead_process() -> int:
    process = psutil.Popen([sys.executable, "-c", ""])
    process.wait(DEADLINE_S)
    return process.pid


def lab_folder(parent: Path, name: str, *, owner: int) -> Path:
    folder = parent / f"labkit-{name}"
    folder.mkdir()
    (folder / OWNER_FILE).write_text(str(owner))
    return folder


def test_this_environment_can_run_the_lab(tmp_path: Path) -> None:
    report = examine(tmp_path)
    assert report.ok, report.lines()
    names = [check.name for check in report.checks]
    assert names[:4] == ["system", "python", "torch", "dask"]
    assert len(names) == len(set(names))
    assert report.lines()[-1] == "The lab can run here."


def test_one_problem_is_enough_and_its_fix_is_shown() -> None:
    bad = Check(name="disk", found="0.0 GiB free", level="problem", fix="free some")
    report = Report((Check(name="system", found="Linux"), bad))
    assert not report.ok
    assert report.lines() == [
        "ok       system  Linux",
        "problem  disk    0.0 GiB free",
        "                 -> free some",
        "The lab cannot run here yet.",
    ]
    assert json.loads(json.dumps(report.to_json())) == {
        "ok": False,
        "checks": [
            {"name": "system", "found": "Linux", "level": "ok", "fix": ""},
            {"name": "disk", "found": "0.0 GiB free", "level": "problem", "fix": "free some"},
        ],
    }


def test_a_note_does_not_stop_the_lab() -> None:
    note = Check(name="browser", found="no Chromium", level="note", fix="install it")
    assert Report((note,)).ok


def test_other_systems_are_told_the_way_out() -> None:
    assert check_system("Linux", "x86_64").level == "ok"
    check = check_system("Darwin", "arm64")
    assert check.level == "problem"
    assert "Linux container" in check.fix


def test_versions_are_held_against_the_pins() -> None:
    versions = installed_versions()
    assert {check.level for check in check_versions(versions)} == {"ok"}

    del versions["torch"]
    other = {**versions, "dask": "2020.1.0", "python": "3.9.1"}
    found = {check.name: check for check in check_versions(other)}
    assert found["dask"].level == "problem"
    assert found["dask"].found.startswith("2020.1.0, but the lab needs ==20")
    assert "pip install" in found["dask"].fix
    assert found["torch"].found == "not installed"
    assert found["python"].fix.startswith("use Python")
    assert found["jupyterlab"].level == "ok"


@pytest.mark.parametrize(
    ("devices", "versions", "level", "fix"),
    [
        (CPU, {"torch": "2.13.0+cpu"}, "ok", ""),
        (GPU, {"torch": "2.13.0", "dask-cuda": "26.10.0"}, "ok", ""),
        (GPU, {"torch": "2.13.0"}, "problem", "[gpu]"),
        (GPU, {"torch": "2.13.0+cpu", "dask-cuda": "26.10.0"}, "problem", "default build"),
    ],
)
def test_gpus_need_their_packages(
    devices: Devices, versions: dict[str, str], level: str, fix: str
) -> None:
    check = check_devices(devices, versions)
    assert check.level == level
    assert fix in check.fix
    assert devices.why in check.found


@pytest.mark.parametrize(
    ("num_workers", "level", "fix"),
    [(0, "problem", "close other programs"), (2, "note", "launch 2 at most"), (8, "ok", "")],
)
def test_memory_bounds_the_workers(num_workers: int, level: str, fix: str) -> None:
    check = check_memory(num_workers * WORKER_BYTES, 16 * 2**30)
    assert check.level == level
    assert fix in check.fix
    assert f"for {num_workers} workers" in check.found


def test_a_full_disk_is_a_problem(tmp_path: Path) -> None:
    assert check_disk(tmp_path, 2**33).level == "ok"
    check = check_disk(tmp_path, 2**20)
    assert check.level == "problem"
    assert str(tmp_path) in check.found
    assert "TMPDIR" in check.fix


def test_a_host_without_its_address_is_a_problem() -> None:
    assert check_loopback().level == "ok"
    check = check_loopback("192.0.2.1")  # reserved for documentation, so never ours
    assert check.level == "problem"
    assert "192.0.2.1 does not work" in check.found


def test_folders_of_dead_labs_are_found_and_those_of_living_ones_left_alone(tmp_path: Path) -> None:
    lab_folder(tmp_path, "alive", owner=os.getpid())
    dead = lab_folder(tmp_path, "dead", owner=pid_of_a_dead_process())
    on_a_cluster = tmp_path / "labkit-remote"
    on_a_cluster.mkdir()
    (on_a_cluster / PID_FILE).write_text(str(pid_of_a_dead_process()))
    (tmp_path / "labkit-of-something-else").mkdir()

    folders = {check.name: check for check in check_leftovers(tmp_path)}["folders"]

    assert folders.level == "note"
    assert folders.fix == shlex.join(["rm", "-r", str(dead), str(on_a_cluster)])


def test_a_reused_pid_does_not_keep_a_dead_lab_alive(tmp_path: Path) -> None:
    folder = lab_folder(tmp_path, "old", owner=os.getpid())
    long_ago = psutil.Process().create_time() - 3600
    os.utime(folder / OWNER_FILE, (long_ago, long_ago))
    found = {check.name: check for check in check_leftovers(tmp_path)}
    assert str(folder) in found["folders"].found


def test_fork_servers_without_a_lab_are_found(tmp_path: Path) -> None:
    dead = lab_folder(tmp_path, "dead", owner=pid_of_a_dead_process())
    alive = lab_folder(tmp_path, "alive", owner=os.getpid())
    with (
        process_that_looks_like_a_fork_server(dead) as orphan,
        process_that_looks_like_a_fork_server(alive),
        process_that_looks_like_a_fork_server(tmp_path / "labkit-removed") as folderless,
    ):
        check = {check.name: check for check in check_leftovers(tmp_path)}["processes"]
        assert check.level == "note"
        assert sorted(check.fix.split()[1:]) == sorted([str(orphan.pid), str(folderless.pid)])
    check = {check.name: check for check in check_leftovers(tmp_path)}["processes"]
    assert check.found == "none left by earlier labs"
