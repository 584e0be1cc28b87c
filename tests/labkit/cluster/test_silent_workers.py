"""A worker whose process is stopped: its tasks are done by others; one that is well stays."""

from __future__ import annotations

import ctypes
import operator
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import psutil
import pytest
from distributed import Client, LocalCluster

from labkit.cluster import reservation, silent_workers
from labkit.cluster.ask_scheduler import worker_addresses
from labkit.cluster.cluster import Cluster
from labkit.cluster.silent_workers import find_silent, list_unheard, restart, restart_silent
from labkit.errors import ClusterError
from labkit.preprocess.tasks import OnCluster

SOON_S = 60.0
HELD_S = 3.0


def double(number: int) -> int:
    time.sleep(0.02)
    return 2 * number


def hold_the_interpreter(seconds: int) -> int:
    """Let no other thread of this process run, its event loop neither."""
    ctypes.PyDLL(None).sleep(seconds)
    return os.getpid()


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


def test_a_worker_that_cannot_answer_while_it_computes_is_left_alone(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservation, "SILENT_S", 0.5)
    monkeypatch.setattr(silent_workers, "ANSWER_S", 0.5)
    pids = {worker["pid"] for worker in own_cluster.workers}
    assert OnCluster(own_cluster.client).call(hold_the_interpreter, round(HELD_S)) in pids
    assert set(own_cluster.call_workers(os.getpid, timeout_s=SOON_S).values()) == pids


def test_a_worker_that_is_stuck_for_long_is_started_anew(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_workers, "ANSWER_S", 0.5)
    monkeypatch.setattr(silent_workers, "STUCK_S", 2.0)
    (address,) = [w["address"] for w in own_cluster.workers if w["name"] == 1]
    task = own_cluster.client.submit(hold_the_interpreter, 1000, workers=[address])
    deadline = time.monotonic() + SOON_S
    while restart_silent(own_cluster.client, [address]) != [address]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    task.release()
    own_cluster.client.wait_for_workers(2, timeout=SOON_S)


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


def test_a_worker_without_a_nanny_is_left_as_it_is(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"processes": False, "dashboard_address": None, "protocol": "tcp"}
    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", **settings) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        (address,) = cluster.scheduler.workers
        restart(client, [address])
        assert "have no nanny and are left as they are" in caplog.text
        assert list(cluster.scheduler.workers) == [address]
        assert client.submit(operator.neg, 7).result(SOON_S) == -7


def test_a_scheduler_that_is_stopped_is_not_waited_for(
    foreign_dask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_workers, "ANSWER_S", 0.5)
    monkeypatch.setattr(silent_workers, "RESTART_S", 0.5)
    with (
        foreign_dask(tmp_path, 1) as (scheduler, address),
        Client(address, set_as_default=False) as client,
    ):
        (worker,) = client.scheduler_info(n_workers=-1)["workers"]
        process = psutil.Process(scheduler.pid)
        process.suspend()
        try:
            begun_s = time.monotonic()
            with pytest.raises(ClusterError, match="the scheduler did not answer"):
                find_silent(client, [worker], 0.5)
            restart(client, [worker])
            assert restart_silent(client, [worker]) == []
            assert time.monotonic() - begun_s < SOON_S
        finally:
            process.resume()
        assert find_silent(client, [worker], SOON_S) is None, "it is heard again, and answers"


def test_a_worker_whose_nanny_is_stopped_too_is_taken_off_the_scheduler(
    foreign_dask: Any, suspend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_workers, "ANSWER_S", 0.5)
    with (
        foreign_dask(tmp_path) as (_, address),
        Client(address, set_as_default=False) as client,
    ):
        worker, pid = next(iter(client.run(os.getpid).items()))
        stopped = [psutil.Process(pid), psutil.Process(pid).parent()]
        for process in stopped:
            suspend(process)
        try:
            restart(client, [worker])
            assert worker not in worker_addresses(client)
        finally:
            for process in stopped:
                process.resume()
        assert (
            client.submit(operator.neg, 7).result(SOON_S) == -7
        )  # Dask ends it, or starts it anew


class FakeClient:
    """Of a scheduler that has not heard some workers, none of which answers."""

    _run_on_scheduler, _run = "scheduler", "worker"

    def __init__(self, *unheard: list[str]) -> None:
        self.unheard = list(unheard)
        self.asked: list[str] = []

    def sync(self, whom: str, *_: object, workers: Any = None, **settings: Any) -> list[str]:
        assert settings["callback_timeout"] == 3.0
        if whom == "scheduler":
            return self.unheard.pop(0)
        self.asked += workers
        raise TimeoutError


@pytest.mark.parametrize(("then", "found"), [(["a"], "a"), ([], None)], ids=["still", "heard"])
def test_only_the_first_that_does_not_answer_is_asked_and_the_scheduler_once_more(
    then: list[str], found: str | None
) -> None:
    client: Any = FakeClient(["a", "b", "c"], then)
    assert find_silent(client, ["a", "b", "c", "d"], 3.0) == found
    assert client.asked == ["a"]
    assert client.unheard == []


def test_a_worker_that_the_scheduler_does_not_know_any_more_is_not_unheard() -> None:
    long_ago_s, now_s = reservation.dask_time() - 10, reservation.dask_time()
    workers = {
        name: SimpleNamespace(address=name, last_seen=seen_s, processing=processing)
        for name, seen_s, processing in (
            ("a", long_ago_s, ["rank"]),
            ("b", now_s, ["rank"]),
            ("shared", long_ago_s, ["rank", "of somebody else"]),
        )
    }
    scheduler: Any = SimpleNamespace(workers=workers)
    assert list_unheard(["a", "b", "shared", "gone"], 3.0, dask_scheduler=scheduler) == ["a"]
    assert list_unheard(["a", "b", "gone"], 60.0, dask_scheduler=scheduler) == []
