"""A process that the fork server of a host has forked for a Dask worker, as the worker holds it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection

from labkit.cluster.suspended import is_suspended

EXIT_S = 2.0


@dataclass(slots=True)
class ForkedProcess:
    """A process forked for this worker.

    Attributes:
        control: connection to it, on which it first says its pid.
        exit_pipe: on which its server reports its exit code.
        server_pid: of that server.
        pidfd: of the process, once it is known.
        pid: the same.
        slowed: while the lab itself suspends it again and again, see ``slowdown``.
    """

    control: Connection
    exit_pipe: int
    server_pid: int
    pidfd: int | None = None
    pid: int = 0
    slowed: bool = False

    def meet(self) -> None:
        """Receive its pid, the first that it says.

        Raises:
            EOFError, OSError: it has ended.
        """
        self.pid = self.control.recv()
        self.pidfd = os.pidfd_open(self.pid)

    def kill(self) -> None:
        """SIGKILL; through the pidfd, so never to a stranger that got the same pid."""
        pidfd = self.pidfd
        if pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def exit_code(self) -> str:
        """Exit code as text once the process has ended, empty when it is not known in time.

        A server that is suspended tells none, so then only the end is waited for.
        """
        if not is_suspended(self.server_pid):
            ready, _, _ = select.select([self.exit_pipe], [], [], EXIT_S)
            return os.read(self.exit_pipe, 256).decode() if ready else ""
        if self.pidfd is not None:
            select.select([self.pidfd], [], [], EXIT_S)
        return ""

    def close(self) -> None:
        """Let go of it; one that is not ended by its own will then ends itself."""
        self.control.close()
        os.close(self.exit_pipe)
        pidfd, self.pidfd = self.pidfd, None  # nobody signals by a number that is given away
        if pidfd is not None:
            os.close(pidfd)


def describe_exit(code: str) -> str:
    """An exit code as a person would say it: ``-9`` becomes ``killed by SIGKILL``."""
    if code.startswith("-") and code[1:].isdigit():
        return f"killed by {signal.Signals(int(code[1:])).name}"
    if code.isdigit():
        return f"exited with code {code}"
    return code or "its process is gone"
