"""Stop a run whose owner is there, but does not answer: its process is suspended, or stuck."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from labkit.cluster.ask_scheduler import ask_scheduler
from labkit.cluster.silent_workers import restart_silent
from labkit.cluster.workers import call_workers

if TYPE_CHECKING:
    from distributed import Client

    from labkit.cluster.posted_run import FoundRun

GRACE_S = 2.0  # ranks that were told to stop and have not are ended then

logger = logging.getLogger(__name__)


def stop_without_owner(client: Client, found: FoundRun, over_s: float) -> None:
    """Have the ranks stop, and free their workers once they are gone; call it until they are.

    A run that waits is left alone as long as it has its place in the line, which is soon void when
    nobody asks for it.

    Args:
        client: of the scheduler.
        found: the run, as it is now.
        over_s: seconds since the owner should have stopped it.
    Raises:
        ClusterError, OSError: the scheduler does not answer.
    """
    from labkit.cluster.rank_tasks import end_rank, rank_pid, tell_rank
    from labkit.cluster.reservation import release
    from labkit.cluster.run_board import conclude

    if not found.gang:
        if over_s >= GRACE_S and not found.position:
            why = "its owner did not answer, so another client took it off the list before it began"
            ask_scheduler(client, conclude, found.run, "stopped", why)
        return
    packet, workers = (found.topic, found.gang), list(found.workers)
    if over_s < GRACE_S:
        logger.warning("the owner of run %s does not answer; its ranks are told", found.run)
        call_workers(client, tell_rank, *packet, "stop", workers=workers)
    else:
        call_workers(client, end_rank, *packet, workers=workers)
    pids = call_workers(client, rank_pid, *packet, workers=workers)
    if not pids and over_s >= GRACE_S:
        restart_silent(client, workers)  # as soon as all answer, the next look goes on
        return
    # A rank that is still being forked has no process yet: it is kept from starting.
    if pids and not any(pids.values()) and call_workers(client, end_rank, *packet, workers=workers):
        ask_scheduler(client, release, found.gang)
        why = "its owner did not answer, so its ranks were stopped by another client"
        ask_scheduler(client, conclude, found.run, "stopped", why)
