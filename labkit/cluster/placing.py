"""The client's side of a reservation: ask until the workers are there, or it took too long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from labkit.cluster.addresses import DECLARE
from labkit.cluster.ask_scheduler import PATIENT_S, ask_scheduler
from labkit.cluster.place_in_line import Request
from labkit.cluster.rank_placement import host_of, split_replicas
from labkit.errors import BusyError, ClusterError, RunStopped

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

RESERVE_S = 3.0  # of a run that does not queue
BEHIND_TASKS_S = 30.0  # the same where only tasks of preprocessing are in its way
ASK_EVERY_S = 0.05
ASK_SELDOM_S = 0.25  # once it has waited for a second

logger = logging.getLogger(__name__)


def make_request(
    cluster: Cluster, run: str, num_ranks: int, per_replica: int, *, first: bool
) -> Request:
    """What a run asks a cluster's scheduler for; see ``take_workers``."""
    return Request(
        run=run,
        client=cluster.client.id,
        num_ranks=num_ranks,
        per_replica=per_replica,
        across_hosts=bool(cluster.trusted_network),
        first=first,
    )


def take_workers(
    cluster: Cluster,
    run: str,
    num_ranks: int,
    *,
    per_replica: int = 1,
    queue_s: float = 0.0,
    first: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_position: Callable[[int], None] = lambda position: None,
) -> list[str]:
    """Wait in the line of a cluster's scheduler for a run's workers.

    Args:
        cluster: whose workers.
        run: identifier of the run, by which ``reservation.release`` gives them back.
        num_ranks: workers needed.
        per_replica: neighbouring ranks that belong on one host.
        queue_s: seconds that it may wait; up to ``RESERVE_S`` it always does.
        first: whether it goes before all others that wait.
        should_stop: asked between two questions.
        on_position: told its place in the line when that changes; 0 once it has its workers.
    Returns:
        Addresses by rank.
    Raises:
        BusyError: it did not get them in time.
        ClusterError: no host has so many workers, and no trusted network joins the hosts.
        NoAnswer: the scheduler is gone, or does not answer.
        RunStopped: ``should_stop`` said so.
    """
    from labkit.cluster.reservation import reserve

    client = cluster.client
    request = make_request(cluster, run, num_ranks, per_replica, first=first)
    started_s = time.monotonic()
    position = 0
    try:
        while True:
            answer = ask_scheduler(client, reserve, request, timeout_s=PATIENT_S)
            if answer.position != position:
                position = answer.position
                on_position(position)
            if answer.workers:
                _warn_of_split(answer.workers, per_replica)
                return list(answer.workers)
            waited_s = time.monotonic() - started_s
            if answer.needs_network and waited_s > RESERVE_S:
                raise ClusterError(f"{answer.why}; {DECLARE}")
            if should_stop():
                raise RunStopped(f"run {run} was stopped while it waited for {num_ranks} workers")
            if cluster.closed:
                raise ClusterError(f"the cluster was closed while run {run} waited for workers")
            patience_s = BEHIND_TASKS_S if answer.behind_tasks else RESERVE_S
            too_many = not queue_s and num_ranks > cluster.num_workers
            if waited_s > max(patience_s, queue_s) or too_many:
                waited = f" after {waited_s:.0f} s in the queue" if queue_s else ""
                raise BusyError(
                    f"{answer.why}{waited}; wait for the other work to end, or use fewer devices"
                )
            time.sleep(ASK_EVERY_S if waited_s < 1.0 else ASK_SELDOM_S)
    except BaseException:
        give_workers_back(cluster, run)
        raise


def give_workers_back(cluster: Cluster, run: str, following: Request | None = None) -> None:
    """Give back what a run holds, or its place in the line; see ``reservation.release``."""
    from labkit.cluster.reservation import release

    cluster.owed.tell(f"the end of run {run} on its workers", release, run, following)


def _warn_of_split(workers: Sequence[str], per_replica: int) -> None:
    """Say that ranks of one replica are on several hosts, if they are."""
    split = split_replicas([host_of(worker) for worker in workers], per_replica)
    if split:
        logger.warning(
            "replica %s has ranks on several hosts, because no host has %d workers: its "
            "activations cross the network many times a step; choose smaller pp and tp",
            " and ".join(map(str, split)),
            per_replica,
        )
