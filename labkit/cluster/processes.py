"""The processes of a lab on this host: what each is for, who started it, what it costs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import psutil

from labkit.errors import ClusterError

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster


ROLES = ("client", "worker", "fork server", "store", "rank")


class LabProcess(NamedTuple):
    """One process.

    Attributes:
        role: one of ``ROLES``.
        number: of the worker or rank; 0 for the rest.
        pid: of it.
        parent: pid of the process that started it.
        own_bytes: memory that no other process shares with it.
        worker: pid of the worker that a rank belongs to; 0 for the rest.
    """

    role: str
    number: int
    pid: int
    parent: int
    own_bytes: int
    worker: int = 0


def lab_processes(cluster: Cluster, ranks: Mapping[int, int] | None = None) -> list[LabProcess]:
    """The processes of a cluster that was started here; the client's holds the scheduler as well.

    Args:
        cluster: from ``labkit.launch`` without an address.
        ranks: pid of each rank that runs, as ``Run.rank_pids()`` returns them.
    Raises:
        ClusterError: the cluster runs elsewhere.
    """
    if cluster.kind == "existing":
        raise ClusterError("the processes of an existing cluster are on its hosts; launch your own")
    numbers = {pid: rank for rank, pid in (ranks or {}).items()}
    workers = [worker["pid"] for worker in cluster.workers]
    found = [_described("client", 0, os.getpid())]
    found += [_described("worker", number, pid) for number, pid in enumerate(workers)]
    for server in cluster._fork_servers():
        found.append(_described("fork server", 0, server.pid))
        for child in server.children():
            if child.pid in numbers:
                rank = numbers[child.pid]
                worker = workers[rank] if rank < len(workers) else 0
                found.append(_described("rank", rank, child.pid)._replace(worker=worker))
            else:
                found.append(_described("store", 0, child.pid))
    there = [process for process in found if process.own_bytes]
    return sorted(there, key=lambda process: (ROLES.index(process.role), process.number))


def _described(role: str, number: int, pid: int) -> LabProcess:
    """With what the system tells; without memory where the process has just gone."""
    try:
        process = psutil.Process(pid)
        return LabProcess(role, number, pid, process.ppid(), process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return LabProcess(role, number, pid, 0, 0)
