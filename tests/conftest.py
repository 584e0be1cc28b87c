"""Clusters for the tests, and the check that every test leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:  # each process that shares the tests begins here: Dask is loaded when needed
    from labkit.cluster.cluster import Cluster
    from labkit.cluster.rank_context import RankContext

MARK = "LABKIT_TEST_SESSION"
FOLDER_PREFIX = "labtest-"
FOLDER = "folder"  # of a process that shares the tests, as it is told
FOLDERS = pytest.StashKey[list[str]]()  # to remove in the end
CRASHED = pytest.StashKey[bool]()
LEAVE_S = 15.0
APART_S = 420.0
HERE = Path(__file__).parent
PYTHON_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def pytest_configure(config: pytest.Config) -> None:
    """A temporary folder and a mark in the environment that only this session's processes have.

    Where processes share the tests (``pytest -n``), each is a session of its own in this sense.
    """
    shared = getattr(config, "workerinput", None)
    if shared is None:
        folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, partial(end_orderly, config))
    else:
        folder = shared[FOLDER]
        if Path(config.option.basetemp).is_relative_to(os.environ["TMPDIR"]):
            config.option.basetemp = None  # it is in the first process's folder
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupt_once)
    config.stash[FOLDERS] = [folder]
    mark_session(folder)


def mark_session(folder: str) -> None:
    """Mark what this process starts from now on, and have it keep its files in this folder."""
    os.environ[MARK] = uuid.uuid4().hex
    os.environ["TMPDIR"] = folder
    # Ranks keep torch's cache in their cluster's folder; this is for models trained in the test.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(folder, "pytest-of-torch")
    tempfile.tempdir = None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The folder of a process that shares the tests; who starts it removes it, if it crashes too.

    It is beside this one's, not inside: nobody else may enter that, and some tests open theirs.
    """
    beside = os.path.dirname(os.environ["TMPDIR"])
    node.workerinput[FOLDER] = tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=beside)
    node.config.stash[FOLDERS].append(node.workerinput[FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Remember that a process that shares the tests has crashed."""
    if error:
        node.config.stash[CRASHED] = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A crash fails the session also where no test ran: pytest-xdist leaves tests out then."""
    unharmed = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if session.config.stash.get(CRASHED, False) and session.exitstatus in unharmed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def interrupt_once(number: int, frame: object) -> None:
    """Control-C, and what it makes the tests clean up is not interrupted by another one."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)
    raise KeyboardInterrupt


def end_orderly(config: pytest.Config, number: int, frame: object) -> None:
    """A suite that is told to end, by Control-C or by a time limit, ends what it started first.

    Processes that share the tests do so each, and end the session in that way; at a second signal
    nobody waits for them.
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    shared = config.pluginmanager.getplugin("dsession")
    if shared is None or shared.sched is None:
        raise KeyboardInterrupt
    shared.shouldstop = "it was told to end"
    for process in psutil.Process().children():
        process.terminate()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks first, as the longest file; real GPUs last, since notebooks use them, too.

    Hosts come long after the browser, see ``apart``, and beside what computes: they wait a lot.
    """
    order = {"notebooks": 0, "browser": 1, "hosts": 3, "gpu": 5}
    order |= dict.fromkeys(("train", "strategies", "stand_in_driver", "widgets"), 4)
    items.sort(key=lambda item: order.get(item.path.parent.name, 2))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary folders."""
    for folder in config.stash[FOLDERS]:
        shutil.rmtree(folder, ignore_errors=True)


def our_processes() -> dict[int, str]:
    """Processes of this session, orphans too, by pid: those that inherited its mark.

    ``/proc`` is read by hand: psutil needs ten times as long, and this runs around every test.
    """
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            # A zombie's environment is empty.
            if pid == os.getpid() or mark not in Path(f"/proc/{pid}/environ").read_bytes():
                continue
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if not any(own in command for own in PYTHON_OWN):
            found[pid] = command
    return found


def our_sockets(processes: Iterable[int]) -> set[str]:
    """Sockets that this process and others hold, as the kernel numbers them."""
    found = set()
    for pid in (os.getpid(), *processes):
        with contextlib.suppress(OSError):
            for file in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found.add(os.readlink(f"/proc/{pid}/fd/{file}"))
    return {file for file in found if file.startswith("socket:")}


def listening_at(sockets: set[str]) -> set[tuple[str, int]]:
    """Addresses at which some of these sockets listen."""
    found = set()
    for c in psutil.net_connections("tcp") if sockets else ():
        with contextlib.suppress(OSError):
            if (
                c.status == psutil.CONN_LISTEN
                and os.readlink(f"/proc/{c.pid}/fd/{c.fd}") in sockets
            ):
                found.add((c.laddr.ip, c.laddr.port))
    return found


def our_folders() -> set[str]:
    """Everything in this session's temporary folder but pytest's own."""
    return {name for name in os.listdir(tempfile.gettempdir()) if not name.startswith("pytest-of-")}


@dataclass(frozen=True)
class There:
    """What there is of this session: processes by pid, sockets, folders."""

    processes: dict[int, str]
    sockets: set[str]
    folders: set[str]

    @classmethod
    def now(cls) -> There:
        processes = our_processes()
        return cls(processes, our_sockets(processes), our_folders())

    def more_than(self, before: There) -> str:
        """What was not there before, in words; empty when there is nothing."""
        what = {
            "processes": {
                pid: command
                for pid, command in self.processes.items()
                if pid not in before.processes
            },
            "ports": listening_at(self.sockets - before.sockets),
            "folders": self.folders - before.folders,
        }
        return ", ".join(f"{name}: {value}" for name, value in what.items() if value)


@pytest.fixture(scope="session")
def left_behind_since() -> Callable[[], Callable[[], str]]:
    """Call it, and later what it returned: that tells what is there by then, and was not before."""

    def remember() -> Callable[[], str]:
        before = There.now()

        def tell() -> str:
            deadline = time.monotonic() + LEAVE_S
            while (left := There.now().more_than(before)) and time.monotonic() < deadline:
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


@contextlib.contextmanager
def apart(own: str, other: str, timeout_s: float = APART_S) -> Iterator[None]:
    """Run while no test of another folder does; those of the same folder may, in any process.

    Hosts put interfaces into the machine's network and take them away, and Chromium then drops
    every request that waits for a connection (``net::ERR_NETWORK_CHANGED``). Holds in one checkout;
    the network is the machine's.

    Args:
        own: folder, seen from this one.
        other: the other one.
        timeout_s: how long to wait for it, in seconds.

    Raises:
        TimeoutError: the other folder's tests did not end.
    """
    deadline = time.monotonic() + timeout_s
    with _opened(HERE) as gate, _opened(HERE / own) as ours, _opened(HERE / other) as theirs:
        while True:
            fcntl.flock(gate, fcntl.LOCK_EX)  # for a moment: who is in it asks and enters at once
            try:
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(gate, fcntl.LOCK_UN)
            else:
                fcntl.flock(theirs, fcntl.LOCK_UN)
                fcntl.flock(ours, fcntl.LOCK_SH)
                fcntl.flock(gate, fcntl.LOCK_UN)
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"tests of {other} still run after {timeout_s:g} s; end them")
            time.sleep(0.1)
        try:
            yield
        finally:
            fcntl.flock(ours, fcntl.LOCK_UN)  # for forked children as well, which have it too


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A folder as a file, to be locked; programs that this process starts do not inherit it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture(scope="session")
def tests_apart() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """``apart``, for the folders that need it."""
    return apart


@contextlib.contextmanager
def _cpu_cluster(num_workers: int, *, warm: bool = True) -> Iterator[Cluster]:
    import labkit

    with labkit.launch(num_workers, device="cpu") as cluster:
        yield _warm(cluster) if warm else cluster


def _warm(cluster: Cluster) -> Cluster:
    """Have the fork server and the rendezvous stores run, which a cluster keeps until closed."""
    from labkit.cluster.rank_tasks import prepare

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
    with _cpu_cluster(4) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster8() -> Iterator[Cluster]:
    """Eight CPU workers, shared by the tests of a file; few need them, and idle ones cost time."""
    with _cpu_cluster(8) as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """Two CPU workers for one test that is going to hurt them."""
    with _cpu_cluster(2, warm=False) as cluster:
        yield cluster
