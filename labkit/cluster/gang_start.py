"""How a gang gets its workers, and its ranks on to them."""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.cluster.placing import take_workers
from labkit.cluster.rank_placement import host_of, local_ranks
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from labkit.cluster.gang import Gang

COLLECTIVE_S = 120.0
PREPARE_S = 75.0  # a fork server that starts imports torch first


class WorkerLost(ClusterError):
    """A worker was lost between its reservation and the start of its rank."""


def place(gang: Gang) -> None:
    """Reserve workers, deliver the program, submit one pinned task per rank."""
    from labkit.cluster.rank_tasks import host_rank

    client, plugin = gang.cluster.client, gang.cluster.plugin_name
    gang.workers = _reserve(gang)
    first = gang.workers[0]
    with_store = gang.num_ranks > 1
    # Ranks on one host stay on loopback, whatever network joins the hosts.
    network = gang.cluster.trusted_network if len(set(map(host_of, gang.workers))) > 1 else ""
    packet = (plugin, gang.run, gang.program)
    answers = _call_prepare(gang, [first], *packet, with_store, network)
    store = answers[first][0]
    if with_store:
        _call_prepare(gang, gang.workers[1:], *packet, False, network)
    gang.placed_s = time.time() - gang.origin_s
    settings = {
        "run": gang.run,
        "world_size": gang.num_ranks,
        "store": store,
        "backend": gang.cluster.backend,
        "device": gang.cluster.rank_device,
        "sys_path": (*sys.path, str(Path.cwd())),
        "origin_s": gang.origin_s,
        "timeout_s": COLLECTIVE_S,
        "network": network,
        "supervision": gang.supervision,
    }
    if gang.cluster.closed:
        raise ClusterError(f"the cluster was closed while run {gang.run} was starting")
    if gang.on_placed is not None:
        gang.on_placed(gang)
    places = local_ranks(gang.workers)
    for rank, worker in enumerate(gang.workers):
        future = client.submit(
            host_rank,
            plugin,
            gang.cluster.topic,
            {**settings, "rank": rank, "local_rank": places[rank]},
            key=f"rank-{rank}-{gang.run}",
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        future.add_done_callback(lambda f, r=rank: gang.inbox.put(("ended", r, f)))
        gang.futures.append(future)


def _call_prepare(gang: Gang, workers: list[str], *args: Any) -> dict[str, Any]:
    """Have workers get ready for their ranks; what they answered.

    Raises:
        WorkerLost: one is gone.
        ClusterError: one did not answer, or could not.
    """
    from labkit.cluster.rank_tasks import prepare

    _check_there(workers, gang.cluster.alive_workers())  # to ask one that is gone takes 30 s
    asked_s = time.monotonic()
    answers = gang.cluster.call_workers(prepare, *args, workers=workers, timeout_s=PREPARE_S)
    if workers and not answers and time.monotonic() - asked_s >= PREPARE_S:
        raise ClusterError(f"workers {', '.join(workers)} did not answer within {PREPARE_S:.0f} s")
    _check_there(workers, answers)
    for _, why in answers.values():
        if why:
            raise ClusterError(why)
    return answers


def _check_there(workers: Iterable[str], there: Collection[str]) -> None:
    for worker in workers:
        if worker not in there:
            raise WorkerLost(f"worker {worker} was lost before its rank started")


def _reserve(gang: Gang) -> list[str]:
    def note(position: int) -> None:
        gang.position = position

    return take_workers(
        gang.cluster,
        gang.run,
        gang.num_ranks,
        per_replica=gang.per_replica,
        queue_s=gang.queue_s,
        first=gang.supervision is not None and gang.supervision.attempt > 0,
        should_stop=partial(_stop_asked, gang),
        on_position=note,
    )


def _stop_asked(gang: Gang) -> bool:
    """While it waits for workers: whether it was stopped; no other message concerns it yet."""
    with contextlib.suppress(queue.Empty):
        while (what := gang.inbox.get_nowait()[0]) not in ("stop", "close"):
            pass
        if what == "close":
            raise ClusterError(f"the cluster was closed while run {gang.run} waited for it")
        gang.progress.stopping = True
        return True
    return False
