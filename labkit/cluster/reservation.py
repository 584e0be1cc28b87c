"""Which workers a run gets: all that it asked for at once, in the order of asking.

Two gangs whose ranks were placed one by one could each hold half of the workers and wait for the
other half for ever. These functions run on the scheduler, one at a time, through
``ask_scheduler``, so they also keep two notebooks on one scheduler apart.

Whoever asks stands in one line, also a run that would rather be refused than wait long. Only the
first in the line is served. Nobody is let past it, because how long a run takes is not known, and
small runs that are let past would keep a large one waiting for ever. One that asks for more workers
than there are at the moment holds up nobody.

Tasks of preprocessing need no worker of their own: they go to those that no run holds. A run whose
turn it is, and that only tasks keep out, marks the workers that it is going to take: they get no
further tasks, and are its own once they have done those that they have. Tasks that find all
workers held stand in the line too, and their turn lasts ``TURN_S``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from distributed import Scheduler
from distributed.core import Status
from distributed.metrics import time as dask_time  # the clock of ``WorkerState.last_seen``
from distributed.scheduler import TaskState, WorkerState

from labkit.cluster.place_in_line import Answer, Request, Share
from labkit.cluster.rank_placement import largest_replica, place_ranks
from labkit.cluster.shared_files import home_hosts

STATE = "labkit-reservations"
TURN_S = 2.0  # of tasks that waited
SHARED_S = 2.0  # a preprocessing that has not asked for so long has ended
FOLLOW_S = 2.0  # within which the next attempt at a run asks
LEFT_S = 15.0  # who has not asked for so long has left the line
SILENT_S = 10.0  # a worker is heard twice a second, or every few seconds where there are hundreds


@dataclass(slots=True, kw_only=True)
class _Ticket:
    """A place in the line; tasks of preprocessing have no request."""

    client: str
    request: Request | None
    asked_s: float = 0.0
    marked: tuple[str, ...] = ()  # workers that get no more tasks, as this run is next


@dataclass(slots=True)
class _Desk:
    """What the scheduler knows of runs; ``held`` and ``line`` by run, the line in its order."""

    held: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    line: dict[str, _Ticket] = field(default_factory=dict)
    turn_until_s: float = 0.0  # tasks have their turn until then
    shared_s: float = 0.0  # when a preprocessing last asked for its workers

    def forget_the_gone(self, clients: Iterable[str], now_s: float) -> None:
        """Void what belongs to clients that are gone, and places that nobody asks for any more."""
        for run in [r for r, (client, _) in self.held.items() if client not in clients]:
            del self.held[run]
        for name, ticket in list(self.line.items()):
            if ticket.client not in clients or now_s - ticket.asked_s > LEFT_S:
                del self.line[name]

    def taken(self) -> set[str]:
        """Workers that runs hold."""
        return {address for _, workers in self.held.values() for address in workers}

    def marked(self) -> set[str]:
        """Workers that the run which is next waits for."""
        return {address for ticket in self.line.values() for address in ticket.marked}


def reserve(request: Request, *, dask_scheduler: Scheduler) -> Answer:
    """Hold workers for a run, or give it a place in the line; asked again until it is served."""
    desk, now_s = _desk(dask_scheduler), time.monotonic()
    if request.run in desk.held:
        return Answer(workers=desk.held[request.run][1])
    ticket = desk.line.get(request.run)
    if ticket is None:
        ticket = _Ticket(client=request.client, request=request)
        mine = {request.run: ticket}
        desk.line = mine | desk.line if request.first else desk.line | mine
    ticket.request, ticket.asked_s = request, now_s
    workers = _running(dask_scheduler)
    before = _before(request.run, desk, workers)
    position = len(before) + 1
    if before or now_s < desk.turn_until_s:
        ticket.marked = ()
        why = _why(request, desk, workers, before)
        return Answer(why=why, position=position, behind_tasks=not before)
    size = largest_replica(_by_host(workers), request.num_ranks, request.per_replica)
    taken = desk.taken()
    not_held = [worker for worker in workers if worker.address not in taken]
    idle = [worker for worker in not_held if not worker.processing]
    # One that is stopped is listed for minutes; a scheduler that was itself has heard nobody.
    chosen = _place(request, _heard(idle), size) or _place(request, idle, size)
    if chosen:
        del desk.line[request.run]
        desk.held[request.run] = (request.client, tuple(chosen))
        return Answer(workers=tuple(chosen))
    # Those with the fewest tasks first. A choice stands, or the workers would never get done.
    if not ticket.marked or not set(ticket.marked) <= {worker.address for worker in not_held}:
        not_held.sort(key=lambda worker: len(worker.processing))
        ticket.marked = tuple(_place(request, not_held, size))
    return Answer(
        why=_why(request, desk, workers, before),
        position=position,
        behind_tasks=bool(ticket.marked) and now_s - desk.shared_s < SHARED_S,
        needs_network=not _place(request, workers, 1) and len(workers) >= request.num_ranks,
    )


def release(run: str, following: Request | None = None, *, dask_scheduler: Scheduler) -> None:
    """Give a run's workers back, or its place in the line.

    Args:
        run: its identifier.
        following: what the same run is about to ask for again; it is first in the line at once, so
            that nobody takes the workers in between.
    """
    desk = _desk(dask_scheduler)
    desk.held.pop(run, None)
    desk.line.pop(run, None)
    if following is not None:
        # It may never come: then its place is void soon.
        asked_s = time.monotonic() - LEFT_S + FOLLOW_S
        ticket = _Ticket(client=following.client, request=following, asked_s=asked_s)
        desk.line = {following.run: ticket} | desk.line


def share(name: str, client: str, keys: list[str], *, dask_scheduler: Scheduler) -> Share:
    """Workers that may be given tasks now, and those tasks that have to be given again.

    Args:
        name: of the preprocessing, for its place in the line where no worker is free of runs.
        client: identifier of its client.
        keys: of its tasks that are not done.
    """
    desk, now_s = _desk(dask_scheduler), time.monotonic()
    desk.shared_s = now_s
    taken = desk.taken()
    tasks = [dask_scheduler.tasks[key] for key in keys if key in dask_scheduler.tasks]
    stuck = [
        str(task.key)
        for task in tasks
        if task.state == "no-worker"
        or (task.processing_on is not None and task.processing_on.address in taken)
    ]
    home = home_hosts(dask_scheduler).get(client)
    workers = [worker for worker in _running(dask_scheduler) if home in (None, worker.host)]
    kept = taken | desk.marked()
    free = [worker.address for worker in workers if worker.address not in kept]
    if not free and kept:
        desk.line.setdefault(name, _Ticket(client=client, request=None))
    if name in desk.line:
        desk.line[name].asked_s = now_s
        if free and next(iter(desk.line)) == name:  # runs that asked earlier are not held up
            del desk.line[name]
            desk.turn_until_s = now_s + TURN_S
    silent = _silent(tasks, taken)
    return Share(free, stuck, bool(kept), bool(kept) or home is not None, silent)


def _silent(tasks: Iterable[TaskState], taken: set[str]) -> list[str]:
    """Workers that have tasks or their results, and have not been heard for a while.

    Those that runs hold are watched by the runs; those without a nanny nobody could start anew.
    """
    since_s = dask_time() - SILENT_S
    silent = set()
    for task in tasks:
        for worker in (task.processing_on, *(task.who_has or ())):
            if worker is not None and worker.nanny and worker.last_seen < since_s:
                silent.add(worker.address)
    return sorted(silent - taken)


def leave(name: str, *, dask_scheduler: Scheduler) -> None:
    """A preprocessing has no more tasks to give; its turn is over, if it had one."""
    desk = _desk(dask_scheduler)
    desk.line.pop(name, None)
    desk.turn_until_s = desk.shared_s = 0.0


def whereabouts(run: str, client: str, scheduler: Scheduler) -> tuple[str, tuple[str, ...], int]:
    """Which attempt at a run holds workers, which ones, and the run's place in the line, or 0.

    Args:
        run: its identifier.
        client: of a run that is being prepared, that of its owner: the place of what prepares it
            counts, the first one of the client; else empty.
    """
    desk = _desk(scheduler)
    for gang, (_, workers) in desk.held.items():
        if gang.partition(".")[0] == run:
            return gang, workers, 0
    names = [name for name in desk.line if name.partition(".")[0] == run]
    names += [name for name, ticket in desk.line.items() if ticket.client == client]
    if not names:
        return "", (), 0
    return "", (), len(_before(names[0], desk, _running(scheduler))) + 1


def place_of(client: str, *, dask_scheduler: Scheduler) -> int:
    """The first place in the line that a client has, 0 for none."""
    return whereabouts("", client, dask_scheduler)[2]


def _desk(scheduler: Scheduler) -> _Desk:
    """The scheduler's one desk, without what belongs to clients that are gone."""
    desk: _Desk = scheduler.extensions.setdefault(STATE, _Desk())
    desk.forget_the_gone(scheduler.clients, time.monotonic())
    return desk


