"""Stop a run whose owner is there, but does not answer: its process is suspended, or stuck."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.cluster.workers import CALL_S
from labkit.runs.found import ask_scheduler

if TYPE_CHECKING:
    from distributed import Client

    from labkit.cluster.posted_run import FoundRun

GRACE_S = 2.0  # ranks that were told to stop and have not are ended then

logger = logging.getLogger(__name__)


def stop_without_owner(client: Client, found: FoundRun, over_s: float) -> None:
    """Have the ranks stop, and free their workers once they are gone; call it until they are.

    A run that waits is left alone: a place in the line that nobody asks for is soon void.

    Args:
        client: of the scheduler.
        found: the run, as it is now.
        over_s: seconds since the owner should have stopped it.
    """
    from labkit.cluster.rank_tasks import end_rank, rank_pid, tell_rank
    from labkit.cluster.reservation import release
    from labkit.cluster.run_board import conclude

    if not found.gang:
        return
    packet = (found.topic, found.gang)
    if over_s < GRACE_S:
        logger.warning("the owner of run %s does not answer; its ranks are told", found.run)
        _call(client, found, tell_rank, *packet, "stop")
    else:
        _call(client, found, end_rank, *packet)
    pids = _call(client, found, rank_pid, *packet)
    if pids and not any(pids.values()):
        ask_scheduler(client, release, found.gang)
        why = "its owner did not answer, so its ranks were stopped by another client"
        ask_scheduler(client, conclude, found.run, "stopped", why)


def _call(
    client: Client, found: FoundRun, function: Callable[..., Any], *args: Any
) -> dict[str, Any]:
    """Answers of the run's workers; none where one does not answer in time."""
    try:
        answers: dict[str, Any] = client.sync(
            client._run,
            function,
            *args,
            workers=list(found.workers),
            on_error="ignore",
            callback_timeout=CALL_S,
        )
    except (OSError, TimeoutError):
        return {}
    return answers
