"""Functions that a client runs on its scheduler's workers.

The functions run on the workers' event loops, which answer while their only thread waits for a
rank.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from labkit.cluster.ask_scheduler import CALL_S
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, SchedulerPlugin, Worker, WorkerPlugin

EVERY_S = 60.0  # for an answer of every worker, on busy machines too

logger = logging.getLogger(__name__)


class WorkersLate(ClusterError):
    """A worker did not answer in time: it is suspended, overloaded or cut off."""


def call_workers(
    client: Client,
    function: Callable[..., Any],
    *args: Any,
    workers: list[str] | None = None,
    timeout_s: float = CALL_S,
) -> dict[str, Any]:
    """Answers by worker of a function that runs on their event loops.

    A worker that does not answer within ``timeout_s`` seconds must not hold up the rest:
    then there are no answers, and a warning. ``client.run`` itself would wait for ever. One that is
    gone, or on which the function raised, is left out, and the log says why: where every answer
    counts, use ``ask_workers``.
    """
    try:
        answers: dict[str, Any] = client.sync(
            client._run,
            function,
            *args,
            workers=workers,
            on_error="return",
            callback_timeout=timeout_s,
        )
    except TimeoutError:
        logger.warning("workers did not answer %s in %.0f s", function.__name__, timeout_s)
        return {}
    errors = {each: answer for each, answer in answers.items() if isinstance(answer, Exception)}
    for worker, error in errors.items():
        level = logging.INFO if isinstance(error, OSError) else logging.WARNING  # INFO: it is gone
        logger.log(level, "worker %s could not do %s: %r", worker, function.__name__, error)
    return {worker: answer for worker, answer in answers.items() if worker not in errors}


def ask_workers(
    client: Client,
    function: Callable[..., Any],
    *args: Any,
    workers: list[str] | None = None,
    timeout_s: float = EVERY_S,
) -> dict[str, Any]:
    """Answers by worker of a function that runs on their event loops, where every one counts.

    Raises:
        WorkersLate: one did not come within ``timeout_s`` seconds.
        Exception: what the function raised on a worker; an OSError also where that is gone.
    """
    try:
        answers: dict[str, Any] = client.sync(
            client._run, function, *args, workers=workers, callback_timeout=timeout_s
        )
    except TimeoutError as error:
        raise WorkersLate(_late(timeout_s)) from error
    return answers


def register(client: Client, plugin: WorkerPlugin | SchedulerPlugin, name: str) -> None:
    """Have a scheduler, or all its workers, take a plugin under a name.

    Raises:
        ClusterError: a worker did not answer.
    """
    from distributed import SchedulerPlugin

    on_scheduler = isinstance(plugin, SchedulerPlugin)
    call = client._register_scheduler_plugin if on_scheduler else client._register_worker_plugin
    idempotent = getattr(plugin, "idempotent", False)
    try:
        client.sync(call, plugin, name, idempotent, callback_timeout=EVERY_S)
    except TimeoutError as error:
        raise ClusterError(_late(EVERY_S)) from error


def _late(timeout_s: float) -> str:
    return (
        f"a worker, or the scheduler, did not answer within {timeout_s:.0f} s; see that none of "
        "them is suspended, or end that one"
    )


def withdraw_plugins(client: Client, name: str) -> None:
    """Take this client's plugins of that name back from a scheduler and all its workers.

    Dask's own ways would wait for one that is stopped.
    """
    assert client.scheduler is not None, "the client is connected"
    withdraw = client.scheduler.unregister_scheduler_plugin
    for call in (partial(client._unregister_worker_plugin, name), partial(withdraw, name=name)):
        try:
            client.sync(call, callback_timeout=CALL_S)
        except OSError as error:
            logger.warning("a plugin stays on the scheduler (%s)", error or "it does not answer")


def describe_worker(kind: str, *, dask_worker: Worker) -> dict[str, Any]:
    """On a worker of such a cluster: its name, host, process, and the device of its ranks."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return {
        "name": dask_worker.name,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": f"GPU {visible.split(',')[0]}" if kind == "gpu" else "CPU",
    }
