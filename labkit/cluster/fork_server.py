"""One torch-preloaded process per host that forks a fresh process for every rank.

Importing torch takes seconds and 200 MB; a fork of a process that already did takes some
milliseconds and shares those pages. The server has one thread and never touches CUDA, so forking
it is safe. It serves the Dask workers of its host over a Unix socket in a folder that only this
user can enter.

A request is one datagram ``rank`` or ``store`` with two file descriptors: the child's control
connection, and a pipe on which the *server* reports the child's exit code. ``rate N`` with a pipe
for the answer lets a private network carry N bytes a second, ``rate 0`` all again, as does the end
of the worker that asked. ``bye`` announces a worker that leaves on purpose. The end of a worker's
connection ends the processes forked for it; when the last worker is gone the server exits, and
removes the folder if its owner is gone too, so nothing survives a notebook that was killed.

With ``--private-network`` it and its children get a network of their own, where the kernel allows
it: then nobody else on the host can reach the ports of the ranks and their store. The file
``network`` in the folder tells what came of it.

Usage: ``python -m labkit.cluster.fork_server [--private-network] FOLDER``
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from labkit.cluster import link_rate, private_network

SOCKET_NAME = "ranks.sock"
PID_FILE = "fork_server.pid"
OWNER_FILE = "owner.pid"  # written by the process that made the folder
NETWORK_FILE = "network"  # empty where ranks have a network of their own, else why they have none
PRIVATE_NETWORK = "--private-network"
HOST_NETWORK = "no network of their own was asked for"
LINGER_S = 3.0  # a worker that Dask restarts comes back within this time
FIRST_WORKER_S = 60.0
LOOK_S = 0.5  # a server without workers looks so often whether its cluster is still there

# Everything a rank would otherwise import after its fork, slowest first.
PRELOAD = (
    "torch",
    "torch._dynamo",
    "torch.distributed",
    "torch.distributed.device_mesh",
    "torch.distributed.tensor.parallel",
    "torch.nn.parallel",
    "labkit.cluster.rank_process",
    "labkit.cluster.rank_store",
    "labkit.train.rank",
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    """A connected Dask worker and the exit pipes of the processes forked for it, by pid."""

    connection: socket.socket
    exit_pipes: dict[int, int] = field(default_factory=dict)
    said_bye: bool = False
    slows_network: bool = False


class ForkServer:
    """State of the server: its socket, its workers and their processes."""

    def __init__(self, folder: Path, *, has_own_network: bool) -> None:
        self.folder = folder
        self.has_own_network = has_own_network
        self.workers: dict[int, _Worker] = {}  # by file descriptor
        self.listener = listen(folder)
        # SIGCHLD wakes the select: Python writes the signal's number to this pipe.
        self.wake_read, self.wake_write = os.pipe()
        for end in (self.wake_read, self.wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> None:
        """Fork on request until the last worker has left."""
        deadline = time.monotonic() + FIRST_WORKER_S
        while True:
            watched = [self.listener.fileno(), self.wake_read, *self.workers]
            left_s = max(0.0, deadline - time.monotonic())
            timeout = None if self.workers else min(left_s, LOOK_S)
            ready, _, _ = select.select(watched, [], [], timeout)
            if not ready:
                if left_s > LOOK_S and self.folder.exists():
                    continue
                return  # nobody came, or the cluster was closed before its worker did
            if self.wake_read in ready:
                self._reap()
            if self.listener.fileno() in ready:
                connection, _ = self.listener.accept()
                self.workers[connection.fileno()] = _Worker(connection)
            for descriptor in [d for d in ready if d in self.workers]:
                worker = self.workers[descriptor]
                if not self._answer(worker):
                    self._forget(worker)
                    deadline = time.monotonic() + (0.0 if worker.said_bye else LINGER_S)

    def _answer(self, worker: _Worker) -> bool:
        """Handle one request; False when the worker has gone."""
        try:
            request, descriptors, _, _ = socket.recv_fds(worker.connection, 64, 2)
        except ConnectionError:
            return False
        if not request:
            return False
        if request == b"bye":
            worker.said_bye = True
            return True
        if request.startswith(b"rate "):
            self._set_rate(worker, int(request.split()[1]), descriptors[0])
            return True
        control, exit_pipe = descriptors
        try:
            pid = os.fork()
        except OSError as error:
            os.write(exit_pipe, f"fork failed: {error}".encode())
            os.close(exit_pipe)
            os.close(control)
            return True
        if pid == 0:
            self._become(request.decode(), control, exit_pipe)
        os.close(control)
        worker.exit_pipes[pid] = exit_pipe
        return True

    def _set_rate(self, worker: _Worker, bytes_per_s: int, answer: int) -> None:
        """Slow the private network down; answer with why not, or with nothing."""
        said = ""
        try:
            if not self.has_own_network:
                raise PermissionError("the ranks use this host's own loopback")
            link_rate.set_rate(bytes_per_s)
            worker.slows_network = bytes_per_s > 0
        except OSError as error:
            said = f"the loopback of the ranks cannot be slowed down: {error}"
        with contextlib.suppress(BrokenPipeError):
            os.write(answer, said.encode())
        os.close(answer)

    def _become(self, program: str, control: int, exit_pipe: int) -> None:
        """In the child: drop what belongs to the server, then run the program; never returns."""
        from labkit.cluster import rank_process, rank_store

        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(exit_pipe)
            os.close(self.wake_read)
            os.close(self.wake_write)
            self.listener.close()
            for worker in self.workers.values():
                worker.connection.close()
                for other in worker.exit_pipes.values():
                    os.close(other)
            main = rank_process.main if program == "rank" else rank_store.main
            code = main(control, self.folder)
        except BaseException:
            logger.exception("a forked %s failed", program)
        finally:
            os._exit(code)

    def _reap(self) -> None:
        """Collect ended children and report their exit codes to whoever asked for them."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_read, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for worker in self.workers.values():
                exit_pipe = worker.exit_pipes.pop(pid, None)
                if exit_pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        os.write(exit_pipe, str(os.waitstatus_to_exitcode(status)).encode())
                    os.close(exit_pipe)

    def _forget(self, worker: _Worker) -> None:
        """A worker has gone: end what was forked for it."""
        del self.workers[worker.connection.fileno()]
        worker.connection.close()
        if worker.slows_network:
            try:
                link_rate.set_rate(0)
            except OSError:
                logger.exception("the loopback of the ranks stays slow")
        for pid, exit_pipe in worker.exit_pipes.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.close(exit_pipe)


