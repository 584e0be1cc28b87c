"""What ``labkit doctor`` finds, and the way out it names for each problem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.cluster.capacity import WORKER_BYTES
from labkit.cluster.devices import Devices
from labkit.cluster.fork_server import OWNER_FILE
from labkit.doctor import (
    Check,
    Report,
    check_devices,
    check_disk,
    check_leftovers,
    check_memory,
    check_ports,
    check_private_network,
    check_system,
    check_versions,
    examine,
    installed_versions,
)

GPU = Devices(kind="gpu", names=("A100",), indices=("0",), num_cores=2, why="found 1 GPU: A100")
CPU = Devices(kind="cpu", names=(), indices=(), num_cores=2, why="no NVIDIA driver is installed")


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
    assert check_ports().level == "ok"
    check = check_ports("192.0.2.1")  # reserved for documentation, so never ours
    assert check.level == "problem"
    assert "none can be opened on 192.0.2.1" in check.found


def test_ranks_on_every_users_loopback_are_noted() -> None:
    assert check_private_network("").level == "ok"
    check = check_private_network("unshare: Operation not permitted")
    assert check.level == "note"
    assert "no network of their own (unshare: Operation not permitted)" in check.found
    assert "user namespaces" in check.fix


def test_leftovers_are_noted_with_the_command_that_removes_them(tmp_path: Path) -> None:
    assert {check.level for check in check_leftovers(tmp_path)} == {"ok"}
    folder = tmp_path / "labkit-dead"
    folder.mkdir()
    (folder / OWNER_FILE).write_text("0")
    processes, folders = check_leftovers(tmp_path)
    assert processes.level == "ok"
    assert folders.level == "note"
    assert folders.fix == f"rm -r {folder}"
