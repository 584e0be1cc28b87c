"""Elections in virtual time: messages are late or lost, members sleep, die and are cut off.

One heap of events and one random generator: a seed gives the same schedule every time. Clocks of
members run at speeds of their own. The store is correct, as the real one is; nothing else is.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labkit.cluster.election import Election, Lease, Request

DRIFT = 0.05  # clocks run this much too fast or too slow
PATIENCE_S = 0.4  # a request without an answer by then is given up; the store may get it later


@dataclass
class Trouble:
    """What goes wrong, as chances a request, and mean seconds."""

    late: float = 0.05
    lost: float = 0.05
    resign: float = 0.02
    delay_s: float = 0.002
    late_s: float = 1.0


@dataclass
class Member:
    """A rank with a clock of its own."""

    election: Election
    asleep_until_s: float = 0.0
    cut_off_until_s: float = 0.0
    alive: bool = True
    asked: int = 0  # number of its latest request; answers to older ones are dropped


@dataclass
class Simulation:
    """Members, a store, and a list of what was seen to be wrong."""

    seed: int
    num_members: int
    trouble: Trouble = field(default_factory=Trouble)
    now_s: float = 0.0
    register: str = ""
    commits: list[tuple[Lease, Lease]] = field(default_factory=list)  # register before and after
    refused: int = 0  # writes of what is committed that the store refused
    elected_after_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    holders: dict[int, set[int]] = field(default_factory=dict)  # by term

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.num_events = 0
        self.members: dict[int, Member] = {}
        self.next_rank = 0
        for _ in range(self.num_members):
            self.join()

    # -- the machinery -------------------------------------------------------------------------

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        self.num_events += 1
        heapq.heappush(self.events, (self.now_s + seconds, self.num_events, call, args))

    def run(self, until_s: float, stop: Callable[[], bool] = lambda: False) -> None:
        while self.events and self.events[0][0] <= until_s and not stop():
            self.now_s, _, call, args = heapq.heappop(self.events)
            call(*args)
            self._check()
        if not stop():
            self.now_s = until_s

    def join(self) -> Member:
        """A fresh member; a rank that was started again has another number."""
        speed = self.random.uniform(1 - DRIFT, 1 + DRIFT)
        offset_s = self.random.uniform(-1e6, 1e6)
        rank = self.next_rank
        member = Member(Election(rank, clock=lambda: self.now_s * speed + offset_s))
        self.members[rank] = member
        self.next_rank += 1
        self.after(self.random.uniform(0, 0.3), self._wake, rank)
        return member

    def leaders(self) -> list[int]:
        """Who acts as leader now, asleep or not."""
        return [rank for rank, m in self.members.items() if m.alive and m.election.leads]

    def _check(self) -> None:
        if len(leaders := self.leaders()) > 1:
            self.wrong.append(f"{self.now_s:.3f} s: {leaders} lead at once")

    # -- a member ------------------------------------------------------------------------------

    def _wake(self, rank: int) -> None:
        member = self.members[rank]
        if not member.alive:
            return
        if self.now_s < member.asleep_until_s:
            self.after(member.asleep_until_s - self.now_s, self._wake, rank)
            return
        request = member.election.request()
        if member.election.leads and self.random.random() < 0.3:
            request = member.election.commit_request(f"{rank}@{self.now_s:.3f}") or request
        elif member.election.leads and self.random.random() < self.trouble.resign:
            request = member.election.resign_request() or request
        self._send(rank, request)

    def _send(self, rank: int, request: Request) -> None:
        member = self.members[rank]
        member.asked += 1
        self.after(PATIENCE_S, self._give_up, rank, member.asked)
        if self._lost(member):
            return
        self.after(self._delay_s(), self._serve, rank, member.asked, request)

    def _give_up(self, rank: int, asked: int) -> None:
        member = self.members[rank]
        if member.asked == asked:
            member.asked += 1
            self._wake(rank)

    def _serve(self, rank: int, asked: int, request: Request) -> None:
        """At the store: compare and set, and answer what the register is then."""
        if request.expected == self.register:
            before, after = Lease.decode(self.register), Lease.decode(request.desired)
            self.register = request.desired
            self.holders.setdefault(after.term, set()).add(after.holder)
            if before.committed != after.committed:
                self.commits.append((before, after))
        elif "@" in request.desired and request.desired != self.register:
            self.refused += 1
        if not self._lost(self.members[rank]):
            self.after(self._delay_s(), self._answer, rank, asked, request, self.register)

    def _answer(self, rank: int, asked: int, request: Request, text: str) -> None:
        member = self.members[rank]
        if not member.alive or member.asked != asked:
            return
        if self.now_s < member.asleep_until_s:  # it reads the answer when it wakes up
            self.after(member.asleep_until_s - self.now_s, self._answer, rank, asked, request, text)
            return
        member.asked += 1
        if member.election.answer(request, text) == "elected":
            self.elected_after_s.append(member.election.waited_s)
        self.after(member.election.wait_s(), self._wake, rank)

    def _lost(self, member: Member) -> bool:
        cut_off = self.now_s < member.cut_off_until_s
        return cut_off or self.random.random() < self.trouble.lost

    def _delay_s(self) -> float:
        late = self.random.random() < self.trouble.late
        return self.random.expovariate(1 / (self.trouble.late_s if late else self.trouble.delay_s))

    # -- what is done to them ------------------------------------------------------------------

    def kill(self, rank: int) -> None:
        self.members[rank].alive = False

    def put_to_sleep(self, rank: int, seconds: float) -> None:
        self.members[rank].asleep_until_s = self.now_s + seconds

    def cut_off(self, rank: int, seconds: float) -> None:
        self.members[rank].cut_off_until_s = self.now_s + seconds
