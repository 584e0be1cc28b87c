"""The part of the lab that lives in every Dask worker: it owns the rank processes of that worker.

A rank is a process of its own, so a collective that hangs can be killed without the worker, and
the next run starts from a clean process. The Dask task of a rank waits for it, which keeps other
tasks off the worker meanwhile, and returns how it ended instead of raising, so that Dask neither
retries it nor logs the user's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from distributed import Worker, WorkerPlugin

from labkit.cluster import fork_server
from labkit.cluster.addresses import LOOPBACK
from labkit.cluster.rank_process import RankJob
from labkit.cluster.suspended import end_family, is_suspended, peer_pid, stays_suspended
from labkit.errors import ClusterError

SERVER_LOG = "fork_server.log"
START_SERVER_S = 30.0
FORK_S = 60.0  # the first fork waits until the server has imported torch
FORK_TRIES = 3  # a server may be killed or suspended meanwhile, and is replaced
FORK_LOOK_S = 0.5
STORE_S = 10.0
RATE_S = 3.0
EXIT_S = 2.0
OUTPUT_TAIL_BYTES = 8_192
SILENT_S = 0.75  # after so long without a message, the owner looks at its rank's process
STOPPED_LOOKS = 2  # a rank that is seen stopped so often in a row is reported
ENDED_BEFORE = "ended before it started"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankEnd:
    """How a rank ended.

    Attributes:
        status: ``done``, ``error`` (it raised), or ``died`` (killed, crashed, never started).
        result: pickled return value when done.
        error: one line: the exception, or the signal or exit code.
        traceback: the rank's traceback.
        output: the tail of what it printed.
        at_s: wall clock of the end, to find the first failure of a gang.
        worker_lost: whether its worker is gone, too.
    """

    rank: int
    status: Literal["done", "error", "died"]
    result: bytes = b""
    error: str = ""
    traceback: str = ""
    output: str = ""
    at_s: float = 0.0
    worker_lost: bool = False


@dataclass(slots=True)
class _Child:
    """A process forked for this worker.

    ``slowed`` is set while the lab itself suspends it again and again, see ``slowdown``.
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
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

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
        self.control.close()
        os.close(self.exit_pipe)
        if self.pidfd is not None:
            os.close(self.pidfd)


@dataclass(slots=True)
class _Ranks:
    """Ranks that run and programs that were delivered, by run; runs ended lately."""

    children: dict[str, _Child] = field(default_factory=dict)
    programs: dict[str, bytes] = field(default_factory=dict)
    ended: deque[str] = field(default_factory=lambda: deque(maxlen=64))


