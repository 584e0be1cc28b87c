"""What a client asks of its scheduler: functions of ``reservation`` and others, who is there.

Dask's own ways wait for ever for a scheduler whose process is stopped: its connections stay open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from labkit.errors import ClusterError, SettingError

if TYPE_CHECKING:
    from distributed import Client

CALL_S = 5.0  # an event loop answers in milliseconds unless it is stuck
PATIENT_S = 30.0  # for what cannot go on without an answer: a stopped scheduler may go on


class NoAnswer(ClusterError):
    """The scheduler did not answer in time: it is stopped, overloaded or cut off."""


class SchedulerLost(NoAnswer):
    """There is no connection to the scheduler any more."""


def ask_scheduler(
    client: Client, function: Callable[..., Any], *args: Any, timeout_s: float = CALL_S
) -> Any:
    """What a function answers that runs on the event loop of a client's scheduler.

    Raises:
        SettingError: labkit is not installed where the scheduler runs.
        NoAnswer: the scheduler is gone, or did not answer within ``timeout_s`` seconds.
    """
    try:
        with _in_words(client, timeout_s):
            call = client._run_on_scheduler
            return client.sync(call, function, *args, callback_timeout=timeout_s)
    except ModuleNotFoundError as error:
        raise SettingError(
            f"the scheduler cannot import {error.name}; install labkit there too"
        ) from error


def worker_addresses(client: Client) -> list[str]:
    """Addresses of a scheduler's workers, asked for now; raises as ``worker_infos``."""
    return list(worker_infos(client))


def worker_infos(client: Client) -> Mapping[str, Any]:
    """What a scheduler knows of its workers, by address, asked for now.

    ``Client.scheduler_info`` returns what is kept on the client, which a refresh in the
    background replaces by a version without workers.

    Raises:
        NoAnswer: the scheduler is gone, or does not answer.
    """
    with _in_words(client, CALL_S):
        assert client.scheduler is not None, "the client is connected"
        identity = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=CALL_S)
    infos: Mapping[str, Any] = identity["workers"]
    return infos


@contextmanager
def _in_words(client: Client, timeout_s: float) -> Iterator[None]:
    """What Dask raises for a scheduler that is gone, or late, or whose client is closing."""
    try:
        yield
    except TimeoutError as error:
        raise NoAnswer(
            f"the scheduler did not answer within {timeout_s:.0f} s; see that its process is not "
            "suspended, and that its host can be reached"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) or client.status != "running":
            raise SchedulerLost(f"the Dask scheduler is gone ({error}); launch again") from error
        raise
