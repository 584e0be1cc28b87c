"""Functions called on one given worker, where it matters which: its disk is not another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self
from weakref import WeakSet

from labkit.cluster.ask_scheduler import worker_infos
from labkit.errors import ClusterError

TASK_S = 120.0  # for one task
POLL_S = 0.5  # between two looks at whether its worker lives


class Workers(Protocol):
    """Functions called on a given worker; what one returns may be handed to the next."""

    def addresses(self) -> list[str]:
        """Of the workers that live, in a fixed order."""

    def start(self, worker: str, function: Callable[..., Any], *values: Any) -> Any:
        """Call the function on that worker; returns a handle, which may be among ``values``."""

    def result(self, handle: Any) -> Any:
        """What the function returned or raised."""

    def local_folder(self, worker: str) -> str:
        """The worker's own folder on its disk."""


class DaskWorkers:
    """The workers of a Dask client. A context manager: at its end the scheduler forgets all tasks.

    Args:
        client: a ``distributed.Client``.
        task_s: deadline of one task.
    """

    def __init__(self, client: Any, task_s: float = TASK_S) -> None:
        self._client = client
        self._task_s = task_s
        self._needs: dict[Any, set[str]] = {}  # workers that a task cannot do without
        self._futures: WeakSet[Any] = WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for future in list(self._futures):
            future.release()

    def addresses(self) -> list[str]:
        """Of the workers that live, by name."""
        infos = self._infos()
        return sorted(infos, key=lambda address: (str(infos[address]["id"]), address))

    def start(self, worker: str, function: Callable[..., Any], *values: Any) -> Any:
        """A task that only this worker may do."""
        future = self._client.submit(
            function, *values, workers=[worker], allow_other_workers=False, pure=False
        )
        self._futures.add(future)
        given = (self._needs.get(getattr(value, "key", None), set()) for value in values)
        self._needs[future.key] = {worker}.union(*given)
        return future

    def result(self, handle: Any) -> Any:
        """Wait for a task; one whose worker died would wait for ever, so that is looked at.

        Raises:
            ClusterError: the worker is gone, or was not done in time.
            Exception: what the function raised.
        """
        needs, deadline_s = self._needs[handle.key], time.monotonic() + self._task_s
        while True:
            try:
                return handle.result(timeout=POLL_S)
            except TimeoutError as error:
                gone = needs.difference(self._infos())
                if gone:
                    raise ClusterError(
                        f"worker {', '.join(gone)} is gone, and with it what lay on its disk; "
                        "place the shards again on those that live"
                    ) from error
                if time.monotonic() > deadline_s:
                    raise ClusterError(
                        f"worker {', '.join(needs)} did not do its task within "
                        f"{self._task_s:.0f} s; see that it is free, then place the shards again"
                    ) from error

    def local_folder(self, worker: str) -> str:
        """Dask's folder of the worker, removed when it closes."""
        return str(self._infos()[worker]["local_directory"])

    def _infos(self) -> Mapping[str, Any]:
        return worker_infos(self._client)