def _running(scheduler: Scheduler) -> list[WorkerState]:
    """Workers that take tasks, in the order of their names; 10 comes after 9."""
    running = [w for w in scheduler.workers.values() if w.status == Status.running]
    return sorted(running, key=lambda w: (len(str(w.name)), str(w.name), w.address))


def _heard(workers: Iterable[WorkerState]) -> list[WorkerState]:
    """Those that have been heard lately."""
    since_s = dask_time() - SILENT_S
    return [worker for worker in workers if worker.last_seen >= since_s]


def _by_host(workers: Iterable[WorkerState]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for worker in workers:
        hosts.setdefault(worker.host, []).append(worker.address)
    return hosts


def _place(request: Request, workers: Iterable[WorkerState], per_replica: int) -> list[str]:
    return place_ranks(
        _by_host(workers), request.num_ranks, per_replica, across_hosts=request.across_hosts
    )


def _before(run: str, desk: _Desk, workers: list[WorkerState]) -> list[_Ticket]:
    """Who stands before a run, without those that there are not enough workers for."""
    before = []
    for name, ticket in desk.line.items():
        if name == run:
            break
        if ticket.request is None or _place(ticket.request, workers, 1):
            before.append(ticket)
    return before


def _why(request: Request, desk: _Desk, workers: list[WorkerState], before: list[_Ticket]) -> str:
    """Why a run has to wait."""
    taken = desk.taken()
    busy = [worker for worker in workers if worker.address in taken or worker.processing]
    free = _by_host(worker for worker in workers if worker not in busy)
    num_hosts = len(_by_host(workers))
    num_free = sum(map(len, free.values()))
    place = ""
    if num_hosts > 1 and not request.across_hosts:
        num_free = max(map(len, free.values()), default=0)
        place = f" on one of {num_hosts} hosts"
    why = (
        f"{request.num_ranks} ranks need {request.num_ranks} free workers, but {num_free} are "
        f"free{place} ({len(workers)} running, {len(busy)} busy)"
    )
    if before:
        why += f", and {len(before)} who asked before wait for theirs"
    return why
