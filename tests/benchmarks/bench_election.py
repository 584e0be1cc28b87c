"""How long a run is without a leader when leaders are killed one after another.

Real processes, one real store, and the members that ranks have. Whoever leads is killed by SIGKILL,
and a member with a number of its own takes its place; every leader of a term is written down. The
leader that is stopped instead wakes up after its lease, and must not be able to commit.

Usage: ``python tests/benchmarks/bench_election.py [DEATHS]``
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from statistics import median
from typing import Any

import torch.distributed  # noqa: F401  # before the forks, which share it

from labkit.cluster import rank_store
from labkit.cluster.addresses import LOOPBACK
from labkit.cluster.member import Member, StoreRegister
from labkit.cluster.supervision import Supervision

NUM_MEMBERS = 4
SOON_S = 30.0
COMMIT_EVERY_S = 0.05


def fork(body: Callable[[Connection], Any]) -> tuple[int, Connection]:
    """A child that runs something with its end of a pipe; its pid and our end."""
    ours, theirs = Pipe()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            body(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return pid, ours


def take_part(rank: int, port: int) -> Callable[[Connection], None]:
    """The body of a member's process: it commits all the time, as far as it may."""

    def body(pipe: Connection) -> None:
        sending = threading.Lock()

        def tell(event: dict[str, Any]) -> None:
            with sending:
                pipe.send(event)

        member = Member(
            Supervision(run="bench"),
            rank=rank,
            world_size=NUM_MEMBERS,
            connect=lambda: StoreRegister((LOOPBACK, port), "bench"),
            emit=tell,
            now=time.monotonic,
        )
        member.start()
        while True:
            if member.commit(f"{rank}"):
                tell({"type": "commit", "term": member.election.term, "rank": rank})
            time.sleep(COMMIT_EVERY_S)

    return body


class Bench:
    """The members, and what they have told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.members: dict[int, tuple[int, Connection]] = {}
        self.leaders: dict[int, set[int]] = {}  # by term
        self.committed: dict[int, set[int]] = {}
        self.leader = -1
        self.next_rank = 0
        for _ in range(NUM_MEMBERS):
            self.join()

    def join(self) -> None:
        self.members[self.next_rank] = fork(take_part(self.next_rank, self.port))
        self.next_rank += 1

    def listen(self, until: Callable[[], bool], timeout_s: float = SOON_S) -> None:
        """Take in what members tell until something holds."""
        deadline = time.monotonic() + timeout_s
        while not until():
            pipes = {pipe: rank for rank, (_, pipe) in self.members.items()}
            ready = wait(list(pipes), max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"nothing within {timeout_s} s; leaders {self.leaders}")
            for pipe in ready:
                self.take(pipe, pipes[pipe])

    def take(self, pipe: Any, rank: int) -> None:
        try:
            event = pipe.recv()
        except EOFError:
            del self.members[rank]
            return
        if event["type"] == "leader":
            self.leaders.setdefault(event["term"], set()).add(rank)
            self.leader = rank
        elif event["type"] == "commit":
            self.committed.setdefault(event["term"], set()).add(rank)

    def replace_leader(self, how: int) -> float:
        """Kill or stop who leads; seconds until another one does."""
        victim, started = self.leader, time.monotonic()
        pid, pipe = self.members[victim]
        os.kill(pid, how)
        known = len(self.leaders)
        self.listen(lambda: len(self.leaders) > known)
        seconds = time.monotonic() - started
        if how == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
            self.listen(lambda: any(self.leader in c for c in self.committed.values()))
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pipe.close()
        self.members.pop(victim, None)
        self.join()
        return seconds

    def close(self) -> None:
        for pid, pipe in self.members.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pipe.close()


@dataclass(frozen=True, slots=True)
class Found:
    """What a measurement found.

    Attributes:
        taken_s: seconds until another one led, by the signal that the leader got.
        num_terms: that there were.
        shared, several: terms with two leaders, and with two that committed.
    """

    taken_s: dict[int, list[float]]
    num_terms: int
    shared: list[int]
    several: list[int]


def measure(deaths: int, seed: int = 0) -> Found:
    """Kill leader after leader; every fifth is stopped instead.

    Args:
        deaths: of leaders.
        seed: of the moments at which they come.
    """
    store_pid, store = fork(lambda pipe: rank_store.main(pipe.fileno(), Path.cwd()))
    assert store.recv() == store_pid
    store.send(LOOPBACK)
    bench = Bench(store.recv())
    generator = random.Random(seed)
    taken: dict[int, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}
    try:
        bench.listen(lambda: bool(bench.leaders))
        for number in range(deaths):
            rest_s = time.monotonic() + generator.uniform(0.1, 0.6)
            bench.listen(lambda until=rest_s: time.monotonic() > until)
            how = signal.SIGSTOP if number % 5 == 4 else signal.SIGKILL
            taken[how].append(bench.replace_leader(how))
    finally:
        bench.close()
        store.close()
        os.waitpid(store_pid, 0)
    return Found(
        taken,
        len(bench.leaders),
        [term for term, ranks in bench.leaders.items() if len(ranks) > 1],
        [term for term, ranks in bench.committed.items() if len(ranks) > 1],
    )


def main(deaths: int) -> None:
    """Measure, and print what was found."""
    found = measure(deaths)
    for how, seconds in found.taken_s.items():
        if seconds:
            print(
                f"{signal.Signals(how).name}: {len(seconds)} leaders, another one after "
                f"{median(seconds):.2f} s (median), {max(seconds):.2f} s (longest)"
            )
    print(
        f"{found.num_terms} terms; terms with two leaders {found.shared}, with two that "
        f"committed {found.several}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
