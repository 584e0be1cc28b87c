"""What a worker does to its own rank, or to itself, when the user attacks a run.

Each runs on the worker's event loop through ``Cluster.call_workers``. A rank is reached through
the pidfd that its owner holds, so never a stranger that got the same pid.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from labkit.cluster.slowdown import start_slowdown

if TYPE_CHECKING:
    from distributed import Worker

    from labkit.cluster.rank_owner import RankOwner

ANSWER_S = 0.05  # for the answer to be on its way before the worker is gone

NO_RANK = "it has no process now: it has ended, or is being started"


def kill_own_rank(plugin: str, run: str, *, dask_worker: Worker) -> str:
    """SIGKILL the rank of a run; empty when done, else why not.

    It is not noted as ended, as ``end_rank`` does: what follows is what follows a real death.
    """
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    child = owner.ranks.children.get(run)
    if child is None or child.pidfd is None:
        return NO_RANK
    child.kill()
    return ""


def slow_own_rank(
    plugin: str, run: str, factor: float, seconds: float, *, dask_worker: Worker
) -> str:
    """Let the rank of a run have the processor for 1/factor of the time; why not, or empty."""
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    child = owner.ranks.children.get(run)
    if child is None or child.pidfd is None:
        return NO_RANK
    if child.slowed:
        return "it is slowed already"
    start_slowdown(child, factor, seconds)
    return ""


async def slow_own_network(
    plugin: str, bytes_per_s: int, seconds: float, *, dask_worker: Worker
) -> str:
    """Let the private network of this host's ranks carry so much for a while; why not, or empty."""
    owner: RankOwner = dask_worker.plugins[plugin]  # type: ignore[assignment]
    return await asyncio.to_thread(owner.fork_client.set_network_rate, bytes_per_s, seconds)


def kill_self(*, dask_worker: Worker) -> str:
    """SIGKILL this worker's process, soon: the answer has to get out before."""
    loop = asyncio.get_running_loop()
    loop.call_later(ANSWER_S, os.kill, os.getpid(), signal.SIGKILL)
    return ""
