"""Runs that go on by themselves: what they run on is killed, stopped and hung while they train."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import labkit
from labkit.cluster import gang_start, placing
from labkit.cluster.cluster import Cluster
from labkit.cluster.gang import Gang
from labkit.cluster.gang_watch import GangWatch
from labkit.errors import ClusterError, RankFailed, RunStopped
from labkit.runs import recovery
from labkit.runs.record import RunRecord
from labkit.runs.run import Run
from labkit.workload import Workload

DEAD_S = 2.0  # within which a dead process is noticed
HUNG_S = 10.0
SOON_S = 120.0
STEPS = 40
EVERY = 8
PLAN = labkit.Plan(dp=2)

Suspend = Callable[[psutil.Process], None]

CELL = """
import os, time
import torch
from torch import nn

class Trap(nn.Module):
    # Takes its time, and does once what a file says, on the rank that it names.
    def forward(self, x):
        time.sleep(0.02)
        spring("loop", "raise")
        return x

def spring(*here):
    try:
        what, rank = open(TRAP).read().split()
    except FileNotFoundError:
        return
    if torch.distributed.is_initialized() and torch.distributed.get_rank() == int(rank):
        if what in here:
            os.unlink(TRAP)
            while what == "loop":
                pass
            while what == "build":
                time.sleep(0.1)
            raise KeyError("colour")

def build(input_shape, num_classes):
    spring("build")
    return nn.Sequential(nn.Linear(input_shape[0], 8), Trap(), nn.Linear(8, num_classes))
