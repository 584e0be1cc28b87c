"""Functions that a client runs on its scheduler: those of ``reservation``, and others.

``client.run_on_scheduler`` waits for ever for a scheduler whose process is stopped: its connections
stay open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.cluster.workers import CALL_S
from labkit.errors import ClusterError, SettingError

if TYPE_CHECKING:
    from distributed import Client

PATIENT_S = 30.0  # for what cannot go on without an answer: a stopped scheduler may go on


def ask_scheduler(
    client: Client, function: Callable[..., Any], *args: Any, timeout_s: float = CALL_S
) -> Any:
    """What a function answers that runs on the event loop of a client's scheduler.

    Raises:
        SettingError: labkit is not installed where the scheduler runs.
        ClusterError: the scheduler is gone, or did not answer within ``timeout_s`` seconds.
    """
    try:
        call = client._run_on_scheduler
        return client.sync(call, function, *args, callback_timeout=timeout_s)
    except ModuleNotFoundError as error:
        raise SettingError(
            f"the scheduler cannot import {error.name}; install labkit there too"
        ) from error
    except TimeoutError as error:
        raise ClusterError(f"the scheduler did not answer within {timeout_s:.0f} s") from error
    except OSError as error:
        raise ClusterError(f"the scheduler does not answer ({error})") from error
