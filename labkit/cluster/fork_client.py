"""A Dask worker's line to the fork server of its host, which is started and replaced as needed."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Literal

from labkit.cluster import fork_server
from labkit.cluster.forked_process import ForkedProcess, describe_exit
from labkit.cluster.suspended import end_family, peer_pid, stays_suspended
from labkit.errors import ClusterError

SERVER_LOG = "fork_server.log"
START_SERVER_S = 30.0
FORK_S = 60.0  # the first fork waits until the server has imported torch
FORK_TRIES = 3  # a server may be killed or suspended meanwhile, and is replaced
LOOK_S = 0.5  # between two looks at a server that does not answer
RATE_S = 3.0

logger = logging.getLogger(__name__)


class ForkClient:
    """Has processes forked; used by the threads of one worker.

    Args:
        folder: of the cluster on this host; all its workers here share the server in it.
        private_network: whether a server that is started gets a network of its own.
    """

    def __init__(self, folder: Path, *, private_network: bool) -> None:
        self.folder = folder
        self.private_network = private_network
        self.server: subprocess.Popen[bytes] | None = None
        self.connection: socket.socket | None = None
        self.closed = False
        self.lock = threading.RLock()

    def close(self) -> None:
        """Say goodbye to the server; it ends what it forked for this worker."""
        with self.lock:
            self.closed = True
            if self.connection is not None:
                with contextlib.suppress(OSError):
                    self.connection.send(b"bye")
                self.connection.close()
                self.connection = None
        if self.server is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(0.2)

    def connect(self) -> socket.socket:
        """The connection to this host's fork server; starts the server if there is none.

        One that is suspended is ended with all its processes, and replaced: the ranks that it
        forked before may be well, but it can start no others.

        Raises:
            ClusterError: the folder belongs to somebody else, the server does not start, or the
                worker is closing.
        """
        with self.lock:
            if self.closed:
                raise ClusterError("its worker is closing")
            if self.connection is not None:
                if _is_open(self.connection) and not stays_suspended(peer_pid(self.connection)):
                    return self.connection
                self.connection.close()
                self.connection = None
            own_folder(self.folder)
            with open(self.folder / "start.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self.connection = self._find_server() or self._start_server()
            return self.connection

    def _find_server(self) -> socket.socket | None:
        """A connection to the server that is there; ``None``, and it is ended, if suspended."""
        try:
            connection = fork_server.connect(self.folder)
        except OSError:
            return None
        pid = peer_pid(connection)
        if not stays_suspended(pid):
            return connection
        logger.warning("fork server %d is suspended; it is ended with its processes", pid)
        connection.close()
        end_family(pid)
        return None

    def _start_server(self) -> socket.socket:
        options = [fork_server.PRIVATE_NETWORK] if self.private_network else []
        with open(self.folder / SERVER_LOG, "ab") as output:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "labkit.cluster.fork_server", *options, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={
                    **without_worker_malloc(os.environ),
                    "OMP_NUM_THREADS": "1",
                    # Whatever asks for GPUs while it loads must not start CUDA: ranks are forked.
                    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
                    "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "torch"),
                    # Without it every rank says that no name server tells its own host's name.
                    "TORCH_CPP_LOG_LEVEL": "ERROR",
                },
            )
        deadline = time.monotonic() + START_SERVER_S
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                return fork_server.connect(self.folder)
            except OSError:
                time.sleep(0.01)
        raise ClusterError(
            f"the fork server did not start within {START_SERVER_S:.0f} s on "
            f"{socket.gethostname()}: {self.log_tail()}"
        )

    def log_tail(self) -> str:
        """The tail of what the fork server had to say."""
        log = self.folder / SERVER_LOG
        text = log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""
        return text or "it left no message"

    def fork(
        self, program: Literal["rank", "store"], is_wanted: Callable[[], bool] = lambda: True
    ) -> ForkedProcess:
        """A fresh process of the server, once it is there.

        Args:
            program: what it becomes.
            is_wanted: asked while it is waited for.
        Raises:
            ClusterError: it did not come, ended at once, or is not wanted any more.
        """
        deadline = time.monotonic() + FORK_S
        for _ in range(FORK_TRIES):
            child = self._ask(program)
            try:
                if self._has_come(child, program, deadline, is_wanted):
                    return child
            finally:
                if child.pidfd is None:
                    child.close()
        raise ClusterError(
            f"{FORK_TRIES} fork servers ended before they started a {program}: {self.log_tail()}"
        )

    def _ask(self, program: str) -> ForkedProcess:
        """Ask the server for a process; returns at once."""
        with self.lock:
            server = self.connect()
            control, theirs = Pipe()
            exit_read, exit_write = os.pipe()
            with contextlib.suppress(ConnectionError):  # then it has gone, and nobody answers
                socket.send_fds(server, [program.encode()], [theirs.fileno(), exit_write])
            theirs.close()
            os.close(exit_write)
            return ForkedProcess(control, exit_read, peer_pid(server))

    def _has_come(
        self, child: ForkedProcess, program: str, deadline: float, is_wanted: Callable[[], bool]
    ) -> bool:
        """Wait for a process; whether it has come, as its server may have gone or be suspended."""
        try:
            while is_wanted():
                if child.control.poll(LOOK_S):
                    child.meet()
                    return True
                if stays_suspended(child.server_pid):
                    return False
                if time.monotonic() >= deadline:
                    raise ClusterError(
                        f"the fork server did not start a {program} within {FORK_S:.0f} s: "
                        f"{self.log_tail()}"
                    )
        except (EOFError, OSError):
            code = child.exit_code()
            if code:
                raise ClusterError(f"the {program} did not start: {describe_exit(code)}") from None
            return False
        raise ClusterError(f"the {program} was ended before it started, as its run has ended")

    def set_network_rate(self, bytes_per_s: int, seconds: float) -> str:
        """Let the ranks' own network on this host carry so much for a while; why not, or empty.

        It is free again afterwards also where the server answered that, or how it went, too late.
        No server is started: a fresh one has a network that nobody has slowed down.
        """
        obstacle, sent = self._send_rate(bytes_per_s)
        if sent:
            free = threading.Timer(seconds, self._send_rate, [0])
            free.daemon = True
            free.start()
        return obstacle

    def _send_rate(self, bytes_per_s: int) -> tuple[str, bool]:
        """Ask the server for a rate, 0 for none; why not, or empty, and whether it was asked."""
        read, write = os.pipe()
        try:
            with self.lock:
                if self.connection is None:
                    raise ConnectionError("it is gone")
                socket.send_fds(self.connection, [f"rate {bytes_per_s}".encode()], [write])
        except OSError as error:
            os.close(read)
            return f"the fork server does not answer: {error}", False
        finally:
            os.close(write)
        with open(read, "rb") as answer:
            ready, _, _ = select.select([answer], [], [], RATE_S)
            return answer.read().decode() if ready else "the fork server does not answer", True


def without_worker_malloc(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the settings of malloc that Dask's workers are started with.

    They give freed memory back to the system at once, or Dask would pause the worker in the end. A
    rank allocates the same activations in every step, and would fault in all their pages every
    time: that took a third of its processor time.
    """
    return {key: value for key, value in environment.items() if not key.startswith("MALLOC_")}


def own_folder(folder: Path) -> None:
    """Make the folder, or check that it is ours alone.

    Raises:
        ClusterError: it belongs to another user or others may enter it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise ClusterError(f"{folder} is not a private folder of this user; remove it and retry")


def _is_open(connection: socket.socket) -> bool:
    """Whether the peer is still there; it never sends, so readable means closed."""
    ready, _, _ = select.select([connection], [], [], 0)
    return not ready
