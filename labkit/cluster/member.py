"""A rank's part in the coordination of its run: elect, renew, commit, and decide what follows.

Every rank of a run with several ranks has one, with a thread and a connection to the store of its
own, so that it answers while the rank computes or waits in a collective. It asks the store three
times a lease, which takes a few hundredths of a percent of a core.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

from labkit.cluster.election import UNKNOWN, Election, Request
from labkit.cluster.supervision import Supervision

STORE_S = 5.0  # to connect to the store
RANK_HEAD_START_S = 0.02  # rank 0 is the first to ask, and so the first leader
# Goes on while the machine sleeps, where the system has such a clock.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Register(Protocol):
    """Carries requests to the register."""

    def serve(self, request: Request) -> str:
        """Its value after a request.

        Raises:
            ConnectionError: the store is gone.
        """


class StoreRegister:
    """The register as a key of a TCPStore.

    Args:
        address: host and port of the store.
        run: whose leader it is.
    """

    def __init__(self, address: tuple[str, int], run: str) -> None:
        import torch.distributed as dist

        self.key = f"{run}/leader"
        try:
            self.store = dist.TCPStore(*address, None, False, timeout=timedelta(seconds=STORE_S))
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error

    def serve(self, request: Request) -> str:
        """See ``Register``; a key that is not there yet is empty, and not waited for."""
        try:
            found = self.store.compare_set(self.key, request.expected, request.desired).decode()
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error
        return "" if found == UNKNOWN else found


class Member:
    """One rank as a voter, and as the leader when it is elected.

    Sends to the client: ``leader`` (it was elected), ``leader_end`` (it leads no more),
    ``decision`` (how the run goes on after a failure) and ``store_lost``.

    Args:
        supervision: of the run.
        rank, world_size: of this rank.
        connect: opens the register; called on the member's thread.
        emit: hands an event to the client.
        now: seconds since the call that started the run, for events.
    """

    def __init__(
        self,
        supervision: Supervision,
        *,
        rank: int,
        world_size: int,
        connect: Callable[[], Register],
        emit: Callable[[dict[str, Any]], None],
        now: Callable[[], float],
    ) -> None:
        self.supervision = supervision
        self.rank = rank
        self.world_size = world_size
        self.election = Election(
            rank,
            clock=lambda: time.clock_gettime(CLOCK),
            attempt=supervision.attempt,
            first_term=supervision.first_term,
        )
        self._connect = connect
        self._register: Register | None = None
        self._emit = emit
        self._now = now
        self._lock = threading.Lock()  # one request at a time
        self._wake = threading.Event()
        self._lost: tuple[int, ...] = ()
        self._decided_on: tuple[int, ...] = ()  # which of the lost ranks a decision knew of
        self._left = False

    def start(self) -> None:
        """Take part, on a thread of its own, until ``leave``."""
        threading.Thread(target=self._take_part, daemon=True, name="member").start()

    def commit(self, value: str) -> bool:
        """Note something as done for all ranks; only the leader can, once for each value.

        Returns:
            Whether this rank leads, and the store has noted it in this rank's term.
        """
        # A store that does not answer holds the lock; by then the lease has run out.
        if not self._lock.acquire(timeout=self.election.lease_s):
            return False
        try:
            request = self.election.commit_request(value)
            if request is None or self._register is None:
                return False
            return self._exchange(self._register, request) == request.desired
        except ConnectionError:
            return False  # the thread meets it as well, and says so
        finally:
            self._lock.release()

    def lose(self, ranks: Sequence[int]) -> None:
        """Some ranks are gone or hang: the leader, this one or the next, decides what follows.

        It decides again when it is told of others.
        """
        self._lost = tuple(ranks)
        self._wake.set()

    def leave(self) -> None:
        """The rank has done its work."""
        self._left = True
        self._wake.set()

    # -- on the member's thread ----------------------------------------------------------------

    def _take_part(self) -> None:
        try:
            self._wake.wait(RANK_HEAD_START_S * self.rank)
            self._register = self._connect()
            while not self._left:
                self._take_turn(self._register)
                self._wake.wait(self.election.wait_s())
                self._wake.clear()
        except ConnectionError as error:
            self._emit({"type": "store_lost", "why": str(error).splitlines()[0]})

    def _take_turn(self, register: Register) -> None:
        lost = self._lost
        hangs = self.rank in lost
        with self._lock:
            if hangs:
                self.election.stands = False
                resignation = self.election.resign_request()
                if resignation is not None:
                    self._tell("leader_end", self.election.term, why="it hangs")
                    self._exchange(register, resignation)
            self._exchange(register, self.election.request())
        if not hangs and lost != self._decided_on:
            self._decide(lost)

    def _decide(self, lost: tuple[int, ...]) -> None:
        """As the leader, say how the run goes on; noted in the register, so by no earlier one."""
        committed = self.election.lease.committed
        if not self.commit(committed):
            return
        self._decided_on = lost
        members = sorted({*range(self.world_size)} - {*lost})
        replace = self.supervision.on_failure == "replace"
        self._tell(
            "decision",
            self.election.term,
            lost=list(lost),
            members=members,
            num_ranks=self.world_size if replace else len(members),
            committed=committed,
        )

    def _exchange(self, register: Register, request: Request) -> str:
        """One request and its answer; the register's value. Tells what it changed."""
        term = self.election.term
        text = register.serve(request)
        change = self.election.answer(request, text)
        if change == "elected":
            self._tell("leader", self.election.term, election_s=self.election.waited_s)
        elif change == "deposed":
            self._tell("leader_end", term, why="its lease ran out")
        return text

    def _tell(self, kind: str, term: int, **facts: Any) -> None:
        self._emit({"type": kind, "term": term, "rank": self.rank, "at_s": self._now(), **facts})
