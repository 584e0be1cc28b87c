"""Processes that are suspended: told from those that run, and ended with what they started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from labkit.cluster.fork_server import connect, listen
from labkit.cluster.suspended import end_family, is_suspended, peer_pid, stays_suspended

SOON_S = 10.0
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """A process and its child."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        yield psutil.Process(parent.pid), child
        parent.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_a_suspended_process_is_told_from_others(
    family: tuple[psutil.Process, psutil.Process],
) -> None:
    parent, _ = family
    assert not is_suspended(parent.pid)
    assert not stays_suspended(parent.pid)
    parent.suspend()
    deadline = time.monotonic() + SOON_S
    while not stays_suspended(parent.pid):
        assert time.monotonic() < deadline
    parent.resume()
    assert not stays_suspended(parent.pid)
    assert not stays_suspended(0), "there is none"


def test_a_suspended_process_is_ended_with_its_children(
    family: tuple[psutil.Process, psutil.Process],
) -> None:
    parent, child = family
    parent.suspend()
    child.suspend()
    end_family(parent.pid)
    for process in family:
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    end_family(parent.pid)  # it has ended already


def test_who_listens_at_the_other_end_is_known_before_it_answers(tmp_path: Path) -> None:
    with listen(tmp_path), connect(tmp_path) as connection:
        assert peer_pid(connection) == os.getpid()
