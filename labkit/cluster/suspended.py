"""Processes that a signal has suspended, as SIGSTOP does: to see it, and to end them.

A suspended process answers nothing, but its sockets take connections and messages as before, so
only the kernel can tell.

Source: proc(5) for the state, unix(7) for ``SO_PEERCRED``.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from pathlib import Path

import psutil

LOOKS = 3
LOOK_S = 0.25  # between two looks
END_S = 5.0
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def is_suspended(pid: int) -> bool:
    """Whether a process is suspended now; one that is not there is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "T"


def stays_suspended(pid: int) -> bool:
    """Whether a process is suspended now and for the next half second, so that nobody waits for it.

    One that is not suspended is told at once.
    """
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_S)
        if not is_suspended(pid):
            return False
    return True


def peer_pid(connection: socket.socket) -> int:
    """The process that listened at the other end of a Unix socket."""
    answer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(answer)[0])


def end_family(pid: int) -> None:
    """SIGKILL a process and all that descend from it; wait some seconds until they have ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        pidfds = []
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                pidfds.append(os.pidfd_open(each.pid))
                each.kill()
        deadline = time.monotonic() + END_S
        for pidfd in pidfds:
            select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
            os.close(pidfd)
