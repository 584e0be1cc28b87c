"""The part of the lab that lives in every Dask worker: it owns the rank processes of that worker.

A rank is a process of its own, so a collective that hangs can be killed without the worker, and
the next run starts from a clean process. The Dask task of a rank waits for it, which keeps other
tasks off the worker meanwhile, and returns how it ended instead of raising, so that Dask neither
retries it nor logs the user's code.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from distributed import Status, Worker, WorkerPlugin

from labkit.cluster.addresses import LOOPBACK
from labkit.cluster.fork_client import ForkClient
from labkit.cluster.forked_process import ForkedProcess, describe_exit
from labkit.cluster.rank_process import RankJob
from labkit.cluster.suspended import is_suspended
from labkit.errors import ClusterError

STORE_S = 10.0
OUTPUT_TAIL_BYTES = 8_192
SILENT_S = 0.75  # after so long without a message, the owner looks at its rank's process
STOPPED_LOOKS = 2  # a rank that is seen stopped so often in a row is reported


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
class _Ranks:
    """Ranks that run and programs that were delivered, by run; runs ended lately."""

    children: dict[str, ForkedProcess] = field(default_factory=dict)
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
        self.stores: dict[str, tuple[ForkedProcess, int]] = {}  # process and port, by address
        self.lock = threading.RLock()
        self.folder = Path(tempfile.gettempdir()) / self.folder_name
        self.fork_client = ForkClient(self.folder, private_network=self.private_network)
        await asyncio.to_thread(self.fork_client.connect)

    def teardown(self, worker: Worker) -> None:
        """End every process of this worker and say goodbye to the fork server."""
        if worker.nanny and worker.status == Status.closing:
            # A heartbeat that is on its way when the scheduler closes is no error.
            logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
        with self.lock:
            for child in self.ranks.children.values():
                child.kill()
            for store, _ in self.stores.values():
                store.close()
            self.stores.clear()
        self.fork_client.close()

    def open_store(self, address: str = LOOPBACK) -> tuple[str, int]:
        """This worker's rendezvous store on an address of this host; starts one if there is none.

        Returns:
            The address and the port.
        """
        with self.lock:
            self.fork_client.connect()  # a suspended server goes, and its stores with it
            if address in self.stores:
                child, port = self.stores[address]
                if not child.control.poll():  # readable means closed: its server has gone
                    return address, port
                del self.stores[address]
                child.close()
            child = self.fork_client.fork("store")
            try:
                child.control.send(address)
                if not child.control.poll(STORE_S):
                    raise EOFError
                port = int(child.control.recv())
            except (EOFError, OSError):
                child.close()
                raise ClusterError(
                    f"the rendezvous store did not start on {address} within {STORE_S:.0f} s: "
                    f"{self.fork_client.log_tail()}"
                ) from None
            self.stores[address] = (child, port)
            return address, port

    def run_rank(self, job: RankJob, topic: str) -> RankEnd:
        """Fork a rank, forward its events, and wait for its end. Blocks the task's thread."""
        child = self.fork_client.fork("rank", lambda: job.run not in self.ranks.ended)
        try:
            child.control.send(job)  # before anything that somebody wants to tell the rank
            with self.lock:
                self.ranks.children[job.run] = child
            if job.run in self.ranks.ended:
                child.kill()
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
                self.ranks.children.pop(job.run, None)
            child.close()
            (self.folder / "output" / f"{job.run}-{job.rank}.log").unlink(missing_ok=True)

    def _attend(self, child: ForkedProcess, job: RankJob, topic: str) -> RankEnd:
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
