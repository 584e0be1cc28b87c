"""Which workers a gang gets: all it asked for at once, or none.

Two gangs whose ranks were placed one by one could each hold half of the workers and wait for the
other half for ever. These functions run on the scheduler, one at a time, through
``client.run_on_scheduler``, so they also keep two notebooks on one scheduler apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from distributed import Scheduler
from distributed.core import Status

STATE = "labkit-reservations"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Workers held for a run, and the client that holds them."""

    client: str
    workers: tuple[str, ...]


def reserve(
    run: str, num_ranks: int, client: str, *, dask_scheduler: Scheduler
) -> tuple[list[str], str]:
    """Hold workers of one host for a run.

    Args:
        run: identifier of the run.
        num_ranks: workers needed, one per rank.
        client: identifier of the asking client; what it holds is void once it is gone.
    Returns:
        Worker addresses in the order of their names, or none and the reason.
    """
    held: dict[str, Reservation] = dask_scheduler.extensions.setdefault(STATE, {})
    for other in [r for r, h in held.items() if h.client not in dask_scheduler.clients]:
        del held[other]
    taken = {address for reservation in held.values() for address in reservation.workers}
    states = [w for w in dask_scheduler.workers.values() if w.status == Status.running]
    hosts: dict[str, list[tuple[int, str, str]]] = {}
    for state in states:
        if state.address not in taken and not state.processing:
            name = str(state.name)
            hosts.setdefault(state.host, []).append((len(name), name, state.address))
    free = max(hosts.values(), key=len, default=[])
    if len(free) < num_ranks:
        busy = sum(1 for w in states if w.address in taken or w.processing)
        place = "" if len(hosts) < 2 else f" on one of {len(hosts)} hosts"
        return [], (
            f"{num_ranks} ranks need {num_ranks} free workers, but {len(free)} are free{place} "
            f"({len(states)} running, {busy} busy)"
        )
    workers = [address for _, _, address in sorted(free)[:num_ranks]]
    held[run] = Reservation(client, tuple(workers))
    return workers, ""


def release(run: str, *, dask_scheduler: Scheduler) -> None:
    """Give a run's workers back."""
    dask_scheduler.extensions.get(STATE, {}).pop(run, None)
