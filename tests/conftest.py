"""Clusters for the tests, and the check that every test leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.cluster.rank_tasks import prepare

MARK = "LABKIT_TEST_SESSION"
LEAVE_S = 15.0
PYTHON_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def pytest_configure(config: pytest.Config) -> None:
    """A temporary folder and a mark in the environment that only this session's processes have."""
    os.environ[MARK] = uuid.uuid4().hex
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="labtest-")
    # Ranks keep torch's cache in their cluster's folder; this is for models trained in the test.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(os.environ["TMPDIR"], "pytest-of-torch")
    tempfile.tempdir = None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's temporary folder."""
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def our_processes() -> dict[int, str]:
    """Processes of this session, orphans too, by pid: those that inherited its mark."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) != os.environ[MARK]:
                continue
            command = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if not any(own in command for own in PYTHON_OWN):
            found[process.pid] = command
    return found


def our_listening_ports() -> set[tuple[str, int]]:
    """Addresses on which processes of this session listen."""
    pids = {os.getpid(), *our_processes()}
    return {
        (c.laddr.ip, c.laddr.port)
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.pid in pids
    }


def our_folders() -> set[str]:
    """Everything in this session's temporary folder but pytest's own."""
    entries = {path.name for path in Path(tempfile.gettempdir()).iterdir()}
    return {name for name in entries if not name.startswith("pytest-of-")}


def left_behind(before: tuple[set[int], set[tuple[str, int]], set[str]]) -> str:
    """What there is now and was not before, in words; empty when there is nothing."""
    now = our_processes()
    processes = {pid: now[pid] for pid in now.keys() - before[0]}
    ports = our_listening_ports() - before[1]
    folders = our_folders() - before[2]
    what = {"processes": processes, "ports": ports, "folders": folders}
    return ", ".join(f"{name}: {value}" for name, value in what.items() if value)


@pytest.fixture(scope="session")
def left_behind_since() -> Callable[[], Callable[[], str]]:
    """Call it, and later what it returned: that tells what is there by then, and was not before."""

    def remember() -> Callable[[], str]:
        before = (set(our_processes()), our_listening_ports(), our_folders())

        def tell() -> str:
            deadline = time.monotonic() + LEAVE_S
            while (left := left_behind(before)) and time.monotonic() < deadline:
                time.sleep(0.02)
            return left

        return tell

    return remember


@pytest.fixture(autouse=True)
def nothing_left_behind(left_behind_since: Callable[[], Callable[[], str]]) -> Iterator[None]:
    """Fails a test that leaves a process, a listening port or a cluster folder."""
    what_is_left = left_behind_since()
    yield
    assert not (left := what_is_left()), f"left behind: {left}"


def _warm(cluster: Cluster) -> Cluster:
    """Have the fork server and the rendezvous stores run, which a cluster keeps until closed."""
    assert cluster.run_ranks(rank_of, cluster.num_workers) == list(range(cluster.num_workers))
    answers = cluster.client.run(prepare, cluster.plugin_name, "warm", b"", True)
    assert all(store and not why for store, why in answers.values())
    return cluster


def rank_of(context: RankContext) -> int:
    """The smallest program a rank can run."""
    return context.rank


@pytest.fixture(scope="session")
def cluster4() -> Iterator[Cluster]:
    """Four CPU workers, shared by the tests of a session."""
    with labkit.launch(4, device="cpu") as cluster:
        yield _warm(cluster)


@pytest.fixture(scope="module")
def cluster8() -> Iterator[Cluster]:
    """Eight CPU workers."""
    with labkit.launch(8, device="cpu") as cluster:
        yield _warm(cluster)


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """Two CPU workers for one test that is going to hurt them."""
    with labkit.launch(2, device="cpu") as cluster:
        yield cluster
