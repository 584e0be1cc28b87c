"""Leftovers of dead labs are found; what belongs to a living one is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from labkit.cluster.fork_server import OWNER_FILE, PID_FILE
from labkit.leftovers import abandoned_folders, orphaned_fork_servers

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


def test_folders_of_dead_labs_are_found_and_those_of_living_ones_left_alone(tmp_path: Path) -> None:
    lab_folder(tmp_path, "alive", owner=os.getpid())
    dead = lab_folder(tmp_path, "dead", owner=pid_of_a_dead_process())
    on_a_cluster = tmp_path / "labkit-remote"
    on_a_cluster.mkdir()
    (on_a_cluster / PID_FILE).write_text(str(pid_of_a_dead_process()))
    (tmp_path / "labkit-of-something-else").mkdir()

    assert list(abandoned_folders(tmp_path)) == [dead, on_a_cluster]


def test_a_reused_pid_does_not_keep_a_dead_lab_alive(tmp_path: Path) -> None:
    folder = lab_folder(tmp_path, "old", owner=os.getpid())
    long_ago = psutil.Process().create_time() - 3600
    os.utime(folder / OWNER_FILE, (long_ago, long_ago))
    assert list(abandoned_folders(tmp_path)) == [folder]


def test_fork_servers_without_a_lab_are_found(tmp_path: Path) -> None:
    dead = lab_folder(tmp_path, "dead", owner=pid_of_a_dead_process())
    alive = lab_folder(tmp_path, "alive", owner=os.getpid())
    with (
        process_that_looks_like_a_fork_server(dead) as orphan,
        process_that_looks_like_a_fork_server(alive),
        process_that_looks_like_a_fork_server(tmp_path / "labkit-removed") as folderless,
    ):
        assert set(orphaned_fork_servers(tmp_path)) == {orphan.pid, folderless.pid}
    assert set(orphaned_fork_servers(tmp_path)) == set()
