"""A worker whose process is stopped: its tasks are done by others; one that is well stays."""

from __future__ import annotations

import operator
import os
import time

import psutil
import pytest

from labkit.cluster import reservation
from labkit.cluster.cluster import Cluster
from labkit.cluster.silent_workers import restart_silent
from labkit.preprocess.tasks import OnCluster

SOON_S = 60.0


def double(number: int) -> int:
    time.sleep(0.02)
    return 2 * number


@pytest.fixture
def stopped(own_cluster: Cluster) -> psutil.Process:
    """The process of a worker that is stopped."""
    process = psutil.Process(own_cluster.workers[1]["pid"])
    process.suspend()
    return process


def test_tasks_of_a_stopped_worker_are_done_by_others(
    own_cluster: Cluster, stopped: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservation, "SILENT_S", 2.0)
    begun_s = time.monotonic()
    executor = OnCluster(
        own_cluster.client, should_stop=lambda: time.monotonic() > begun_s + SOON_S
    )
    executor.begin("doubling", 40)
    assert executor.map(double, range(40)) == [2 * number for number in range(40)]
    own_cluster.client.wait_for_workers(2, timeout=SOON_S)
    assert stopped.pid not in {worker["pid"] for worker in own_cluster.workers}
    assert not stopped.is_running()


def test_a_worker_that_answers_is_left_alone(own_cluster: Cluster) -> None:
    pids = {worker["pid"] for worker in own_cluster.workers}
    assert restart_silent(own_cluster.client, own_cluster.alive_workers()) == []
    assert set(own_cluster.call_workers(os.getpid).values()) == pids


def test_work_without_silent_workers_asks_nobody(
    cluster4: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*packet: object) -> None:
        raise AssertionError(f"asked {packet}")

    monkeypatch.setattr("labkit.cluster.silent_workers.restart_silent", ask)
    assert OnCluster(cluster4.client).map(operator.neg, range(8)) == [-n for n in range(8)]
