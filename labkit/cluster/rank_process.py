"""What happens inside the process of one rank, from its fork to its exit."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from labkit.cluster import private_network
from labkit.cluster.blame import follows_another, waited_in_vain
from labkit.cluster.member import Member, StoreRegister
from labkit.cluster.position import tell_position
from labkit.cluster.rank_context import RankContext
from labkit.cluster.supervision import Supervision

FLUSH_S = 0.05
OUTLIVE_S = 5.0  # a rank that lost another one stays so long, for its leader to say what follows
MAX_EVENTS_A_FLUSH = 50
MAX_WAITING_EVENTS = 1_000  # older ones are dropped when the client cannot keep up
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RankJob:
    """Everything a fresh rank process needs; sent over its control connection.

    Attributes:
        program: pickled ``(function, args)``; the function gets a ``RankContext`` first.
        store: host and port of the gang's rendezvous; ``None`` for a single rank.
        environment: the Dask worker's environment, which names the worker's own GPU.
        sys_path: where the client imports from, so that modules beside a notebook are found.
        timeout_s: longest that one collective may take.
        gpu: index or UUID of the worker's GPU; empty on a CPU worker.
        cores: that the worker may use, as dask-cuda pins it to those near its GPU.
        local_rank: place among the gang's ranks on this host.
        supervision: of a run that may be started again; ``None`` for ranks that may not.
    """

    run: str
    rank: int
    world_size: int
    program: bytes
    store: tuple[str, int] | None
    backend: str
    device: str
    environment: dict[str, str]
    sys_path: tuple[str, ...]
    origin_s: float
    timeout_s: float
    gpu: str = ""
    cores: tuple[int, ...] = ()
    local_rank: int = 0
    supervision: Supervision | None = None


def detach_from_parent() -> None:
    """Own session and process group; die with the fork server; ignore the notebook's interrupt."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the signal was armed
        os._exit(1)
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def open_control(control: int) -> Connection:
    """The connection to the Dask worker, which is told this process first."""
    connection = Connection(control)
    try:
        connection.send(os.getpid())
    except OSError:
        os._exit(1)  # it has gone, or waits no more
    return connection


