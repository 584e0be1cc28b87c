"""Follow, or stop, a run that another client started on the same scheduler.

What a follower knows it has from three places: the record that the owner posts when its run begins,
starts again and ends; the events that the ranks send while it trains; and the scheduler, which
knows the run's workers, its place in the line, and whether its owner is still there.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from labkit.cluster.ask_scheduler import CALL_S, PATIENT_S, ask_scheduler
from labkit.cluster.cluster import Cluster
from labkit.cluster.plain_pickle import events_of
from labkit.errors import ClusterError
from labkit.runs.found import all_runs, choose_run, own_client
from labkit.runs.live_record import snapshot, take_event
from labkit.runs.posting import unpack, user_name
from labkit.runs.record import RunRecord, Status
from labkit.runs.stop_without_owner import stop_without_owner

if TYPE_CHECKING:
    from distributed import Client, Security

    from labkit.cluster.posted_run import FoundRun
    from labkit.cluster.run_board import Event

LOOK_S = 0.5  # from one look at the board to the next
ANSWER_S = 5.0  # an owner that has not stopped its run by then is passed over


logger = logging.getLogger(__name__)


def follow(
    cluster: Cluster | str, run: str, *, security: Security | Path | str | None = None
) -> FollowedRun:
    """Follow a run of any client of a scheduler while it waits and trains, to its end.

    The follower has a connection of its own: closing it, or losing it, disturbs neither the run
    nor anybody else. Events of ranks are unpickled as plain values only. But whoever may connect to
    a Dask scheduler may run code on it and on all its clients, so follow on clusters only whose
    clients are known, as TLS makes sure.

    Args:
        cluster: from ``labkit.launch``, or the address of a scheduler.
        run: identifier of the run, or a beginning of it that no other has; see ``runs_on``.
        security: certificates for an address that speaks TLS, as in ``launch``.
    Returns:
        The run as it is told: ``view()``, ``status``, ``done``, ``wait()``, ``stop()``; close it.
    Raises:
        SettingError: no such run is there, with those that are; or as ``runs_on``.
        ClusterError: as ``runs_on``, or the run is one of another version of labkit.
    """
    client = own_client(cluster, security)
    try:
        return FollowedRun(client, choose_run(all_runs(client), run))
    except BaseException:
        client.close()
        raise


class FollowedRun:
    """A run of another client; from ``labkit.follow``. A context manager.

    Args:
        client: a connection for this follower alone, which is closed when the run has ended.
        found: the run.
    """

    def __init__(self, client: Client, found: FoundRun) -> None:
        from labkit.cluster.run_board import listen, look

        self.found = found
        self._client = client
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._ended = False
        self._gang = ""
        self._device_s = 0.0
        self._version = 0
        self._pass_over_s = float("inf")
        client.subscribe_topic(found.topic, self._events.put)
        self._history: list[Event] = ask_scheduler(client, listen, found.run, client.id)
        _, _, packed = ask_scheduler(client, look, found.run, 0)
        try:
            self._record = unpack(packed)
        except ValueError as error:
            raise ClusterError(
                f"run {found.run} of {found.user} on {found.host} cannot be followed: {error}; use "
                "the same version of labkit there and here"
            ) from error
        for _, message in self._history:
            self._take(message)
        self._look()
        self._thread = threading.Thread(
            target=self._follow, name=f"follow-{found.run}", daemon=True
        )
        self._thread.start()

    # -- what a user sees ----------------------------------------------------------------------

    @property
    def run(self) -> str:
        """Identifier of the run."""
        return self.found.run

    @property
    def status(self) -> Status:
        """starting (also while it waits in the line), running, done, stopped or failed."""
        return "starting" if self.found.status == "waiting" else self.found.status

    @property
    def done(self) -> bool:
        """Whether the run has ended, or this follower was closed."""
        return self._ended

    @property
    def missing_steps(self) -> int:
        """First steps that the scheduler did not know any more when this follower came."""
        with self._lock:
            first = self._record.steps[0].step if self._record.steps else 0
            return max(0, first - int(self._record.resumed.get("step", 0)))

    def view(self) -> RunRecord:
        """What is known now: a snapshot that later events do not change.

        Until the run has ended it lacks what only its owner knows, such as bytes and memory. Its
        spans and loads are those since the oldest event that the scheduler had kept.
        """
        with self._lock:
            seen = snapshot(self._record)
            seen.status, seen.queue_position = self.status, self.found.position
            seen.error = seen.error or self.found.error
        return seen

    def wait(self, timeout_s: float | None = None) -> RunRecord:
        """The record, once the run has ended, in whichever way: see its ``status`` and ``error``.

        Raises:
            TimeoutError: it has not ended within ``timeout_s`` seconds; it goes on.
            ClusterError: this follower was closed before the end.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout_s):
                raise TimeoutError(f"run {self.run} has not ended within {timeout_s} s; it goes on")
        if not self.found.ended:
            raise ClusterError(f"run {self.run} is not followed any more; it goes on")
        return self.view()

    def stop(self) -> None:
        """Have the ranks stop on the same step, or the run leave the line; returns at once.

        The owner is asked, so its record says that the run was stopped. Where it has not done so
        after ``ANSWER_S`` seconds, as when its process is suspended, the ranks are told directly.
        """
        from labkit.cluster.run_board import ask_to_stop

        by = f"{user_name()} on {socket.gethostname()}"
        if ask_scheduler(self._client, ask_to_stop, self.run, by):
            self._pass_over_s = time.monotonic() + ANSWER_S

    def close(self) -> None:
        """Follow no more; the run goes on."""
        self._closing.set()
        if self._thread is not threading.current_thread():
            self._thread.join(2 * CALL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        found = self.found
        return (
            f"<FollowedRun {found.run} {found.kind} {found.status}: {found.workload} "
            f"{found.strategy} on {found.world_size}, of {found.user} on {found.host}>"
        )

    # -- on the following thread ---------------------------------------------------------------

    def _follow(self) -> None:
        heard_s = time.monotonic()
        try:
            while not (self._closing.is_set() or self.found.ended):
                self._hear(LOOK_S)
                try:
                    self._look()
                    over_s = time.monotonic() - self._pass_over_s
                    if over_s >= 0 and not self.found.ended:
                        stop_without_owner(self._client, self.found, over_s)
                    heard_s = time.monotonic()
                except (ClusterError, OSError) as error:
                    silent_s = time.monotonic() - heard_s
                    if self._client.status != "running" or silent_s > PATIENT_S:
                        why = f"the Dask scheduler is gone, and with it run {self.run}: {error}"
                        self.found = replace(self.found, status="failed", error=why)
        finally:
            if self._client.status == "running":
                self._client.unsubscribe_topic(self.found.topic)
            self._client.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hear(self, seconds: float) -> None:
        """Take what the ranks say for some time, or until this follower is closed."""
        until_s = time.monotonic() + seconds
        while not self._closing.is_set() and (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                self._hear_event(self._events.get(timeout=left_s))

    def _hear_event(self, event: Event) -> None:
        """Take an event that is new: the last ones of the history may come once more."""
        from labkit.cluster.run_board import belongs

        at_s, message = event
        if not belongs(message, self.run) or (at_s, message) in self._history:
            return
        self._history = []
        self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        """Take a batch of events of a rank."""
        try:
            events = events_of(message)
            with self._lock:
                for each in events:
                    if each["type"] == "steps" and each["steps"]:
                        self._go_back(message["run"], each["steps"][0][0])
                    take_event(self._record, each, self._device_s)
        except (pickle.UnpicklingError, LookupError, TypeError) as error:
            logger.warning("run %s sent events that are not read: %s", self.run, error)

    def _go_back(self, gang: str, first: int) -> None:
        """Forget the steps that a further attempt does again."""
        record = self._record
        if record.steps and record.steps[-1].step >= first:
            record.steps = [step for step in record.steps if step.step < first]
        if gang != self._gang:
            self._gang = gang
            if record.kind == "emulated":
                self._device_s = record.steps[-1].end_s if record.steps else 0.0

    def _look(self) -> None:
        """See what the board says."""
        from labkit.cluster.run_board import look

        answer = ask_scheduler(self._client, look, self.run, self._version)
        if answer is None:
            raise ClusterError(f"its board does not know run {self.run} any more")
        found, self._version, packed = answer
        with self._lock:
            if packed:
                self._join(packed, ended=found.ended)
            if found.workers and not found.ended:
                self._record.devices = [
                    {"rank": rank, "address": address} for rank, address in enumerate(found.workers)
                ]
            self.found = found

    def _join(self, packed: bytes, *, ended: bool) -> None:
        """Take what the owner posted; what is known stays where that is not read."""
        try:
            self._record = _joined(self._record, unpack(packed), ended=ended)
        except ValueError as error:
            logger.warning("run %s was posted anew, but with %s", self.run, error)


def _joined(known: RunRecord, posted: RunRecord, *, ended: bool) -> RunRecord:
    """What the owner posted, with what it leaves to be known from the ranks' events."""
    posted.spans, posted.load = known.spans, known.load
    if not ended:
        posted.steps, posted.checkpoints = known.steps, known.checkpoints
    elif posted.steps:
        first = posted.steps[0].step
        posted.steps = [step for step in known.steps if step.step < first] + posted.steps
    return posted
