"""What must not be there: processes without an owner, ports, and files of runs that are over.

Uses the same look at this session's processes, sockets and folders as the tests do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
import conftest as session  # the tests' own: a mark in the environment, a temporary folder

from labkit.cluster.fork_server import PID_FILE

FORK_SERVER = "labkit.cluster.fork_server"


def begin() -> session.There:
    """Mark all processes that are going to be started; call it before anything else."""
    session.mark_session(tempfile.mkdtemp(prefix=session.FOLDER_PREFIX))
    # A campaign that is told to end ends what it started first, as on Control-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return session.There.now()


def end() -> None:
    """Remove the temporary folder."""
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def patiently(look: Callable[[], str], patience_s: float = session.LEAVE_S) -> str:
    """What a look finds even after some seconds; empty once it finds nothing."""
    deadline = time.monotonic() + patience_s
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def strays(folders: Iterable[Path], roots: Iterable[int], num_workers: int) -> dict[int, str]:
    """Processes of this session that belong to nobody: the start of their commands, by pid.

    Args:
        folders: of the labs that are there; each may have a fork server with stores.
        roots: processes that may have children.
        num_workers: that a lab has at most, and so stores; more children of a fork server would be
            ranks, although nothing runs.
    """
    allowed, servers, found = set(roots), set(), {}
    for folder in folders:
        try:
            servers.add(int((folder / PID_FILE).read_text()))
        except (OSError, ValueError):
            continue
    for pid, command in session.our_processes().items():
        try:
            process = psutil.Process(pid)
            if FORK_SERVER in command:
                fine = pid in servers or process.ppid() in servers
            else:
                fine = pid in allowed or any(p.pid in allowed for p in process.parents())
        except psutil.NoSuchProcess:
            continue
        if not fine:
            found[pid] = command[:80]
    for server in servers:
        try:
            children = psutil.Process(server).children()
        except psutil.NoSuchProcess:
            continue
        if len(children) > num_workers:
            extra = children[num_workers:]  # stores are older than the ranks of a run
            found |= {child.pid: f"beyond the stores of fork server {server}" for child in extra}
    return found


def end_strays(pids: Iterable[int]) -> None:
    """Kill processes of this session that were found to belong to nobody."""
    for pid in set(pids) & set(session.our_processes()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ports() -> set[tuple[str, int]]:
    """Addresses at which this process and those that it started listen."""
    return session.listening_at(session.our_sockets(session.our_processes()))


def who_listens(addresses: Iterable[tuple[str, int]]) -> str:
    """These addresses, each with the process that listens there."""
    owners = {(*c.laddr,): c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN"}
    commands = session.our_processes()
    whose = ((each, owners.get(each)) for each in sorted(addresses))
    return ", ".join(f"{host}:{port} ({commands.get(pid, pid)})" for (host, port), pid in whose)


def stray_folders(known: Iterable[str]) -> str:
    """Folders in the session's temporary folder that belong to nobody."""
    extra = session.our_folders() - set(known)
    return f"folders {sorted(extra)}" if extra else ""


def unfinished_files(folder: Path) -> str:
    """Checkpoints that were begun and not ended, although no run is on."""
    parts = sorted(path.name for path in folder.glob("checkpoints/*/*.part"))
    return f"files {parts}" if parts else ""
