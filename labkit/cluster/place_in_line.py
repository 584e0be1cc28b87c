"""What runs and tasks that wait for workers ask of the scheduler, and its answers: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run asks for.

    Attributes:
        run: its identifier.
        client: identifier of the asking client; what it holds or waits for is void once it is gone.
        num_ranks: workers, one per rank.
        per_replica: neighbouring ranks that belong on one host.
        across_hosts: whether the ranks may be on several hosts.
        first: whether it goes before those that wait: a run that goes on after a failure.
    """

    run: str
    client: str
    num_ranks: int
    per_replica: int = 1
    across_hosts: bool = False
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request.

    Attributes:
        workers: by rank, once they are there.
        why: why there are none.
        position: place in the line, 1 for who is next; 0 for who has its workers.
        behind_tasks: whether only tasks of preprocessing are in the way, so that it will not last.
        needs_network: whether there are workers enough, but only on several hosts together.
    """

    workers: tuple[str, ...] = ()
    why: str = ""
    position: int = 0
    behind_tasks: bool = False
    needs_network: bool = False


class Share(NamedTuple):
    """What tasks of preprocessing may use now."""

    workers: list[str]  # of one host only where hosts do not share files
    stuck: list[str]  # keys of tasks that wait on a run's worker, or for one that is gone
    kept: bool  # whether runs have workers, or are about to
    restricted: bool  # whether tasks must not go to any other worker
    silent: list[str]  # workers that have some of the tasks, and have not been heard for a while


def describe_place(position: int) -> str:
    """``waiting: 2nd in the line for free workers``."""
    return f"waiting: {ordinal(position)} in the line for free workers"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
