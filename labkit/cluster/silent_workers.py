"""Workers that have not been heard for a while: those that do not answer either are started anew.

A worker process that is stopped, or hangs, keeps its connections. Dask waits five minutes for it,
and all that time it has tasks and results that nobody else can have.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from distributed.metrics import time as dask_time
from distributed.scheduler import heartbeat_interval

if TYPE_CHECKING:
    from distributed import Client, Scheduler

ANSWER_S = 5.0  # an event loop answers in milliseconds unless it is stuck
RESTART_S = 10.0
UNHEARD_S = 3.0  # a worker of a run: it is heard twice a second, and its task only waits

logger = logging.getLogger(__name__)


def restart_silent(client: Client, workers: list[str]) -> list[str]:
    """Start those of some workers anew that do not answer; their addresses.

    Args:
        client: of their scheduler.
        workers: addresses of workers that have not been heard lately. They may be well: it is the
            scheduler that does not hear, while its process is stopped.
    """
    silent = [worker for worker in workers if not _answers(client, worker)]
    if silent:
        restart(client, silent)
    return silent


def find_silent(client: Client, workers: list[str], answer_s: float) -> list[str]:
    """Those of some workers that the scheduler has not heard lately, and that do not answer.

    Args:
        client: of their scheduler.
        workers: addresses.
        answer_s: how long one may take to answer.
    """
    unheard = client.run_on_scheduler(list_unheard, workers)
    return [worker for worker in unheard if not _answers(client, worker, answer_s)]


def list_unheard(workers: Iterable[str], *, dask_scheduler: Scheduler) -> list[str]:
    """Those of some workers that this scheduler has not heard for ``UNHEARD_S``."""
    # Where there are hundreds, each is heard every few seconds.
    since_s = dask_time() - max(UNHEARD_S, 3 * heartbeat_interval(len(dask_scheduler.workers)))
    known = (dask_scheduler.workers.get(address) for address in workers)
    return [each.address for each in known if each is not None and each.last_seen < since_s]


def restart(client: Client, workers: list[str]) -> None:
    """Have the nannies of workers that do not answer start them anew."""
    logger.warning("workers %s do not answer and are started anew", workers)
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        client.restart_workers(workers, timeout=RESTART_S, raise_for_error=False)


def _answers(client: Client, worker: str, answer_s: float = ANSWER_S) -> bool:
    """Whether a worker answers in time; asked alone, since one that does not holds up the rest."""
    ask = {"workers": [worker], "on_error": "ignore", "callback_timeout": answer_s}
    try:
        return bool(client.sync(client._run, os.getpid, **ask))
    except (OSError, TimeoutError):
        return False
