"""Runs and tasks that wait in the line of a real scheduler, of one client and of two."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.gang import Gang
from labkit.cluster.placing import take_workers
from labkit.cluster.rank_context import RankContext
from labkit.errors import BusyError, ClusterError, PlanError, RunStopped, SettingError
from labkit.preprocess.tasks import OnCluster

SOON_S = 60.0  # only reached when something is wrong


def until_stopped(context: RankContext) -> int:
    context.emit({"type": "here"})
    assert context.stop_flag.wait(SOON_S)
    return context.rank


def tell_when(context: RankContext) -> tuple[float, float]:
    """Wall clock at the start and the end of a rank that takes a moment."""
    started_s = time.time()
    time.sleep(0.05)
    return started_s, time.time()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def hold(cluster: Cluster, num_ranks: int) -> Gang:
    """A gang that keeps its workers until it is stopped."""
    gang = cluster.start_ranks(until_stopped, num_ranks)
    wait_until(lambda: gang.status == "running")
    return gang


def end(gang: Gang) -> None:
    """Stop a gang; on a busy machine its ranks may be ended before they have heard of it."""
    gang.stop()
    with contextlib.suppress(RunStopped):
        gang.wait(SOON_S)


def test_a_queued_gang_waits_for_its_turn_and_larger_ones_are_not_overtaken(
    cluster4: Cluster,
) -> None:
    first = hold(cluster4, 3)
    large = cluster4.start_ranks(tell_when, 4, queue_s=SOON_S)
    wait_until(lambda: large.position == 1)
    small = cluster4.start_ranks(tell_when, 1, queue_s=SOON_S)
    wait_until(lambda: small.position == 2)
    assert large.status == small.status == "starting"
    assert not large.workers, "it holds nothing while it waits"
    first.stop()
    (ended_s,) = {max(end for _, end in large.wait(SOON_S))}
    ((started_s, _),) = small.wait(SOON_S)
    assert started_s >= ended_s
    assert large.position == small.position == 0


def test_a_queued_gang_that_is_stopped_leaves_the_line(cluster4: Cluster) -> None:
    first = hold(cluster4, 3)
    queued = cluster4.start_ranks(tell_when, 4, queue_s=SOON_S)
    wait_until(lambda: queued.position == 1)
    queued.stop()
    with pytest.raises(RunStopped, match="was stopped while it waited for 4 workers"):
        queued.wait(SOON_S)
    assert queued.status == "stopped"
    assert len(cluster4.run_ranks(tell_when, 1)) == 1, "nobody is in the line any more"
    end(first)


def test_a_queued_gang_gives_up_when_its_time_is_over(cluster4: Cluster) -> None:
    first = hold(cluster4, 4)
    queued = cluster4.start_ranks(tell_when, 1, queue_s=3.2)
    with pytest.raises(BusyError, match=r"1 ranks need 1 free workers.* after 3 s in the queue"):
        queued.wait(SOON_S)
    assert queued.status == "failed"
    end(first)


def test_closing_the_cluster_ends_what_waits(own_cluster: Cluster) -> None:
    hold(own_cluster, 2)
    queued = own_cluster.start_ranks(tell_when, 1, queue_s=SOON_S)
    wait_until(lambda: queued.position == 1)
    own_cluster.close()
    with pytest.raises(ClusterError, match="the cluster was closed while run"):
        queued.wait(SOON_S)


def test_a_queued_run_says_its_place_and_learns_the_same_as_one_that_did_not_wait(
    cluster4: Cluster,
) -> None:
    plan = labkit.Plan(dp=2)
    losses = labkit.train("digits", plan, cluster4, steps=3, evaluate=False).losses
    first = hold(cluster4, 3)
    run = labkit.train("digits", plan, cluster4, steps=3, evaluate=False, queue_s=SOON_S)
    wait_until(lambda: run.view().queue_position == 1)
    assert run.view().status == "starting"
    assert run.view().run == run.run
    other = labkit.train("digits", plan, cluster4, steps=3, evaluate=False, queue_s=SOON_S)
    wait_until(lambda: other.view().queue_position == 2)
    other.stop()
    with pytest.raises(RunStopped):
        other.wait(SOON_S)
    assert other.view().status == "stopped"
    first.stop()
    record = run.wait(SOON_S)
    assert record.losses == losses
    assert record.queue_position == 0
    assert [device["rank"] for device in record.devices] == [0, 1]


def test_a_run_that_may_wait_can_ask_for_as_many_workers_as_there_ever_were(
    cluster4: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = cluster4.alive_workers()
    monkeypatch.setattr("labkit.cluster.cluster.worker_addresses", lambda client: there[:3])
    assert (cluster4.num_workers_within(0), cluster4.num_workers_within(SOON_S)) == (3, 4)
    for ranks, queue_s, available in ((4, 0, 3), (8, SOON_S, 4)):
        with pytest.raises(PlanError, match=f"= {ranks} but {available} devices are available"):
            labkit.train("digits", labkit.Plan(dp=ranks), cluster4, steps=1, queue_s=queue_s)
    with pytest.raises(SettingError, match="5 ranks do not fit 4 workers; choose 1 to 4"):
        cluster4.start_ranks(tell_when, 5, queue_s=SOON_S)


@pytest.mark.parametrize("queue_s", [-1, float("inf"), float("nan")])
def test_what_is_no_time_to_wait_is_refused(cluster4: Cluster, queue_s: float) -> None:
    with pytest.raises(SettingError, match=r"queue_s=.* is no time to wait; choose 0 to 604800"):
        labkit.train("digits", None, cluster4, steps=1, queue_s=queue_s)


@pytest.fixture
def foreign_scheduler(tmp_path: Path) -> Iterator[LocalCluster]:
    """Somebody else's cluster of two workers."""
    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        yield cluster