class RankOwner(WorkerPlugin):
    """Worker plugin that forks, watches and ends the rank processes of one Dask worker.

    Args:
        name: name of the plugin, one per cluster object of a client.
        folder_name: name of the cluster's folder in the temporary directory of each host.
        private_network: whether ranks get a network of their own, which only they can reach.
    """

    idempotent = True

    def __init__(self, name: str, folder_name: str, *, private_network: bool = False) -> None:
        self.name = name
        self.folder_name = folder_name
        self.private_network = private_network

    async def setup(self, worker: Worker) -> None:
        """Leave the notebook's process group, and have a fork server on this host."""
        # Jupyter's interrupt goes to the kernel's whole process group and would kill the workers.
        if worker.nanny and os.getpgrp() != os.getpid():
            os.setsid()
        self.worker = worker
        self.ranks = _Ranks()
        self.stores: dict[str, tuple[_Child, int]] = {}  # process and port, by address
        self.server: subprocess.Popen[bytes] | None = None
        self.connection: socket.socket | None = None
        self.closed = False
        self.lock = threading.RLock()
        self.folder = Path(tempfile.gettempdir()) / self.folder_name
        await asyncio.to_thread(self.connect)

    def teardown(self, worker: Worker) -> None:
        """End every process of this worker and say goodbye to the fork server."""
        with self.lock:
            self.closed = True
            for child in self.ranks.children.values():
                child.kill()
            for store, _ in self.stores.values():
                store.close()
            self.stores.clear()
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

        One that is suspended is ended with all its processes, and replaced: nothing can be started
        any more where ranks that it forked may still run well.

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
            f"{socket.gethostname()}: {self._server_log()}"
        )

    def _server_log(self) -> str:
        """The tail of what the fork server had to say."""
        log = self.folder / SERVER_LOG
        text = log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""
        return text or "it left no message"

    def fork(self, program: Literal["rank", "store"], run: str = "") -> _Child:
        """A fresh process of the server, once it is there.

        Args:
            program: what it becomes.
            run: that it is for; when that has ended, it is not waited for.
        Raises:
            ClusterError: it did not come, it ended at once, or the run ended first.
        """
        deadline = time.monotonic() + FORK_S
        for _ in range(FORK_TRIES):
            child = self._ask(program)
            try:
                while time.monotonic() < deadline:
                    if run in self.ranks.ended:
                        raise ClusterError(ENDED_BEFORE)
                    if child.control.poll(FORK_LOOK_S):
                        child.meet()
                        return child
                    if stays_suspended(child.server_pid):
                        break
            except (EOFError, OSError):
                code = child.exit_code()
                if code:  # else its server has gone
                    raise ClusterError(f"{describe_exit(code)} before it had started") from None
            finally:
                if child.pidfd is None:
                    child.close()
        raise ClusterError(
            f"the fork server did not start a {program} within {FORK_S:.0f} s: {self._server_log()}"
        )

    def _ask(self, program: str) -> _Child:
        """Ask the server for a process; returns at once."""
        control, theirs = Pipe()
        exit_read, exit_write = os.pipe()
        try:
            with self.lock:
                server = self.connect()
                child = _Child(control, exit_read, peer_pid(server))
                with contextlib.suppress(ConnectionError):  # then it has gone, and nobody answers
                    socket.send_fds(server, [program.encode()], [theirs.fileno(), exit_write])
            return child
        finally:
            theirs.close()
            os.close(exit_write)

    def set_network_rate(self, bytes_per_s: int) -> str:
        """Let the ranks' own network on this host carry so much, 0 all again; why not, or empty.

        It never starts a server: a fresh one has a network that nobody has slowed down.
        """
        read, write = os.pipe()
        try:
            with self.lock:
                if self.connection is None:
                    raise ConnectionError("it is gone")
                socket.send_fds(self.connection, [f"rate {bytes_per_s}".encode()], [write])
        except OSError as error:
            os.close(read)
            return f"the fork server does not answer: {error}"
        finally:
            os.close(write)
        with open(read, "rb") as answer:
            ready, _, _ = select.select([answer], [], [], RATE_S)
            return answer.read().decode() if ready else "the fork server does not answer"

    def open_store(self, address: str = LOOPBACK) -> tuple[str, int]:
        """This worker's rendezvous store on an address of this host; starts one if there is none.

        Returns:
            The address and the port.
        """
        with self.lock:
            self.connect()  # a suspended server is replaced now, and its stores go with it
            if address in self.stores:
                child, port = self.stores[address]
                if not child.control.poll():  # readable means closed: its server has gone
                    return address, port
                child.close()
            child = self.fork("store")
            try:
                child.control.send(address)
                if not child.control.poll(STORE_S):
                    raise EOFError
                port = int(child.control.recv())
            except (EOFError, OSError):
                child.close()
                raise ClusterError(
                    f"the rendezvous store did not start on {address} within {STORE_S:.0f} s: "
                    f"{self._server_log()}"
                ) from None
            self.stores[address] = (child, port)
            return address, port

    def run_rank(self, job: RankJob, topic: str) -> RankEnd:
        """Fork a rank, forward its events, and wait for its end. Blocks the task's thread."""
        child = self.fork("rank", job.run)
        with self.lock:
            self.ranks.children[job.run] = child
        if job.run in self.ranks.ended:
            child.kill()
        try:
            child.control.send(job)
            return self._attend(child, job, topic)
        except (EOFError, OSError):
            code = child.exit_code()
            return RankEnd(
                rank=job.rank,
                status="died",
                error=describe_exit(code),
                output=self._output(job),
                at_s=time.time(),
            )
        finally:
            child.kill()
            child.exit_code()  # the process is gone when the task returns
            with self.lock:
                del self.ranks.children[job.run]
            child.close()
            (self.folder / "output" / f"{job.run}-{job.rank}.log").unlink(missing_ok=True)

    def _attend(self, child: _Child, job: RankJob, topic: str) -> RankEnd:
        """Handle a rank's messages until its last one."""
        looks = 0
        while True:
            if not child.control.poll(SILENT_S):
                looks = looks + 1 if is_suspended(child.pid) and not child.slowed else 0
                if looks == STOPPED_LOOKS:
                    since_s = time.time() - looks * SILENT_S
                    why = "its process is suspended by a signal"
                    stopped = {"type": "stopped", "why": why, "since_s": since_s}
                    self._log(topic, job, pickle.dumps([stopped]))
                continue
            kind, *rest = child.control.recv()
            looks = 0
            if kind == "started":
                self._log(topic, job, pickle.dumps([{"type": "started", "at_s": rest[0]}]))
            elif kind == "events":
                self._log(topic, job, rest[0])
            elif kind == "done":
                child.exit_code()
                return RankEnd(
                    rank=job.rank,
                    status="done",
                    result=rest[0],
                    output=self._output(job),
                    at_s=time.time(),
                )
            else:
                error, formatted, at_s = rest
                return RankEnd(
                    rank=job.rank,
                    status="error",
                    error=error,
                    traceback=formatted,
                    output=self._output(job),
                    at_s=at_s,
                )

    def _log(self, topic: str, job: RankJob, events: bytes) -> None:
        """Pass pickled events on to the client."""
        self.worker.log_event(topic, {"run": job.run, "rank": job.rank, "events": events})

    def _output(self, job: RankJob) -> str:
        """The tail of what a rank printed."""
        try:
            with open(self.folder / "output" / f"{job.run}-{job.rank}.log", "rb") as output:
                output.seek(0, os.SEEK_END)
                output.seek(max(0, output.tell() - OUTPUT_TAIL_BYTES))
                return output.read().decode(errors="replace")
        except FileNotFoundError:
            return ""


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


def describe_exit(code: str) -> str:
    """An exit code as a person would say it: ``-9`` becomes ``killed by SIGKILL``."""
    if code.startswith("-") and code[1:].isdigit():
        return f"killed by {signal.Signals(int(code[1:])).name}"
    if code.isdigit():
        return f"exited with code {code}"
    return code or "its process is gone"


def _is_open(connection: socket.socket) -> bool:
    """Whether the peer is still there; it never sends, so readable means closed."""
    ready, _, _ = select.select([connection], [], [], 0)
    return not ready