class _Link:
    """The control connection: batched events out, commands in."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sending = threading.RLock()
        self.waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING_EVENTS)
        self.news = threading.Event()
        self.stop_flag = threading.Event()
        self.context: RankContext | None = None
        self.member: Member | None = None

    def start(self) -> None:
        for target in (self._flush_forever, self._listen):
            threading.Thread(target=target, daemon=True, name=target.__name__).start()

    def send(self, *message: Any) -> None:
        """Send now; a worker that has gone ends this rank."""
        try:
            with self.sending:
                self.connection.send(message)
        except OSError:
            os._exit(1)

    def emit(self, event: dict[str, Any]) -> None:
        """Have an event sent soon; never blocks."""
        self.waiting.append(event)
        self.news.set()

    def emit_now(self, event: dict[str, Any]) -> None:
        """Send an event, and what waits before it."""
        self.emit(event)
        self.flush()

    def flush(self) -> None:
        """Send what waits. Taking and sending are one, so two threads keep the order."""
        with self.sending:
            while self.waiting:
                size = min(len(self.waiting), MAX_EVENTS_A_FLUSH)
                events = [self.waiting.popleft() for _ in range(size)]
                # Bytes, so that neither the worker nor the scheduler takes the events apart.
                self.send("events", pickle.dumps(events))

    def _flush_forever(self) -> None:
        while True:
            self.news.wait()
            time.sleep(FLUSH_S)  # so that what comes close together travels together
            self.news.clear()
            self.flush()

    def _listen(self) -> None:
        while True:
            try:
                command = self.connection.recv()
            except (EOFError, OSError):
                os._exit(1)  # the worker has gone, and this rank belongs to it
            if command == "stop":
                self.stop_flag.set()
            elif command == "where" and self.context is not None:
                self.emit(tell_position(self.context))
            elif command[0] == "slow_link" and self.context is not None:
                self.context.slow_link(*command[1:])
            elif command[0] == "lose" and self.member is not None:
                self.member.lose(command[1])


def main(control: int, folder: Path) -> int:
    """Receive a job, join the process group, run the program, report, exit.

    Args:
        control: file descriptor of the connection to the Dask worker.
        folder: folder of the cluster on this host; the rank's output goes to a file there.
    Returns:
        The exit code: 0 when the program returned, 1 when it raised.
    """
    detach_from_parent()
    connection = open_control(control)
    job: RankJob = connection.recv()
    output = folder / "output" / f"{job.run}-{job.rank}.log"
    output.parent.mkdir(exist_ok=True)
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    os.environ.clear()
    os.environ.update(job.environment)
    for entry in job.sys_path:
        if entry not in sys.path:
            sys.path.append(entry)
    link = _Link(connection)
    link.start()
    try:
        result = _run(job, link)
    except BaseException as error:
        failed_s, why, detail = time.time(), _describe(error), traceback.format_exc()
        if follows_another(why) and _outlives(job, link, why):
            link.emit({"type": "lost_peers", "why": why, "detail": detail})
            link.flush()
            time.sleep(OUTLIVE_S)  # the worker kills it once it is known how the run goes on
        link.flush()
        link.send("error", why, detail, failed_s)
        return 1
    sys.stdout.flush()
    link.flush()
    link.send("done", result)
    return 0


def _run(job: RankJob, link: _Link) -> bytes:
    """Join the gang and call the program; its pickled result."""
    import cloudpickle
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    if job.device.startswith("cuda"):
        torch.cuda.set_device(job.device)
        # float32 is float32 in convolutions too, so that losses are those of a CPU.
        torch.backends.cudnn.allow_tf32 = False
    context = RankContext(
        run=job.run,
        rank=job.rank,
        world_size=job.world_size,
        local_rank=job.local_rank,
        device=job.device,
        backend=job.backend,
        origin_s=job.origin_s,
        send=link.emit,
        gpu=job.gpu,
        stop_flag=link.stop_flag,
    )
    link.context = context
    timeout = timedelta(seconds=job.timeout_s)
    store: dist.Store = dist.HashStore()  # a single rank has nobody to meet
    if job.store is not None:
        store = dist.TCPStore(job.store[0], job.store[1], None, False, timeout=timeout)
    dist.init_process_group(
        # What lies in the host's memory, such as a declared time, travels beside NCCL by gloo.
        "cpu:gloo,cuda:nccl" if job.backend == "nccl" else job.backend,
        store=dist.PrefixStore(job.run, store),
        rank=job.rank,
        world_size=job.world_size,
        timeout=timeout,
    )
    connected = dist.PrefixStore(f"{job.run}-connected", store)
    if connected.add("ranks", 1) == job.world_size:
        connected.set("all", "")
    link.send("started", context.now())
    if job.supervision is not None and job.store is not None:
        link.member = Member(
            job.supervision,
            rank=job.rank,
            world_size=job.world_size,
            connect=partial(StoreRegister, job.store, job.supervision.run),
            emit=link.emit_now,
            now=context.now,
        )
        context.commit = link.member.commit
        link.member.start()
    function, args = pickle.loads(job.program)
    result: bytes = cloudpickle.dumps(function(context, *args))
    if link.member is not None:
        link.member.leave()
    connected.wait(["all"])  # one that leaves before would break the mesh of who still connects
    return result


def _outlives(job: RankJob, link: _Link, why: str) -> bool:
    """Whether this rank stays a while after the loss of another one.

    For what its leader decides; or to be asked for whom it waited in vain.
    """
    if link.member is None or job.supervision is None:
        return False
    return job.supervision.recoverable or waited_in_vain(why)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}{private_network.explain(error)}"
