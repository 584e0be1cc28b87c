"""How the ranks of a gang are ended, and its workers given back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labkit.cluster.ask_scheduler import CALL_S
from labkit.cluster.placing import give_workers_back, make_request
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from labkit.cluster.gang import Gang
    from labkit.cluster.place_in_line import Request

END_S = 5.0

logger = logging.getLogger(__name__)


def call_on_workers(
    gang: Gang, function: Callable[..., None], *args: Any, timeout_s: float = CALL_S
) -> bool:
    """Call a function on those of the gang's workers that are still there; if all answered."""
    alive = _alive_workers(gang)
    if not alive or gang.cluster.closed:
        return False
    packet = (gang.cluster.plugin_name, gang.run, *args)
    answers = gang.cluster.call_workers(function, *packet, workers=alive, timeout_s=timeout_s)
    return len(answers) == len(alive)


def end_ranks(gang: Gang) -> None:
    """End the processes of a gang; workers that do not answer are started anew."""
    from labkit.cluster.rank_tasks import end_rank

    call_on_workers(gang, end_rank)
    silent = [gang.progress.silent] if gang.progress.silent else []
    if silent:
        gang.cluster.restart_workers(silent)
    # The tasks return once the processes are gone; only then is a worker free again.
    deadline = time.monotonic() + END_S
    alive = _alive_workers(gang)
    stuck = []
    for future, worker in zip(gang.futures, gang.workers, strict=False):
        while worker in alive and not future.done() and time.monotonic() < deadline:
            time.sleep(0.01)
        if worker in alive and not future.done():
            stuck.append(worker)
    if stuck:
        gang.cluster.restart_workers(stuck)


def give_back(gang: Gang) -> None:
    """Forget the tasks of a gang and free its workers."""
    gang.cluster.dismiss(gang)
    client = gang.cluster.client
    if client.status == "running" and gang.futures:
        # Forget them at once, or Dask would run a lost rank again on another worker.
        client.cancel(gang.futures, force=True)
    give_workers_back(gang.cluster, gang.run, _following(gang))
    gang.futures = []


def _alive_workers(gang: Gang) -> list[str]:
    """The gang's workers that are there, and answer; all, where the scheduler does not say."""
    try:
        there = gang.cluster.alive_workers()
    except ClusterError as error:
        logger.warning("run %s: %s", gang.run, error)
        return gang.workers
    return [w for w in gang.workers if w in there and w != gang.progress.silent]


def _following(gang: Gang) -> Request | None:
    """What the next attempt at the run will ask for, if there is to be one."""
    failure, supervision = gang.progress.failure, gang.supervision
    if supervision is None or failure is None or gang.progress.stopping:
        return None
    if not (supervision.recoverable and failure.is_recoverable):
        return None
    name = replace(supervision, attempt=supervision.attempt + 1).gang
    return make_request(gang.cluster, name, gang.num_ranks, gang.per_replica, first=True)
