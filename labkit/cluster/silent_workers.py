"""Workers that have not been heard for a while: those that do not answer either are started anew.

A worker process that is stopped, or hangs, keeps its connections. Dask waits five minutes for it,
and all that time it has tasks and results that nobody else can have. No question here waits longer
than it says, as the scheduler may be stopped as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from labkit.cluster.ask_scheduler import ask_scheduler, worker_addresses
from labkit.cluster.suspended import stays_suspended
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Nanny, Scheduler

ANSWER_S = 5.0  # an event loop answers in milliseconds unless it is stuck
RESTART_S = 10.0
UNHEARD_S = 3.0  # a worker of a run: it is heard twice a second, and its task only waits
STUCK_S = 60.0  # one that computes: code that never lets other threads run keeps it from answering

logger = logging.getLogger(__name__)


def restart_silent(client: Client, workers: list[str]) -> list[str]:
    """Start the first of some workers anew whose process is suspended, or stuck for ``STUCK_S``.

    Args:
        client: of their scheduler.
        workers: addresses of workers that have tasks, and have not been heard lately. They may be
            well: busy, or it is the scheduler that did not hear, while its process was stopped.
    Returns:
        Its address; nothing where there is none. The others are found when this is asked again.
    """
    silent = next((worker for worker in workers if _is_suspended(client, worker)), None)
    with contextlib.suppress(ClusterError):
        silent = silent or find_silent(client, workers, ANSWER_S, STUCK_S)
    if silent is None:
        return []
    restart(client, [silent])
    return [silent]


def find_silent(
    client: Client, workers: list[str], answer_s: float, unheard_s: float = UNHEARD_S
) -> str | None:
    """The first of some workers that does not answer and that the scheduler does not hear.

    A scheduler that was stopped itself has heard nobody, until it has read what they sent
    meanwhile; so it is asked again about one that did not answer. One that it does not know any
    more is lost, which is no silence.

    Args:
        client: of their scheduler.
        workers: addresses.
        answer_s: how long a worker, and the scheduler, may take to answer.
        unheard_s: for how long the worker has not been heard.
    Raises:
        ClusterError: the scheduler is gone, or does not answer.
    """

    def unheard(of: list[str]) -> list[str]:
        return list(ask_scheduler(client, list_unheard, of, unheard_s, timeout_s=answer_s))

    for worker in unheard(workers):
        if not _answers(client, worker, answer_s):
            return worker if unheard([worker]) else None
    return None


def list_unheard(
    workers: Iterable[str], unheard_s: float, *, dask_scheduler: Scheduler
) -> list[str]:
    """Those of some workers that this scheduler knows, and has not heard for so long.

    One that also does a task of somebody else's may be unheard for ``STUCK_S`` seconds.
    """
    from distributed.metrics import time as dask_time
    from distributed.scheduler import heartbeat_interval

    # Where there are hundreds, each is heard every few seconds.
    least_s = max(unheard_s, 3 * heartbeat_interval(len(dask_scheduler.workers)))
    known = (dask_scheduler.workers.get(address) for address in workers)
    return [
        each.address
        for each in known
        if each is not None
        and dask_time() - each.last_seen
        > (least_s if len(each.processing) <= 1 else max(least_s, STUCK_S))
    ]


def restart(client: Client, workers: list[str]) -> None:
    """Have the nannies of workers that do not answer kill them, which start them anew.

    Dask (2026.7.1) would first wait for each to end by itself. Those whose nanny does not answer
    either are taken off the scheduler, which would give them work. Workers without a nanny are
    left as they are: they may be somebody else's, who would lose them. Returns when as many
    workers as before are there again, or it took too long.
    """
    logger.warning("workers %s do not answer and are started anew", workers)
    with contextlib.suppress(ClusterError):
        nursed = ask_scheduler(client, list_nursed, workers, timeout_s=ANSWER_S)
        if left := [worker for worker in workers if nursed.get(worker) is False]:
            logger.warning("workers %s have no nanny and are left as they are", left)
        ill = [worker for worker in workers if nursed.get(worker)]
        num_workers = len(worker_addresses(client))
        if lost := [worker for worker in ill if not _ask_nanny(client, worker, kill_worker)]:
            ask_scheduler(client, forget, lost, timeout_s=RESTART_S)
        deadline = time.monotonic() + RESTART_S
        while ill != lost and time.monotonic() < deadline:
            there = worker_addresses(client)
            if len(there) >= num_workers - len(lost) and not set(ill) & set(there):
                break
            time.sleep(0.05)


def list_nursed(workers: Iterable[str], *, dask_scheduler: Scheduler) -> dict[str, bool]:
    """Those of some workers that this scheduler knows, and whether each has a nanny."""
    known = (dask_scheduler.workers.get(address) for address in workers)
    return {each.address: bool(each.nanny) for each in known if each is not None}


async def forget(workers: Iterable[str], *, dask_scheduler: Scheduler) -> None:
    """Take workers off a scheduler, as if their connections had broken."""
    for worker in workers:
        stimulus = "labkit-silent-workers"
        await dask_scheduler.remove_worker(worker, stimulus_id=stimulus, expected=True)


def kill_worker(*, dask_worker: Nanny) -> None:
    """On a nanny: kill its worker, which it starts anew."""
    if dask_worker.pid is not None:
        os.kill(dask_worker.pid, signal.SIGKILL)


def _answers(client: Client, worker: str, answer_s: float) -> bool:
    """Whether a worker answers in time; asked alone, since one that does not holds up the rest."""
    ask = {"workers": [worker], "on_error": "ignore", "callback_timeout": answer_s}
    try:
        return bool(client.sync(client._run, os.getpid, **ask))
    except OSError:
        return False


def _is_suspended(client: Client, worker: str) -> bool:
    """Whether a worker's nanny says that its process is suspended."""
    return any(_ask_nanny(client, worker, _has_suspended).values())


def _ask_nanny(client: Client, worker: str, function: Callable[..., Any]) -> dict[str, Any]:
    """What a worker's nanny answers, by worker; nothing if it does not in time."""
    ask = {"workers": [worker], "nanny": True, "on_error": "ignore", "callback_timeout": ANSWER_S}
    try:
        answer: dict[str, Any] = client.sync(client._run, function, **ask)
    except (KeyError, OSError):  # KeyError: the scheduler has lost it
        return {}
    return answer


async def _has_suspended(*, dask_worker: Nanny) -> bool:
    """On a nanny, which Dask hands over by the name of a worker: whether its worker's process is.

    In a thread, since the nannies of a lab share the event loop of the notebook's process.
    """
    pid = dask_worker.pid
    return pid is not None and await asyncio.to_thread(stays_suspended, pid)