"""


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(left_behind_since: Callable[[], Callable[[], str]]) -> Iterator[None]:
    """As for every test, but once the cluster is closed: what replaces a lost part of it stays."""
    what_is_left = left_behind_since()
    yield
    assert not (left := what_is_left()), f"left behind: {left}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three workers, one more than most of the runs take."""
    with labkit.launch(3, device="cpu") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tells a rank what to do: ``loop 1``, ``raise 1`` or ``build 1``."""
    return tmp_path_factory.mktemp("trap") / "what"


@pytest.fixture(scope="module")
def workload(trap: Path) -> Workload:
    """A small model whose step takes at least 20 ms."""
    cell: dict[str, Any] = {"__name__": "__main__", "TRAP": str(trap)}
    exec(CELL, cell)
    return Workload.of(cell["build"], dataset="fruit", global_batch=48)


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, workload: Workload) -> list[float]:
    """Losses of the run that nothing happens to."""
    record = labkit.train(workload, PLAN, cluster, steps=STEPS, evaluate=False).wait(SOON_S)
    assert (record.restarts, record.recoveries) == (0, [])
    assert [leader["ended"] for leader in record.leaders] == ["run ended"]
    return record.losses


@pytest.fixture
def start(cluster: Cluster, workload: Workload) -> Callable[..., Run]:
    """Starts a run, and waits until it has its first checkpoint."""

    def start(plan: labkit.Plan = PLAN, on: Cluster = cluster, **settings: Any) -> Run:
        wanted = {"steps": STEPS, "evaluate": False, "checkpoint_every": EVERY} | settings
        on.client.wait_for_workers(plan.world_size, timeout=SOON_S)
        run = labkit.train(workload, plan, on, **wanted)
        wait_until(lambda: bool(run.view().checkpoints), run)
        return run

    return start


def wait_until(happened: Callable[[], bool], run: Run) -> None:
    """Wait for something that happens while a run is live."""
    deadline = time.monotonic() + SOON_S
    while not happened():
        assert time.monotonic() < deadline, run
        assert not run.done, run
        threading.Event().wait(0.005)


def worker_pid(run: Run, rank: int) -> int:
    """Process of the worker that has a rank."""
    return int(run.view().devices[rank]["pid"])


def leader_of(run: Run) -> int:
    """Who leads a live run."""
    wait_until(lambda: bool(run.view().leaders), run)
    return int(run.view().leaders[-1]["rank"])


def check_recovered(record: RunRecord, losses: list[float]) -> dict[str, Any]:
    """What every recovery must have: all steps once, the same losses, a history that fits."""
    assert record.status == "done"
    assert record.restarts == len(record.recoveries) == 1
    assert [step.step for step in record.steps] == list(range(len(losses)))
    assert record.losses == losses
    terms = [leader["term"] for leader in record.leaders]
    assert terms == sorted(set(terms)), "no term has two leaders"
    assert all(leader["ended"] for leader in record.leaders)
    (entry,) = record.recoveries
    assert entry["from_step"] >= EVERY, "from a checkpoint"
    assert entry["lost_steps"] >= 0
    assert entry["recovery_s"] > 0
    assert record.to_json()["recoveries"] == record.recoveries
    ends_s = [step.end_s for step in record.steps]
    assert ends_s == sorted(ends_s)
    return entry


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_a_killed_rank_is_replaced(
    start: Callable[..., Run], undisturbed: list[float], leads: bool
) -> None:
    run = start()
    leader = leader_of(run)
    victim = leader if leads else 1 - leader
    killed_s = time.time()
    os.kill(run.rank_pids()[victim], signal.SIGKILL)
    record = run.wait(SOON_S)
    entry = check_recovered(record, undisturbed)
    assert (entry["cause"], entry["rank"]) == ("died", victim)
    assert "SIGKILL" in entry["why"]
    assert (entry["decided_by"], entry["leader"]) == ("leader", 1 - victim if leads else leader)
    noticed_s = run._recovery._origin_s + entry["at_s"]
    assert noticed_s - killed_s < DEAD_S
    first = [each for each in record.leaders if each["attempt"] == 0]
    assert entry["term"] == first[-1]["term"] == (2 if leads else 1)
    if leads:
        assert [each["ended"] for each in first] == ["died", "attempt ended"]
        assert first[1]["election_s"] < DEAD_S


def test_a_stopped_rank_is_replaced(start: Callable[..., Run], undisturbed: list[float]) -> None:
    run = start()
    pids, stopped_s = run.rank_pids(), time.time()
    os.kill(pids[1], signal.SIGSTOP)
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert (entry["cause"], entry["rank"]) == ("stopped", 1)
    assert run._recovery._origin_s + entry["at_s"] - stopped_s < HUNG_S
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_a_rank_in_an_endless_loop_is_found_and_replaced(
    start: Callable[..., Run], undisturbed: list[float], trap: Path
) -> None:
    run = start()
    hung_s = time.time()
    trap.write_text("loop 1")
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert (entry["cause"], entry["rank"]) == ("hung", 1)
    assert "in spring" in entry["why"]
    assert run._recovery._origin_s + entry["at_s"] - hung_s < HUNG_S
    assert entry["leader"] == 0


@pytest.mark.parametrize("max_restarts", [0, 1])
def test_a_rank_that_never_ends_to_build_its_model_is_named(
    cluster: Cluster,
    workload: Workload,
    undisturbed: list[float],
    trap: Path,
    monkeypatch: pytest.MonkeyPatch,
    max_restarts: int,
) -> None:
    monkeypatch.setattr(gang_start, "COLLECTIVE_S", 8.0)
    trap.write_text("build 1")
    run = labkit.train(
        workload, PLAN, cluster, steps=STEPS, evaluate=False, max_restarts=max_restarts
    )
    if max_restarts:
        record = run.wait(SOON_S)
        assert record.losses == undisturbed
        (entry,) = record.recoveries
        assert (entry["cause"], entry["rank"]) == ("hung", 1)
        why = entry["why"]
    else:
        with pytest.raises(RankFailed, match="rank 1 hung") as failed:
            run.wait(SOON_S)
        why = str(failed.value)
    assert "rank 0 gave up waiting for it; " in why
    assert "in spring" in why


def test_a_rank_that_raises_fails_the_run_at_once(start: Callable[..., Run], trap: Path) -> None:
    run = start()
    trap.write_text("raise 1")
    with pytest.raises(RankFailed, match=r"rank 1 failed: KeyError: 'colour'"):
        run.wait(SOON_S)
    view = run.view()
    assert (view.status, view.restarts) == ("failed", 0)
    assert not trap.exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_worker_is_replaced(
    start: Callable[..., Run], undisturbed: list[float], rank: int
) -> None:
    run = start()
    killed_s = time.time()
    os.kill(worker_pid(run, rank), signal.SIGKILL)
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert (entry["cause"], entry["rank"]) == ("worker_lost", rank)
    # The rendezvous store goes with the worker of rank 0, and the ranks cannot elect without it.
    assert entry["decided_by"] == ("client" if rank == 0 else "leader")
    assert run._recovery._origin_s + entry["at_s"] - killed_s < DEAD_S


def test_a_result_that_is_lost_with_its_worker_is_made_again(
    start: Callable[..., Run], undisturbed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, lost = GangWatch._fetch, []

    def lose_first(watch: GangWatch, rank: int, future: Any) -> None:
        if not lost:
            lost.append(watch.gang.workers[rank])
            os.kill(worker_pid(run, rank), signal.SIGKILL)
            deadline = time.monotonic() + SOON_S
            while lost[0] in watch.gang.cluster.alive_workers():
                assert time.monotonic() < deadline
                threading.Event().wait(0.005)
        fetch(watch, rank, future)

    run = start()
    monkeypatch.setattr(GangWatch, "_fetch", lose_first)
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert entry["cause"] == "worker_lost"


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cluster, int], list[str]]:
    """Call it: the next run loses the worker of that rank once it has got it; says which."""

    def lose(cluster: Cluster, rank: int) -> list[str]:
        lost: list[str] = []
        reserve = gang_start._reserve

        def lose_one(gang: Gang) -> list[str]:
            workers = reserve(gang)
            if not lost:
                lost.append(workers[rank])
                (pid,) = cluster.client.run(os.getpid, workers=lost).values()
                os.kill(pid, signal.SIGKILL)
                deadline = time.monotonic() + SOON_S
                while lost[0] in cluster.alive_workers():
                    assert time.monotonic() < deadline
                    threading.Event().wait(0.005)
            return workers

        monkeypatch.setattr(gang_start, "_reserve", lose_one)
        return lost

    return lose


@pytest.mark.parametrize(("rank", "queue_s"), [(0, 0.0), (1, 0.0), (1, SOON_S)])
def test_ranks_whose_worker_is_lost_before_they_start_are_placed_again(
    cluster: Cluster,
    workload: Workload,
    lose: Callable[[Cluster, int], list[str]],
    undisturbed: list[float],
    rank: int,
    queue_s: float,
) -> None:
    cluster.client.wait_for_workers(3, timeout=SOON_S)
    lost = lose(cluster, rank)
    run = labkit.train(workload, PLAN, cluster, steps=STEPS, evaluate=False, queue_s=queue_s)
    record = run.wait(SOON_S)
    assert (record.status, record.restarts, record.recoveries) == ("done", 0, [])
    assert record.losses == undisturbed
    assert lost[0] not in [device["address"] for device in record.devices]
    assert [leader["attempt"] for leader in record.leaders] == [0]
    assert run.gang.run == f"{run.run}.1"


def test_placing_again_has_its_limits(
    cluster: Cluster,
    workload: Workload,
    lose: Callable[[Cluster, int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.client.wait_for_workers(3, timeout=SOON_S)
    short = {"steps": 1, "evaluate": False}
    lose(cluster, 0)
    with pytest.raises(ClusterError, match="was lost before its rank started"):
        labkit.train(workload, PLAN, cluster, **short, max_restarts=0)
    cluster.client.wait_for_workers(3, timeout=SOON_S)
    monkeypatch.setattr(recovery, "REPLACE_S", 0.1)  # no worker is replaced so soon
    monkeypatch.setattr(placing, "RESERVE_S", 0.0)
    lose(cluster, 2)
    with pytest.raises(ClusterError, match=r"lost before its rank started; .* could not go on: 3 "):
        labkit.train(workload, labkit.Plan(dp=3), cluster, **short).wait(SOON_S)
    cluster.client.wait_for_workers(3, timeout=SOON_S)
    tries: list[str] = []

    def always(gang: Gang, *_: object) -> None:
        tries.append(gang.run)
        raise gang_start.WorkerLost("worker 1 was lost before its rank started")

    monkeypatch.setattr(gang_start, "_call_prepare", always)
    run = labkit.train(workload, PLAN, cluster, **short)
    with pytest.raises(ClusterError, match="was lost before its rank started"):
        run.wait(SOON_S)
    assert tries == [run.run, *(f"{run.run}.{number}" for number in (1, 2, 3))]
    assert run.view().status == "failed"


def test_a_killed_fork_server_takes_all_ranks_and_the_run_goes_on(
    cluster: Cluster, start: Callable[..., Run], undisturbed: list[float]
) -> None:
    run = start()
    (server,) = cluster._fork_servers()
    server.kill()
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert (entry["cause"], entry["decided_by"]) == ("died", "client")
    assert cluster._fork_servers() != [server]


def test_a_suspended_fork_server_is_felt_only_once_ranks_are_started(
    cluster: Cluster, start: Callable[..., Run], undisturbed: list[float], suspend: Suspend
) -> None:
    run = start()
    (server,) = cluster._fork_servers()
    family = [server, *server.children()]
    suspend(server)
    seen = len(run.view().steps)
    wait_until(lambda: len(run.view().steps) > seen + 2, run)
    killed_s = time.time()
    os.kill(run.rank_pids()[1], signal.SIGKILL)
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert (entry["cause"], entry["rank"]) == ("died", 1)
    assert run._recovery._origin_s + entry["at_s"] - killed_s < HUNG_S
    assert cluster._fork_servers() != [server]
    for process in family:
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_run_ends_well_though_the_fork_server_is_suspended(
    cluster: Cluster, start: Callable[..., Run], undisturbed: list[float], suspend: Suspend
) -> None:
    run = start()
    (server,) = cluster._fork_servers()
    suspend(server)
    record = run.wait(SOON_S)
    assert (record.status, record.restarts, record.losses) == ("done", 0, undisturbed)
    again = start().wait(SOON_S)
    assert (again.status, again.restarts, again.losses) == ("done", 0, undisturbed)
    assert cluster._fork_servers() != [server]


def test_a_killed_rendezvous_store_is_replaced(
    cluster: Cluster, start: Callable[..., Run], undisturbed: list[float]
) -> None:
    run = start()
    (server,) = cluster._fork_servers()
    ranks = set(run.rank_pids().values())
    for child in server.children():
        if child.pid not in ranks:
            child.kill()
    entry = check_recovered(run.wait(SOON_S), undisturbed)
    assert (entry["cause"], entry["decided_by"]) == ("store_lost", "client")


def test_a_run_shrinks_to_the_replicas_that_are_left_of_ranks_that_die_at_once(
    start: Callable[..., Run], undisturbed: list[float]
) -> None:
    run = start(labkit.Plan(dp=3), on_failure="shrink")
    pids = run.rank_pids()
    for rank in (1, 2):
        os.kill(pids[rank], signal.SIGKILL)
    record = run.wait(SOON_S)
    assert record.status == "done"
    (entry,) = record.recoveries
    assert (entry["cause"], entry["decided_by"], entry["leader"]) == ("died", "leader", 0)
    assert entry["world_size"] == record.world_size == record.plan["dp"] == 1
    assert len(record.devices) == len(record.memory_bytes["formula"]) == 1
    assert record.losses == pytest.approx(undisturbed, rel=1e-5)


def test_a_plan_that_cannot_shrink_says_so(start: Callable[..., Run]) -> None:
    run = start(labkit.Plan(pp=2), on_failure="shrink")
    os.kill(run.rank_pids()[1], signal.SIGKILL)
    with pytest.raises(RankFailed, match=r"rank 1 died.*could not go on: .*1 of its 2 ranks") as e:
        run.wait(SOON_S)
    assert "choose on_failure='replace'" in str(e.value)
    assert "gone on" not in str(e.value)
    view = run.view()
    assert (view.status, view.restarts, view.recoveries) == ("failed", 0, [])
    assert len(view.steps) >= EVERY
    assert [leader["ended"] for leader in view.leaders if leader["rank"] == 0] == ["run ended"]


def test_after_the_last_restart_a_failure_is_the_runs(start: Callable[..., Run]) -> None:
    run = start(max_restarts=1, steps=100_000)
    assert run.restarts_left == 1
    first = run.rank_pids()
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: (run.view().recoveries or [{}])[-1].get("recovery_s") is not None, run)
    assert run.restarts_left == 0
    second = run.rank_pids()
    assert not set(first.values()) & set(second.values())
    os.kill(second[1], signal.SIGKILL)
    with pytest.raises(RankFailed, match=r"rank 1 died: killed by SIGKILL; .*1 restart"):
        run.wait(SOON_S)
    assert run.view().restarts == 1


def test_stop_ends_a_recovery_that_waits_for_a_worker_at_once(
    cluster: Cluster, workload: Workload, start: Callable[..., Run]
) -> None:
    run = start(labkit.Plan(dp=3), steps=100_000)
    os.kill(worker_pid(run, 2), signal.SIGKILL)
    wait_until(lambda: bool(run.view().recoveries), run)
    view = run.view()
    assert view.status == "running"
    assert [step.step for step in view.steps] == list(range(view.recoveries[0]["from_step"]))
    stopped_s = time.monotonic()
    run.stop()
    with pytest.raises(RunStopped):
        run.wait(SOON_S)
    assert time.monotonic() - stopped_s < DEAD_S
    assert run.view().status == "stopped"
    cluster.client.wait_for_workers(3, timeout=SOON_S)


def test_closing_the_cluster_ends_a_recovery(start: Callable[..., Run]) -> None:
    with labkit.launch(2, device="cpu") as cluster:
        run = start(on=cluster, steps=100_000)
        os.kill(worker_pid(run, 1), signal.SIGKILL)
        wait_until(lambda: bool(run.view().recoveries), run)
        cluster.close()
        with pytest.raises((ClusterError, RankFailed)):
            run.wait(HUNG_S)
    assert run.view().status == "failed"
