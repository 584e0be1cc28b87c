"""How the owner of a run tells other clients of its scheduler about it; see ``run_board``."""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from labkit.cluster.posted_run import PostedRun
from labkit.errors import RunStopped
from labkit.runs.record import RunRecord
from labkit.runs.record_files import record_from_values

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

MOST_STEPS = 5_000  # newest steps of an ended run that its followers are told
NOT_POSTED = ("spans", "load")  # followers have them from the ranks' events

logger = logging.getLogger(__name__)


class Posting:
    """One run on the board of its cluster's scheduler, from its preparation to its end.

    Args:
        cluster: of the run.
        run: its identifier.
        origin_s: wall clock of the call of ``train``.
    """

    def __init__(self, cluster: Cluster, run: str, origin_s: float) -> None:
        self.run = run
        self.stop_asked = threading.Event()
        self._cluster = cluster
        self._origin_s = origin_s
        self._stop: Callable[[], None] | None = None
        cluster.stop_asked[run] = self._take_stop

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Say what to do when another client asks the run to stop; at once if one has asked."""
        self._stop = stop
        if self.stop_asked.is_set():
            stop()

    def _take_stop(self, by: str) -> None:
        """On the client's IO thread."""
        logger.warning("run %s is asked to stop by %s", self.run, by)
        self.stop_asked.set()
        if self._stop is not None:
            self._stop()

    def note(self, record: RunRecord, *, prepared: bool = True) -> None:
        """Post what the record says now, without its steps."""
        self._post(record, prepared=prepared, steps=0)

    def end(self, record: RunRecord) -> None:
        """Post a record that is complete, with its newest steps."""
        self._cluster.stop_asked.pop(self.run, None)
        assert record.status in ("done", "stopped", "failed"), record.status
        self._post(record, prepared=True, steps=MOST_STEPS, status=record.status)

    def _post(
        self,
        record: RunRecord,
        *,
        prepared: bool,
        steps: int,
        status: Literal["", "done", "stopped", "failed"] = "",
    ) -> None:
        from labkit.cluster.run_board import post

        client = self._cluster.client
        posted = PostedRun(
            run=self.run,
            client=client.id,
            topic=self._cluster.topic,
            host=socket.gethostname(),
            pid=os.getpid(),
            user=user_name(),
            since_s=self._origin_s,
            kind=record.kind,
            workload=record.workload["name"],
            strategy=record.strategy,
            world_size=record.world_size,
            planned_steps=record.planned_steps,
            start_step=record.resumed.get("step", 0),
            restarts=record.restarts,
            prepared=prepared,
            status=status,
            error=record.error,
            record=pack(record, steps),
        )
        self._cluster.owed.tell(f"what becomes of run {self.run}", post, posted)


@contextmanager
def posted(cluster: Cluster, record: RunRecord, origin_s: float) -> Iterator[Posting]:
    """Post a run that is about to be prepared; one that cannot be started has ended with that."""
    posting = Posting(cluster, record.run, origin_s)
    posting.note(record, prepared=False)
    try:
        yield posting
    except BaseException as error:
        stopped = isinstance(error, RunStopped) or not isinstance(error, Exception)
        record.status, record.error = "stopped" if stopped else "failed", str(error)
        posting.end(record)
        raise


def pack(record: RunRecord, num_steps: int) -> bytes:
    """A record with so many of its newest steps, as bytes of which a peer can only read values."""
    values: dict[str, Any] = {
        f.name: getattr(record, f.name) for f in fields(record) if f.name not in NOT_POSTED
    }
    values["steps"] = record.steps[-num_steps:] if num_steps else []
    return zlib.compress(json.dumps(values).encode(), 1)


def unpack(packed: bytes) -> RunRecord:
    """What ``pack`` made; without spans and load.

    Raises:
        ValueError: it is no record, or one of another version of labkit.
    """
    try:
        return record_from_values(json.loads(zlib.decompress(packed)))
    except Exception as error:  # whatever zlib, JSON and values of another shape come upon
        raise ValueError(f"no readable record ({type(error).__name__}: {error})") from error


def user_name() -> str:
    """Who runs this process; the number of a user that has no name here, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