def test_two_notebooks_on_one_scheduler_never_block_each_other(
    foreign_scheduler: LocalCluster,
) -> None:
    """Ranks of different runs that held one worker each would wait for ever."""
    address = foreign_scheduler.scheduler_address
    with (
        labkit.launch(2, address=address) as one,
        labkit.launch(2, address=address) as other,
        ThreadPoolExecutor(6) as threads,
    ):
        spans = list(
            threads.map(
                lambda at: (one, other)[at % 2].run_ranks(tell_when, 2, queue_s=2 * SOON_S),
                range(6),
            )
        )
        held = hold(one, 2)
        with pytest.raises(BusyError, match=r"2 ranks need 2 free workers, but 0 are free"):
            take_workers(other, "impatient", 2)
        end(held)
    runs = sorted((min(s for s, _ in ranks), max(e for _, e in ranks)) for ranks in spans)
    assert all(ended <= started for (_, ended), (started, _) in pairwise(runs))


def slow_double(number: int, *, hurry: str = "") -> int:
    """A task that takes a moment, unless the file ``hurry`` is there."""
    if not Path(hurry or "/nowhere").exists():
        time.sleep(0.3)
    return 2 * number


def test_training_starts_while_preprocessing_goes_on_and_both_finish(
    cluster4: Cluster, tmp_path: Path
) -> None:
    """The tasks take 30 s of all workers; ranks wait only for the few that are before them."""
    executor = OnCluster(cluster4.client)
    hurry = tmp_path / "hurry"
    with ThreadPoolExecutor(1) as threads:
        work = threads.submit(executor.map, slow_double, range(400), hurry=str(hurry))
        wait_until(lambda: cluster4.client.run_on_scheduler(number_of_tasks) > 0)
        for num_ranks in (2, 4):
            cluster4.run_ranks(tell_when, num_ranks)
            assert not work.done(), "the tasks were not done yet"
        hurry.touch()
        assert work.result(SOON_S) == [2 * number for number in range(400)]


def number_of_tasks(dask_scheduler: Any) -> int:
    return sum(len(worker.processing) for worker in dask_scheduler.workers.values())


def test_preprocessing_that_finds_all_workers_held_has_its_turn_between_runs(
    cluster4: Cluster,
) -> None:
    first = hold(cluster4, 4)
    executor = OnCluster(cluster4.client)
    with ThreadPoolExecutor(1) as threads:
        work = threads.submit(executor.map, slow_double, range(8))
        wait_until(lambda: executor._share.kept_out)
        second = cluster4.start_ranks(until_stopped, 4, queue_s=SOON_S)
        wait_until(lambda: second.position == 2)
        first.stop()
        assert work.result(SOON_S) == [2 * number for number in range(8)]
        assert second.status != "done"
        wait_until(lambda: second.status == "running")
        end(second)


def test_a_task_that_met_a_run_on_its_worker_is_done_by_another(cluster4: Cluster) -> None:
    executor = OnCluster(cluster4.client)
    assert executor.map(slow_double, [1]) == [2]
    known = list(executor._share.workers)
    held = hold(cluster4, 1)
    executor._share.workers, executor._share.only = known, None  # before the run came
    executor._share._asked_s = time.monotonic()
    assert executor.map(slow_double, range(12)) == [2 * number for number in range(12)]
    assert held.status == "running"
    end(held)


def test_a_single_task_waits_its_turn_as_long_as_it_may_and_can_be_stopped(
    cluster4: Cluster,
) -> None:
    held = hold(cluster4, 4)
    with pytest.raises(ClusterError, match="nothing finished for"):
        OnCluster(cluster4.client, stall_s=0.3).call(slow_double, 1)
    stop = threading.Event()
    patient = OnCluster(cluster4.client, stall_s=0.3, queue_s=SOON_S, should_stop=stop.is_set)
    with ThreadPoolExecutor(1) as threads:
        work = threads.submit(patient.call, slow_double, 1)
        until_s = time.monotonic() + 1.0
        wait_until(lambda: time.monotonic() > until_s)
        assert not work.done(), "three times as long as the other"
        stop.set()
        with pytest.raises(RunStopped):
            work.result(SOON_S)
        served = OnCluster(cluster4.client, queue_s=SOON_S)
        work = threads.submit(served.call, slow_double, 1)
        wait_until(lambda: served._share.kept_out)
        end(held)
        assert work.result(SOON_S) == 2
