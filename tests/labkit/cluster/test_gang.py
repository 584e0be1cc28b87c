"""Ranks: started together, watched, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

import labkit
from labkit.cluster.blame import first_failure
from labkit.cluster.clear_host import CLOSE_WORKERS_S
from labkit.cluster.cluster import CLOSE_S, Cluster
from labkit.cluster.forked_process import describe_exit
from labkit.cluster.gang import Gang
from labkit.cluster.rank_context import RankContext
from labkit.cluster.rank_owner import RankEnd
from labkit.errors import BusyError, ClusterError, RankFailed, RunStopped, SettingError

SOON_S = 5.0
REPLACED_S = 60.0  # until a new fork server or worker is there, on a busy machine


Suspend = Callable[[psutil.Process], None]


def add_ranks(context: RankContext, start: int) -> dict[str, Any]:
    import torch
    import torch.distributed as dist

    total = torch.tensor([float(start + context.rank)])
    dist.all_reduce(total)
    return {"sum": total.item(), "pid": os.getpid(), "threads": torch.get_num_threads()}


def all_reduce_for_ever(context: RankContext) -> None:
    import torch
    import torch.distributed as dist

    context.emit({"type": "pid", "pid": os.getpid()})
    while True:
        dist.all_reduce(torch.ones(8))


def hang_in_a_collective(context: RankContext) -> None:
    import torch
    import torch.distributed as dist

    context.emit({"type": "pid", "pid": os.getpid()})
    if context.rank != 0:
        threading.Event().wait()
    dist.all_reduce(torch.ones(8))


def raise_on_rank_one(context: RankContext) -> None:
    import torch
    import torch.distributed as dist

    if context.rank == 1:
        raise KeyError("colour")
    dist.all_reduce(torch.ones(8))


def start_with_pids(cluster: Cluster, function: Any, num_ranks: int) -> tuple[Gang, dict[int, int]]:
    """A gang whose ranks have all said their pid."""
    pids: dict[int, int] = {}
    all_there = threading.Event()

    def note(rank: int, event: dict[str, Any]) -> None:
        pids[rank] = event["pid"]
        if len(pids) == num_ranks:
            all_there.set()

    gang = cluster.start_ranks(function, num_ranks, on_event=note)
    assert all_there.wait(REPLACED_S)  # the first ranks of a cluster wait for torch
    return gang, pids


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
def test_ranks_run_in_processes_of_their_own_and_return_by_rank(
    cluster4: Cluster, num_ranks: int
) -> None:
    results = cluster4.run_ranks(add_ranks, num_ranks, 10)
    assert [r["sum"] for r in results] == [sum(10 + k for k in range(num_ranks))] * num_ranks
    assert len({r["pid"] for r in results}) == num_ranks
    assert {r["threads"] for r in results} == {1}
    assert not {r["pid"] for r in results} & {worker["pid"] for worker in cluster4.workers}


def test_a_function_that_only_the_notebook_knows_travels_by_value(cluster4: Cluster) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("offset = 5\ndef cell(context):\n    return context.rank + offset", namespace)
    assert cluster4.run_ranks(namespace["cell"], 2) == [5, 6]


def test_the_first_failing_rank_is_named_with_its_traceback(cluster4: Cluster) -> None:
    started = time.monotonic()
    with pytest.raises(RankFailed, match=r"rank 1 failed: KeyError: 'colour'") as failure:
        cluster4.run_ranks(raise_on_rank_one, 4)
    assert time.monotonic() - started < SOON_S
    assert failure.value.rank == 1
    assert "raise_on_rank_one" in failure.value.rank_traceback


def test_a_killed_rank_is_named_and_the_next_run_starts_normally(cluster4: Cluster) -> None:
    gang, pids = start_with_pids(cluster4, all_reduce_for_ever, 4)
    started = time.monotonic()
    os.kill(pids[2], signal.SIGKILL)
    with pytest.raises(RankFailed, match=r"rank 2 died: killed by SIGKILL") as failure:
        gang.wait(SOON_S)
    assert time.monotonic() - started < SOON_S
    assert failure.value.rank == 2
    assert gang.status == "failed"
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert [r["sum"] for r in cluster4.run_ranks(add_ranks, 4, 0)] == [6.0] * 4


def test_stop_ends_ranks_that_hang_in_a_collective_within_two_seconds(cluster4: Cluster) -> None:
    gang, pids = start_with_pids(cluster4, hang_in_a_collective, 4)
    started = time.monotonic()
    gang.stop()
    with pytest.raises(RunStopped, match="had to be ended"):
        gang.wait(SOON_S)
    assert time.monotonic() - started < 2.0
    assert gang.status == "stopped"
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert len(cluster4.run_ranks(add_ranks, 4, 0)) == 4


def test_ranks_that_heed_the_stop_keep_their_results(cluster4: Cluster) -> None:
    def until_stopped(context: RankContext) -> str:
        context.emit({"type": "pid", "pid": os.getpid()})
        assert context.stop_flag.wait(10)
        return "stopped in time"

    gang, _ = start_with_pids(cluster4, until_stopped, 2)
    gang.stop()
    assert gang.wait(SOON_S) == ["stopped in time"] * 2
    assert gang.status == "stopped"


def test_a_wait_that_runs_out_leaves_the_run_alive_and_run_ranks_ends_it(cluster4: Cluster) -> None:
    gang, pids = start_with_pids(cluster4, hang_in_a_collective, 2)
    with pytest.raises(TimeoutError, match="it goes on"):
        gang.wait(0.05)
    assert all(psutil.pid_exists(pid) for pid in pids.values())
    gang.stop()
    with pytest.raises(RunStopped):
        gang.wait(SOON_S)
    with pytest.raises(TimeoutError):
        cluster4.run_ranks(all_reduce_for_ever, 2, timeout_s=0.3)
    assert len(cluster4.run_ranks(add_ranks, 4, 0)) == 4


def test_events_arrive_in_order_and_in_full(cluster4: Cluster) -> None:
    received: dict[int, list[int]] = {0: [], 1: []}

    def count(context: RankContext) -> None:
        for number in range(400):
            context.emit({"type": "count", "number": number})

    gang = cluster4.start_ranks(
        count, 2, on_event=lambda rank, event: received[rank].append(event["number"])
    )
    gang.wait(SOON_S)
    assert received == {0: list(range(400)), 1: list(range(400))}


def test_what_a_rank_printed_is_kept(cluster4: Cluster) -> None:
    def speak(context: RankContext) -> None:
        print(f"rank {context.rank} was here")

    gang = cluster4.start_ranks(speak, 2)
    gang.wait(SOON_S)
    assert gang.output() == {0: "rank 0 was here\n", 1: "rank 1 was here\n"}


def test_a_gang_that_does_not_fit_beside_another_is_refused_whole(cluster4: Cluster) -> None:
    first, _ = start_with_pids(cluster4, hang_in_a_collective, 3)
    with pytest.raises(BusyError, match=r"2 ranks need 2 free workers, but 1 are free"):
        cluster4.run_ranks(add_ranks, 2, 0)
    assert cluster4.run_ranks(add_ranks, 1, 7)[0]["sum"] == 7
    first.stop()
    with pytest.raises(RunStopped):
        first.wait(SOON_S)
    assert len(cluster4.run_ranks(add_ranks, 4, 0)) == 4


@pytest.mark.parametrize("num_ranks", [0, 5])
def test_a_count_that_does_not_fit_the_workers_is_refused(
    cluster4: Cluster, num_ranks: int
) -> None:
    with pytest.raises(SettingError, match=rf"{num_ranks} ranks do not fit 4 workers"):
        cluster4.run_ranks(add_ranks, num_ranks, 0)


def test_a_lost_worker_ends_the_run_and_its_replacement_takes_the_next(
    own_cluster: Cluster,
) -> None:
    gang, pids = start_with_pids(own_cluster, all_reduce_for_ever, 2)
    os.kill(own_cluster.workers[1]["pid"], signal.SIGKILL)
    with pytest.raises(RankFailed, match=r"rank 1 died"):
        gang.wait(SOON_S)
    own_cluster.client.wait_for_workers(2, timeout=30)
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert [r["sum"] for r in own_cluster.run_ranks(add_ranks, 2, 0)] == [1.0, 1.0]


def test_a_killed_fork_server_is_replaced(own_cluster: Cluster) -> None:
    before = own_cluster.run_ranks(add_ranks, 2, 0)
    (server,) = own_cluster._fork_servers()
    server.kill()
    psutil.wait_procs([server], timeout=SOON_S)
    after = own_cluster.run_ranks(add_ranks, 2, 0)
    assert [r["sum"] for r in after] == [r["sum"] for r in before]
    assert own_cluster._fork_servers() != [server]


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until_gone(processes: list[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(map(lives, processes)):
        assert time.monotonic() < deadline, processes
        time.sleep(0.01)


def test_a_suspended_fork_server_is_replaced_when_the_next_ranks_are_started(
    own_cluster: Cluster, suspend: Suspend
) -> None:
    gang, pids = start_with_pids(own_cluster, all_reduce_for_ever, 1)
    (server,) = own_cluster._fork_servers()
    family = [server, *server.children()]
    suspend(server)
    assert psutil.pid_exists(pids[0])
    assert gang.status == "running"
    following = own_cluster.start_ranks(add_ranks, 1, (7,), queue_s=SOON_S)
    wait_until_gone(family, REPLACED_S)
    with pytest.raises(RankFailed, match="rank 0 died"):
        gang.wait(SOON_S)
    assert following.wait(REPLACED_S)[0]["sum"] == 7
    assert own_cluster._fork_servers() != [server]
    assert [r["sum"] for r in own_cluster.run_ranks(add_ranks, 2, 0)] == [1.0, 1.0]


def test_a_suspended_fork_server_takes_its_rendezvous_stores_along(
    own_cluster: Cluster, suspend: Suspend
) -> None:
    before = own_cluster.run_ranks(add_ranks, 2, 0)
    (server,) = own_cluster._fork_servers()
    family = [server, *server.children()]
    assert len(family) == 2, "with the store"
    suspend(server)
    assert [r["sum"] for r in own_cluster.run_ranks(add_ranks, 2, 0)] == [r["sum"] for r in before]
    assert not any(map(lives, family))


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_fork_server_that_fails_while_it_is_asked_is_replaced(
    own_cluster: Cluster, how: signal.Signals
) -> None:
    own_cluster.run_ranks(add_ranks, 1, 0)
    (server,) = own_cluster._fork_servers()
    gang = own_cluster.start_ranks(add_ranks, 1, (7,), on_placed=lambda _: server.send_signal(how))
    wait_until_gone([server], REPLACED_S)
    assert gang.wait(REPLACED_S)[0]["sum"] == 7


def test_a_cluster_whose_fork_server_is_suspended_is_closed_soon(suspend: Suspend) -> None:
    with labkit.launch(1, device="cpu") as cluster:
        cluster.run_ranks(add_ranks, 1, 0)
        (server,) = cluster._fork_servers()
        suspend(server)
        started_s = time.monotonic()
    assert not lives(server)
    assert time.monotonic() - started_s < CLOSE_WORKERS_S + CLOSE_S


def test_a_stopped_worker_fails_ranks_that_report_nothing(
    own_cluster: Cluster, suspend: Suspend
) -> None:
    gang, pids = start_with_pids(own_cluster, hang_in_a_collective, 2)
    ranks = [psutil.Process(pid) for pid in pids.values()]
    worker = psutil.Process(own_cluster.workers[1]["pid"])
    suspend(worker)
    with pytest.raises(RankFailed, match=r"rank 1 hung: its worker .* does not answer"):
        gang.wait(REPLACED_S)
    assert not lives(worker)  # its nanny has another one in its place
    wait_until_gone(ranks, SOON_S)
    own_cluster.client.wait_for_workers(2, timeout=REPLACED_S)
    assert [r["sum"] for r in own_cluster.run_ranks(add_ranks, 2, 0)] == [1.0, 1.0]


def test_closing_the_cluster_ends_its_runs_and_refuses_new_ones(own_cluster: Cluster) -> None:
    gang, pids = start_with_pids(own_cluster, hang_in_a_collective, 2)
    own_cluster.close()
    with pytest.raises(ClusterError, match="the cluster was closed"):
        gang.wait(SOON_S)
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    with pytest.raises(ClusterError, match="launch a new one"):
        own_cluster.run_ranks(add_ranks, 1, 0)


def test_blame_goes_to_the_rank_that_died_not_to_those_that_lost_it() -> None:
    peer = RankEnd(rank=0, status="error", error="RuntimeError: gloo Connection closed", at_s=1.0)
    cause = RankEnd(rank=3, status="error", error="ValueError: nan", at_s=2.0)
    dead = RankEnd(rank=2, status="died", error="killed by SIGKILL", at_s=3.0)
    lost = RankEnd(rank=4, status="died", error="its worker was lost", at_s=4.0, worker_lost=True)
    aborted = RankEnd(rank=5, status="died", error="killed by SIGABRT", at_s=2.5)
    done = RankEnd(rank=1, status="done", at_s=0.5)
    assert first_failure([done]) is None
    for ends, rank, reason in (
        ([peer, cause], 3, "raised"),
        ([peer, cause, aborted], 3, "raised"),
        ([peer, cause, dead, lost], 2, "died"),
        ([peer, lost], 4, "worker_lost"),
        ([peer, aborted], 5, "died"),
        ([peer, done], 0, "peers_lost"),
    ):
        failure = first_failure(ends)
        assert failure is not None
        assert (failure.rank, failure.cause) == (rank, reason)
        assert failure.is_recoverable is (reason != "raised")
        assert failure.to_error().rank == rank


def test_exit_codes_are_said_in_words() -> None:
    assert describe_exit("-9") == "killed by SIGKILL"
    assert describe_exit("3") == "exited with code 3"
    assert describe_exit("") == "its process is gone"
    assert describe_exit("fork failed: no memory") == "fork failed: no memory"


def test_lab_errors_are_what_users_catch() -> None:
    assert issubclass(RankFailed, labkit.LabError)
    assert issubclass(SettingError, ValueError)