def listen(folder: Path) -> socket.socket:
    """A listening Unix socket in the folder; its path may be longer than the 107 bytes allowed.

    The socket is bound through ``/proc/self/fd``, so that a deep temporary folder works too.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    directory = os.open(folder, os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
    finally:
        os.close(directory)
    listener.listen(128)
    return listener


def connect(folder: Path) -> socket.socket:
    """Connect to the server of a folder.

    Raises:
        OSError: nothing listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(folder, os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection


def owner_lives(folder: Path) -> bool:
    """Whether the process that made the folder still runs, and so removes it itself.

    On the hosts of somebody else's cluster no owner is written down, and the server removes it.
    """
    owner = folder / OWNER_FILE
    try:
        process = psutil.Process(int(owner.read_text()))
        born_before = process.create_time() <= owner.stat().st_mtime
        return born_before and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False


@contextlib.contextmanager
def ending_with_owner(folder: Path) -> Iterator[None]:
    """End this process if its owner goes meanwhile, and remove the folder: imports take seconds.

    The thread that looks is gone afterwards, when processes are forked.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            if not owner_lives(folder):
                shutil.rmtree(folder, ignore_errors=True)
                os._exit(0)

    watching = threading.Thread(target=look, daemon=True)
    if (folder / OWNER_FILE).exists():
        watching.start()
    try:
        yield
    finally:
        over.set()
        if watching.ident is not None:
            watching.join()


def main(folder: Path, *, private: bool) -> None:
    """Listen, preload, serve, and leave nothing behind."""
    # First: the kernel wants a process of one thread for this.
    obstacle = private_network.enter() if private else HOST_NETWORK
    (folder / NETWORK_FILE).write_text(obstacle)
    server = ForkServer(folder, has_own_network=not obstacle)
    (folder / PID_FILE).write_text(str(os.getpid()))
    with ending_with_owner(folder):
        for module in PRELOAD:
            importlib.import_module(module)
    import torch

    torch.set_num_threads(1)
    # Objects alive now are never collected, so the collector does not touch the shared pages.
    gc.collect()
    gc.freeze()
    try:
        server.serve()
    finally:
        if not owner_lives(folder):
            shutil.rmtree(folder, ignore_errors=True)
    # Python would first take apart all that was imported, which takes a second or two.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[-1]), private=PRIVATE_NETWORK in sys.argv[1:-1])
