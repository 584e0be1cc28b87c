"""Workers that have not been heard for a while: those that do not answer either are started anew.

A worker process that is stopped, or hangs, keeps its connections. Dask waits five minutes for it,
and all that time it has tasks and results that nobody else can have.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

ANSWER_S = 5.0  # an event loop answers in milliseconds unless it is stuck
RESTART_S = 10.0

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


def restart(client: Client, workers: list[str]) -> None:
    """Have the nannies of workers that do not answer start them anew."""
    logger.warning("workers %s do not answer and are started anew", workers)
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        client.restart_workers(workers, timeout=RESTART_S, raise_for_error=False)


def _answers(client: Client, worker: str) -> bool:
    """Whether a worker answers in time; asked alone, since one that does not holds up the rest."""
    ask = {"workers": [worker], "on_error": "ignore", "callback_timeout": ANSWER_S}
    try:
        return bool(client.sync(client._run, os.getpid, **ask))
    except (OSError, TimeoutError):
        return False
