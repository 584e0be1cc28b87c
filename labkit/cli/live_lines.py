"""Lines on standard error that tell how a live run is doing: its place in the line, its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from labkit.cli.output import say
from labkit.cluster.place_in_line import describe_place
from labkit.errors import LabError
from labkit.runs.record import RunRecord

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

LOOK_S = 0.5
LINE_S = 2.0  # from one line of steps to the next, and a twentieth of the time so far if longer
END_S = 5.0


class LiveRun(Protocol):
    """What a run and its follower have in common."""

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""

    def view(self) -> RunRecord:
        """What is known now."""

    def wait(self, timeout_s: float | None = None) -> RunRecord:
        """The record at the end."""


def wait_telling(run: LiveRun) -> RunRecord:
    """The record of a run at its end; tells meanwhile how it is doing."""
    lines = LiveLines()
    while True:
        try:
            return run.wait(LOOK_S)
        except TimeoutError:
            if run.done:  # and that may be what it failed with
                return run.wait()
            lines.tell(run.view())


class LiveLines:
    """Says what has changed of one run, each thing once."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._next_s = 0.0
        self._position = 0
        self._num_steps = 0
        self._restarts = 0

    def tell(self, record: RunRecord) -> None:
        """Say the run's place in the line, a restart, or its newest step when that is due."""
        if record.queue_position != self._position:
            self._position = record.queue_position
            if self._position:
                say(describe_place(self._position))
        if record.restarts != self._restarts:
            self._restarts = record.restarts
            entry = record.recoveries[-1]
            say(f"going on from step {entry['from_step']}: rank {entry['rank']} {entry['why']}")
        now_s = time.monotonic()
        if len(record.steps) != self._num_steps and now_s >= self._next_s:
            self._num_steps = len(record.steps)
            self._next_s = now_s + max(LINE_S, (now_s - self._started_s) / 20)
            say(_step_line(record))


@contextmanager
def telling_place(cluster: Cluster, queue_s: float) -> Iterator[None]:
    """Say the place in the line of what waits there for this command, as long as it may wait."""
    ended = threading.Event()
    thread = threading.Thread(target=_tell_places, args=(cluster, ended), daemon=True)
    if queue_s:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if queue_s:
            thread.join(END_S)


def _tell_places(cluster: Cluster, ended: threading.Event) -> None:
    from labkit.cluster.ask_scheduler import ask_scheduler
    from labkit.cluster.reservation import place_of

    said = 0
    while not ended.wait(LOOK_S):
        try:
            position = ask_scheduler(cluster.client, place_of, cluster.client.id)
        except LabError:  # the command itself meets it, and says so
            return
        if position != said and not ended.is_set():
            said = position
            if position:
                say(describe_place(position))


def _step_line(record: RunRecord) -> str:
    first = int(record.resumed.get("step", 0))
    last = record.steps[-1]
    return (
        f"step {last.step + 1 - first} of {record.planned_steps}  loss {last.loss:.4f}  "
        f"{record.throughput_samples_per_s:,.0f} samples/s"
    )
