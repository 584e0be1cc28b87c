"""What a client has to tell its scheduler and could not: told again until it is heard."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.cluster.ask_scheduler import CALL_S, PATIENT_S, ask_scheduler
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

AGAIN_S = 1.0

logger = logging.getLogger(__name__)


class OwedCalls:
    """Calls of functions on a scheduler whose answers nobody waits for.

    Workers that a run has held must be given back and the end of a run must be told, also where the
    scheduler's process is stopped at that moment. What is owed is void when the client is closed or
    the scheduler is gone: nothing is kept for a client that is not there.

    Args:
        client: of the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._owed: dict[str, Callable[[float], Any]] = {}  # in the order of telling
        self._telling = False

    def __len__(self) -> int:
        return len(self._owed)

    def tell(self, what: str, function: Callable[..., Any], *args: Any) -> None:
        """Call a function on the scheduler; if it does not answer, a thread calls it again.

        Args:
            what: what is told, in words; it takes the place of what is owed under the same words.
            function, args: as of ``ask_scheduler``.
        """
        if self._client.status != "running":
            return

        def call(timeout_s: float) -> Any:
            return ask_scheduler(self._client, function, *args, timeout_s=timeout_s)

        with self._lock:
            self._owed.pop(what, None)
        try:
            call(CALL_S)
        except ClusterError as error:
            logger.warning("%s could not be told, and will be again: %s", what, error)
            with self._lock:
                self._owed[what] = call
        with self._lock:
            if self._telling or not self._owed:
                return
            self._telling = True
        threading.Thread(target=self._tell_again, name="owed-calls", daemon=True).start()

    def _tell_again(self) -> None:
        """Thread: until nothing is owed, or the client has lost its scheduler.

        Dask may connect it again; then the next call that is told starts another thread.
        """
        while True:
            with self._lock:
                if self._client.status != "running" or not self._owed:
                    self._telling = False
                    return
                what, call = next(iter(self._owed.items()))
            try:
                call(PATIENT_S)
            except ClusterError:
                threading.Event().wait(AGAIN_S)
                continue
            except Exception:
                logger.exception("%s cannot be told", what)
            with self._lock:
                if self._owed.get(what) is call:  # else something newer is owed
                    del self._owed[what]
