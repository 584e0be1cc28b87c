"""Nannies of an own cluster: a killed worker is waited for, and one that was lost comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import dask
import psutil

from labkit.cluster.clear_host import close_owned
from labkit.cluster.cluster import Cluster

SOON_S = 60.0


def test_a_killed_worker_that_takes_longer_than_dask_gives_it_is_waited_for(
    own_cluster: Cluster,
) -> None:
    owned: Any = own_cluster._owned
    nanny = next(iter(owned.workers.values()))
    worker = psutil.Process(nanny.pid)
    worker.suspend()  # so that it cannot end by itself
    owned.sync(nanny.kill, timeout=0.001)
    assert not worker.is_running()
    own_cluster.client.wait_for_workers(2, timeout=SOON_S)


def test_a_worker_that_takes_long_to_come_back_is_not_given_up(own_cluster: Cluster) -> None:
    owned: Any = own_cluster._owned
    worker, deadline_s = own_cluster.workers[0], time.monotonic() + SOON_S
    with dask.config.set({"distributed.deploy.lost-worker-timeout": 0.01}):
        psutil.Process(worker["pid"]).kill()
        while worker["address"] in own_cluster.alive_workers():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        own_cluster.client.wait_for_workers(2, timeout=SOON_S)
    assert len(owned.workers) == 2


def test_workers_of_a_cluster_that_does_not_close_are_killed() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep) as worker, subprocess.Popen(sleep) as gone:
        gone.kill()
        gone.wait(SOON_S)

        def close(timeout: float) -> None:
            raise TimeoutError

        workers = dict(enumerate(SimpleNamespace(pid=pid) for pid in (None, gone.pid, worker.pid)))
        close_owned(SimpleNamespace(close=close, workers=workers))  # type: ignore[arg-type]
        assert worker.wait(SOON_S) < 0
