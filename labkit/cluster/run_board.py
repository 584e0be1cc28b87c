"""The board on the scheduler that says which runs there are; every client of it may read.

Owners post their runs, through ``ask_scheduler`` as in ``reservation``: once when a run
begins, once for each restart, once at its end. Nothing is posted while it trains: how far it is
follows from its ranks' events, which pass through the scheduler anyway and of which Dask keeps the
newest thousand batches of a client.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from distributed import Scheduler

from labkit.cluster.plain_pickle import events_of
from labkit.cluster.posted_run import FoundRun, FoundStatus, PostedRun
from labkit.cluster.reservation import whereabouts

STATE = "labkit-runs"
MOST_ENDED = 16  # ended runs that are still known, for those who follow them
MOST_LOOKS = 200  # batches of rank 0 among which its newest step is looked for

Event = tuple[float, dict[str, Any]]  # wall clock of the scheduler, and what was said


@dataclass(slots=True)
class _Entry:
    """A run on the board; ``steps_done`` as of the events up to the one that was ``seen`` last."""

    posted: PostedRun
    version: int = 1
    steps_done: int = 0
    seen: Event | None = None


@dataclass(slots=True)
class _Board:
    """Runs by identifier; those that have ended are in the order of their end."""

    entries: dict[str, _Entry] = field(default_factory=dict)

    def note_the_lost(self, scheduler: Scheduler) -> None:
        """Runs whose client is gone have ended with it."""
        for entry in list(self.entries.values()):
            posted = entry.posted
            if not posted.status and posted.client not in scheduler.clients:
                error = (
                    f"the client that owned run {posted.run} was lost (process {posted.pid} of "
                    f"{posted.user} on {posted.host}), and with it its ranks"
                )
                self.end(entry, replace(posted, status="failed", error=error))

    def end(self, entry: _Entry, posted: PostedRun) -> None:
        """Note the end of a run, the newest one."""
        entry.posted = posted
        self.entries[posted.run] = self.entries.pop(posted.run)

    def forget_old(self) -> None:
        """Keep those that ended last."""
        ended = [run for run, entry in self.entries.items() if entry.posted.status]
        for run in ended[:-MOST_ENDED]:
            del self.entries[run]


def post(posted: PostedRun, *, dask_scheduler: Scheduler) -> None:
    """Note a run, or what is new of it; one that has ended stays so, whatever is read late."""
    board = _board(dask_scheduler)
    entry = board.entries.get(posted.run)
    if entry is not None and entry.posted.status and not posted.status:
        return
    if entry is None:
        entry = board.entries[posted.run] = _Entry(posted)
    else:
        entry.posted, entry.version = posted, entry.version + 1
    if posted.status:
        board.end(entry, posted)
    board.forget_old()


def find_runs(*, dask_scheduler: Scheduler) -> list[FoundRun]:
    """All runs that the board knows, those that ended lately too, by their beginning."""
    entries = _board(dask_scheduler).entries.values()
    by_beginning = sorted(entries, key=lambda entry: entry.posted.since_s)
    return [_found(entry, dask_scheduler) for entry in by_beginning]


def look(
    run: str, known_version: int = 0, *, dask_scheduler: Scheduler
) -> tuple[FoundRun, int, bytes] | None:
    """One run, its version, and its record if that is newer than the version known; or None."""
    entry = _board(dask_scheduler).entries.get(run)
    if entry is None:
        return None
    record = entry.posted.record if entry.version > known_version else b""
    return _found(entry, dask_scheduler), entry.version, record


def listen(run: str, client: str, *, dask_scheduler: Scheduler) -> list[Event]:
    """Have a client told all further events of a run; those before, as far as they are kept.

    Both in one step, so that none is missed in between.
    """
    topic = _board(dask_scheduler).entries[run].posted.topic
    dask_scheduler.subscribe_topic(topic, client)
    events = dask_scheduler.get_events(topic)
    return [(at_s, message) for at_s, message in events if belongs(message, run)]


def ask_to_stop(run: str, by: str, *, dask_scheduler: Scheduler) -> bool:
    """Have the owner of a run stop it; False where there is no such run, or it has ended."""
    entry = _board(dask_scheduler).entries.get(run)
    if entry is None or entry.posted.status:
        return False
    dask_scheduler.log_event(entry.posted.topic, {"run": run, "stop_by": by})
    return True


def conclude(
    run: str, status: Literal["stopped", "failed"], why: str, *, dask_scheduler: Scheduler
) -> None:
    """Note the end of a run in the place of its owner, which may still correct it."""
    board = _board(dask_scheduler)
    entry = board.entries[run]
    if not entry.posted.status:
        board.end(entry, replace(entry.posted, status=status, error=why))


def belongs(message: Any, run: str) -> bool:
    """Whether a message of an owner's topic holds events of a run's ranks, in any attempt."""
    if not isinstance(message, dict) or "events" not in message:
        return False
    return str(message.get("run")).partition(".")[0] == run


def _board(scheduler: Scheduler) -> _Board:
    """The scheduler's one board, with what became of the clients that are gone."""
    board: _Board = scheduler.extensions.setdefault(STATE, _Board())
    board.note_the_lost(scheduler)
    return board


def _found(entry: _Entry, scheduler: Scheduler) -> FoundRun:
    posted = entry.posted
    gang, workers, position = "", tuple[str, ...](), 0
    if not posted.status:
        preparer = "" if posted.prepared else posted.client
        gang, workers, position = whereabouts(posted.run, preparer, scheduler)
    _count_steps(entry, scheduler)
    step = max(0, entry.steps_done - posted.start_step)
    status: FoundStatus = "running" if step or posted.restarts else "starting"
    if posted.status:
        status = posted.status
    elif position and not posted.restarts:
        status = "waiting"
    return FoundRun(
        run=posted.run,
        status=status,
        kind=posted.kind,
        workload=posted.workload,
        strategy=posted.strategy,
        world_size=posted.world_size,
        step=step,
        planned_steps=posted.planned_steps,
        position=position,
        workers=workers,
        host=posted.host,
        pid=posted.pid,
        user=posted.user,
        since_s=posted.since_s,
        restarts=posted.restarts,
        error=posted.error,
        topic=posted.topic,
        gang=gang,
    )


def _count_steps(entry: _Entry, scheduler: Scheduler) -> None:
    """Look for the newest step among the events since the last look, the newest first."""
    kept, seen, looks = scheduler.get_events(entry.posted.topic), entry.seen, 0
    entry.seen = kept[-1] if kept else None
    for kept_event in reversed(kept):
        if kept_event is seen or looks == MOST_LOOKS:
            return
        _, message = kept_event
        if not belongs(message, entry.posted.run) or message.get("rank") != 0:
            continue
        looks += 1
        try:
            events = events_of(message)
        except pickle.UnpicklingError:
            continue  # of a client that sends something else; it spoils its own count only
        for event in reversed(events):
            if event["type"] == "steps" and event["steps"]:
                entry.steps_done = event["steps"][-1][0] + 1
                return
