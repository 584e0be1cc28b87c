"""Tasks on the workers: in order, counted, stopped, and never waited for without end."""

from __future__ import annotations

import operator
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Event

import labkit
from labkit.cluster.cluster import Cluster
from labkit.errors import ClusterError, RunStopped, SettingError, SourceError
from labkit.preprocess import tasks
from labkit.preprocess.tasks import InThisProcess, OnCluster

WAIT_S = 30.0


def refuse(number: int) -> int:
    if number == 3:
        raise SourceError("source 3 is empty; give another")
    return number


def break_down(number: int) -> float:
    return 1 / (number - 3)


def wait_for(number: int, *, name: str) -> bool:
    return Event(name).wait(WAIT_S)


def die(number: int) -> None:
    os._exit(3)


def test_a_task_is_forgotten_once_its_result_is_here_or_it_has_failed(
    cluster4: Cluster,
    wait_until_forgotten: Callable[[Cluster], None],
    without_collector: None,
) -> None:
    executor = OnCluster(cluster4.client)
    executor.map(operator.neg, range(8))
    wait_until_forgotten(cluster4)
    executor.call(sum, [1])
    wait_until_forgotten(cluster4)
    for function, kind in ((refuse, SourceError), (break_down, ZeroDivisionError)):
        with pytest.raises(kind) as kept:
            executor.map(function, range(6))
        wait_until_forgotten(cluster4)
        assert kept.traceback, "the frames that held the futures are alive"


def test_results_keep_the_order_of_the_parts_here_and_on_the_workers(cluster4: Cluster) -> None:
    for executor in (InThisProcess(), OnCluster(cluster4.client)):
        executor.begin("adding", 40)
        assert executor.map(operator.add, range(20), range(20)) == [2 * n for n in range(20)]
        assert executor.call(sum, [1, 2]) == 3


def test_no_more_workers_than_wanted_are_used(cluster4: Cluster) -> None:
    def pids(num_workers: int | None) -> int:
        return len(set(OnCluster(cluster4.client, num_workers=num_workers).map(pid_of, range(40))))

    assert (pids(1), pids(2)) == (1, 2)
    assert pids(None) > 2


def pid_of(number: int) -> int:
    time.sleep(0.005)  # so that each of the workers has its turn
    return os.getpid()


def test_progress_counts_every_mapped_task(cluster4: Cluster) -> None:
    told: list[tuple[Any, ...]] = []
    report = {"so": "far"}
    executor = OnCluster(
        cluster4.client, report=report, on_progress=lambda *state: told.append(state)
    )
    executor.call(sum, [])
    assert told == []
    executor.begin("adding", 12)
    executor.map(operator.neg, range(12))
    assert told[0] == ("adding", 0, 12, report)
    assert told[-1] == ("adding", 12, 12, report)
    assert [state[1] for state in told] == sorted(state[1] for state in told)


def test_what_a_task_raises_is_raised_here(cluster4: Cluster) -> None:
    executor = OnCluster(cluster4.client)
    with pytest.raises(SourceError, match="source 3 is empty; give another"):
        executor.map(refuse, range(6))
    with pytest.raises(ZeroDivisionError):
        executor.map(break_down, range(6))


def test_stop_ends_the_waiting_though_tasks_still_run(
    cluster4: Cluster, wait_until_forgotten: Callable[[Cluster], None]
) -> None:
    name = "held by test_stop"
    executor = OnCluster(cluster4.client, should_stop=lambda: True)
    executor.begin("waiting", 4)
    started_s = time.monotonic()
    with pytest.raises(RunStopped, match="stopped in step waiting"):
        executor.map(wait_for, range(4), name=name)
    assert time.monotonic() - started_s < 2
    wait_until_forgotten(cluster4)
    Event(name, client=cluster4.client).set()
    assert OnCluster(cluster4.client).map(operator.neg, range(8)) == [-n for n in range(8)]


def test_a_cluster_where_nothing_finishes_is_given_up(cluster4: Cluster) -> None:
    name = "held by test_stall"
    executor = OnCluster(cluster4.client, stall_s=0.5)
    executor.begin("waiting", 4)
    with pytest.raises(ClusterError, match=r"nothing finished for \d s in step waiting; see that"):
        executor.map(wait_for, range(4), name=name)
    Event(name, client=cluster4.client).set()
    assert OnCluster(cluster4.client).call(sum, [1]) == 1


def test_paused_workers_are_named(cluster4: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = OnCluster(cluster4.client)
    monkeypatch.setattr(executor, "_paused_workers", lambda: ["tcp://127.0.0.1:1"])
    monkeypatch.setattr(tasks, "PAUSED_S", 0.3)
    name = "held by test_paused"
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:1 paused.*over 80 %"):
        executor.map(wait_for, range(4), name=name)
    Event(name, client=cluster4.client).set()
    assert OnCluster(cluster4.client)._paused_workers() == []


def die_once(number: int, *, folder: str) -> int:
    """End the worker at the first try, and answer at the second."""
    mark = Path(folder) / f"died-{number}"
    if number % 5 == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return -number


def test_tasks_of_a_worker_that_was_killed_are_done_again(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    executor = OnCluster(own_cluster.client)
    executor.begin("surviving", 12)
    found = executor.map(die_once, range(12), folder=str(tmp_path))
    assert found == [-number for number in range(12)]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_task_that_kills_every_worker_is_given_up(
    own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MAX_RETRIES", 1)
    executor = OnCluster(own_cluster.client)
    executor.begin("dying", 1)
    with pytest.raises(ClusterError, match="2 workers died one after the other on the same task"):
        executor.map(die, [0])


HELD: list[bytearray] = []


def fill_memory(number: int, *, up_to_bytes: int) -> int:
    """Hold memory that Dask does not know of, as a library's pool does."""
    HELD.append(bytearray(up_to_bytes - psutil.Process().memory_info().rss))
    HELD[-1][::4096] = b"x" * len(HELD[-1][::4096])
    return number


def test_workers_paused_for_want_of_memory_are_explained_within_ten_seconds() -> None:
    limit_bytes = 500_000_000
    with labkit.launch(1, device="cpu", memory_limit_bytes=limit_bytes) as cluster:
        executor = OnCluster(cluster.client)
        executor.begin("hoarding", 9)
        assert executor.map(fill_memory, [0], up_to_bytes=int(0.87 * limit_bytes)) == [0]
        while not executor._paused_workers():
            time.sleep(0.05)
        started_s = time.monotonic()
        with pytest.raises(ClusterError, match=r"paused, because over 80 % of the memory limit"):
            executor.map(operator.neg, range(8))
        assert time.monotonic() - started_s < 10


def test_less_memory_than_an_idle_worker_needs_is_refused() -> None:
    with pytest.raises(SettingError, match="memory_limit_bytes=1000 is less than an idle worker"):
        labkit.launch(1, device="cpu", memory_limit_bytes=1000)
