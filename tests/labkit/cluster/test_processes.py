"""The processes of a lab, each with what it is for."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labkit.cluster.cluster import Cluster
from labkit.cluster.processes import lab_processes
from labkit.cluster.rank_context import RankContext
from labkit.errors import ClusterError, RunStopped

SOON_S = 60.0


def until_stopped(context: RankContext) -> int:
    assert context.stop_flag.wait(SOON_S)
    return context.rank


def test_every_process_has_a_role_and_memory_and_ranks_have_their_workers(
    cluster4: Cluster,
) -> None:
    gang = cluster4.start_ranks(until_stopped, 2)
    try:
        pids: dict[int, int] = {}
        while len(pids) < 2:
            pids = gang.rank_pids()
        processes = lab_processes(cluster4, pids)
    finally:
        gang.stop()
        with contextlib.suppress(RunStopped):  # ended before it had heard of it
            gang.wait(SOON_S)
    count = Counter(process.role for process in processes)
    assert (count["client"], count["worker"], count["fork server"]) == (1, 4, 1)
    assert count["store"] >= 1
    ranks = [process for process in processes if process.role == "rank"]
    assert {process.number: process.pid for process in ranks} == pids
    (server,) = [process for process in processes if process.role == "fork server"]
    assert all(rank.parent == server.pid for rank in ranks)
    workers = [process.pid for process in processes if process.role == "worker"]
    assert len({rank.worker for rank in ranks} & set(workers)) == 2
    assert processes[0].pid == os.getpid()
    assert all(process.own_bytes > 0 for process in processes)


def test_processes_on_other_hosts_are_not_ours_to_see() -> None:
    elsewhere = cast(Any, SimpleNamespace(kind="existing"))
    with pytest.raises(ClusterError, match="on its hosts"):
        lab_processes(elsewhere)
