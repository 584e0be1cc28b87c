"""What the client asks of a worker's rank owner.

``host_rank`` is a Dask task. The others run on the worker's event loop through ``client.run``,
which works while the worker's only thread waits for a rank.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any

from distributed import Worker, get_worker

from labkit.cluster.addresses import interface_for
from labkit.cluster.fork_client import without_worker_malloc
from labkit.cluster.load import own_gpu
from labkit.cluster.rank_owner import RankEnd, RankOwner
from labkit.cluster.rank_process import RankJob
from labkit.errors import ClusterError


async def prepare(
    plugin: str,
    run: str,
    program: bytes,
    with_store: bool,
    network: str = "",
    *,
    dask_worker: Worker,
) -> tuple[tuple[str, int] | None, str]:
    """Deliver a run's program to a worker; open the rendezvous store where asked.

    A fork server that could not start the rank, because it is suspended, is replaced now.

    Args:
        plugin: name of the rank owner.
        run: that the program belongs to.
        program: pickled function and arguments.
        with_store: whether this worker has the store.
        network: trusted network in which the store is reached; empty for loopback.
    Returns:
        The store's host and port or None, and what went wrong. It never raises, because Dask
        would log the whole program.
    """
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    try:
        interface = interface_for(network)
        address = None
        if with_store:
            address = await asyncio.to_thread(owner.open_store, interface.address)
        else:
            await asyncio.to_thread(owner.fork_client.connect)
    except (ClusterError, OSError) as error:
        return None, str(error)
    owner.ranks.programs[run] = program
    return address, ""


def tell_rank(plugin: str, run: str, command: Any, *, dask_worker: Worker) -> None:
    """Hand a command to the rank of a run, such as to stop at the next step."""
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    child = owner.ranks.children.get(run)
    if child is not None:
        with contextlib.suppress(OSError):
            child.control.send(command)


def rank_pid(plugin: str, run: str, *, dask_worker: Worker) -> int | None:
    """The process of the rank of a run; ``None`` where there is none yet, or none any more."""
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    child = owner.ranks.children.get(run)
    return child.pid or None if child is not None else None


def end_rank(plugin: str, run: str, *, dask_worker: Worker) -> None:
    """Kill the rank of a run, or keep it from starting."""
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    owner.ranks.programs.pop(run, None)
    owner.ranks.ended.append(run)
    child = owner.ranks.children.get(run)
    if child is not None:
        child.kill()


def host_rank(plugin: str, topic: str, settings: dict[str, Any]) -> RankEnd:
    """The Dask task of a rank: start it, wait for it, tell how it ended."""
    owner: RankOwner = get_worker().plugins[plugin]  # type: ignore[assignment]
    run, rank = settings["run"], settings["rank"]
    network = settings.get("network", "")
    settings = {name: value for name, value in settings.items() if name != "network"}
    try:
        program = owner.ranks.programs.pop(run, None)
        if program is None:
            return RankEnd(rank=rank, status="died", error="ended before it started")
        return owner.run_rank(
            RankJob(
                program=program,
                environment=rank_environment(network),
                gpu=own_gpu(),
                cores=tuple(os.sched_getaffinity(0)),
                **settings,
            ),
            topic,
        )
    except (ClusterError, OSError) as error:
        return RankEnd(rank=rank, status="died", error=str(error), at_s=time.time())


def rank_environment(network: str = "") -> dict[str, str]:
    """The worker's environment as its rank needs it.

    dask-cuda rotates ``CUDA_VISIBLE_DEVICES`` so that a worker's own GPU comes first: only that
    one stays, and is ``cuda:0``. gloo would listen where the host name resolves to, and NCCL on
    any interface but loopback; both are bound to this host's interface in the trusted network, or
    to loopback where none is given.
    """
    environment = without_worker_malloc(os.environ)
    environment.pop("LOCAL_RANK", None)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible:
        environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as NVML counts, see ``GpuWorkers``
    interface = interface_for(network).name
    environment["GLOO_SOCKET_IFNAME"] = interface
    environment["NCCL_SOCKET_IFNAME"] = interface
    environment["OMP_NUM_THREADS"] = "1"
    return environment
