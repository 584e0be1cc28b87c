"""Where attacks happen: the lab's own cluster, one started by hand, a notebook's process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from distributed.comm.addressing import get_address_host_port

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_tasks import prepare
from labkit.cluster.security import CERTIFICATE_FILE, make_certificate
from labkit.train.link_probe import time_message

NUM_WORKERS = 4
SOON_S = 180.0  # starting takes so long where several campaigns share a machine
END_S = 20.0
REPLACE_EVERY_S = 0.5
KERNEL = Path(__file__).with_name("chaos_kernel.py")

Address = tuple[str, int]


def warm(cluster: Cluster) -> set[Address]:
    """Have the fork server and all rendezvous stores run, which stay until the cluster closes."""
    cluster.run_ranks(time_message, 2, [64], timeout_s=SOON_S)
    return open_stores(cluster)


def open_stores(cluster: Cluster) -> set[Address]:
    """Wait for all workers, and have each its store; where all of these and nannies listen.

    A worker that was started by hand also has a web page, which the lab's own do not.

    Raises:
        RuntimeError: a worker did not answer, or has no store.
    """
    packet = (prepare, cluster.plugin_name, "warm", b"", True)
    stores: set[Address] = set()
    deadline = time.monotonic() + SOON_S
    while len(stores) != NUM_WORKERS:  # one that was killed just now still counts as there
        cluster.client.wait_for_workers(NUM_WORKERS, timeout=SOON_S)
        answers = cluster.call_workers(*packet, timeout_s=SOON_S)
        stores = {tuple(store) for store, _ in answers.values() if store is not None}
        if len(stores) != NUM_WORKERS and time.monotonic() > deadline:
            whys = [why for _, why in answers.values() if why]
            raise RuntimeError(f"{len(stores)} of {NUM_WORKERS} workers have a store: {whys}")
    workers = cluster.client.scheduler_info(n_workers=-1)["workers"]
    dask = {*workers, *(worker["nanny"] for worker in workers.values())}
    pages = {(w["host"], w["services"]["dashboard"]) for w in workers.values() if w["services"]}
    return stores | pages | {get_address_host_port(address) for address in dask}


class OwnArena:
    """A cluster that the lab starts: scheduler and nannies are in this process.

    Attributes:
        addresses: where workers, nannies and stores listened when they were last all there.
    """

    def __init__(self) -> None:
        self.cluster = labkit.launch(NUM_WORKERS, device="cpu", timeout_s=SOON_S)
        try:
            self.addresses = warm(self.cluster)
        except BaseException:
            self.cluster.close()
            raise

    @property
    def roots(self) -> set[int]:
        return {os.getpid()}

    @property
    def names(self) -> set[str]:
        return {self.cluster.folder.name}

    def repair(self) -> None:
        """Wait for the workers that nannies start anew."""
        self.addresses = open_stores(self.cluster)

    def close(self) -> None:
        self.cluster.close()


class HandMadeArena:
    """A scheduler and workers with nannies as processes of their own, and the lab connected.

    A thread starts anew a worker whose nanny was killed, as a batch system would.

    Attributes:
        addresses: as of ``OwnArena``.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="by-hand-"))
        self.pem = self.folder / CERTIFICATE_FILE
        make_certificate(self.pem)
        self.file = self.folder / "scheduler.json"
        self.nannies: list[subprocess.Popen[bytes]] = []
        self._closing = threading.Event()
        self._replacing = threading.Thread(target=self._replace_ended, daemon=True)
        self.scheduler = self._start("dask_scheduler --host=tls://127.0.0.1 --port=0")
        try:
            self._await(lambda: self.file.exists() and self.file.read_text().endswith("}"))
            for _ in range(NUM_WORKERS):
                self._add_worker()
            address = json.loads(self.file.read_text())["address"]
            self.cluster = labkit.launch(
                NUM_WORKERS, address=address, security=self.pem, timeout_s=SOON_S
            )
            self.addresses = warm(self.cluster)
            self._replacing.start()
        except BaseException:
            self._end()
            raise

    @property
    def roots(self) -> set[int]:
        return {self.scheduler.pid, *(nanny.pid for nanny in self.nannies)}

    @property
    def names(self) -> set[str]:
        return {self.folder.name}

    def repair(self) -> None:
        """Wait for the workers that are started anew."""
        self._await(lambda: all(nanny.poll() is None for nanny in self.nannies))
        self.addresses = open_stores(self.cluster)

    def close(self) -> None:
        self._closing.set()
        self._replacing.join()
        self.cluster.close()
        self._end()

    def _replace_ended(self) -> None:
        while not self._closing.wait(REPLACE_EVERY_S):
            for nanny in [n for n in self.nannies if n.poll() is not None]:
                self._add_worker()
                self.nannies.remove(nanny)

    def _end(self) -> None:
        for process in (*self.nannies, self.scheduler):
            process.terminate()
        for process in (*self.nannies, self.scheduler):
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:  # a worker without a scheduler waits for one
                process.kill()
                process.wait(END_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add_worker(self) -> None:
        self.nannies.append(
            self._start("dask_worker --host=127.0.0.1 --nthreads=1 --memory-limit=1GB")
        )

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        tls = [f"--tls-{what}={self.pem}" for what in ("ca-file", "cert", "key")]
        common = (
            f"--scheduler-file={self.file} --no-dashboard --dashboard-address=127.0.0.1:0".split()
        )
        return subprocess.Popen(
            [sys.executable, "-m", *f"distributed.cli.{command}".split(), *common, *tls],
            env=os.environ | {"TMPDIR": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _await(self, happened: Any) -> None:
        deadline = time.monotonic() + SOON_S
        while not happened():
            if time.monotonic() > deadline or self.scheduler.poll() is not None:
                raise TimeoutError("the scheduler did not start, or a worker's nanny")
            time.sleep(0.05)


class Kernel:
    """A notebook's process with a lab of its own, which trains or preprocesses."""

    def __init__(self, what: str, plan: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(KERNEL), what, json.dumps(plan)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.handle = psutil.Process(self.process.pid)

    def line(self) -> str:
        """What it says next: ``ready``, then its result as JSON; empty if it ended or hangs."""
        assert self.process.stdout is not None
        timer = threading.Timer(SOON_S, self.process.kill)
        timer.start()
        try:
            return self.process.stdout.readline().strip()
        finally:
            timer.cancel()

    def close(self) -> None:
        """End it, however it is."""
        self.process.kill()
        self.process.wait(END_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
