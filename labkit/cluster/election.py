"""Which rank coordinates a run: a lease in one register of the run's rendezvous store.

The register holds who leads, the term, a mark of the last renewal, and what the leader has
committed last. All of it changes by one atomic compare-and-set, so a leader whose lease was taken
cannot commit any more: the register is no longer what it believes (fencing). Whoever sees the
register unchanged for a whole lease, on its own monotonic clock, may take the next term; clocks of
two ranks are never compared. A leader stops acting as one before that, by the age of its own last
renewal. So no term has two leaders, and no two ranks act as leader at the same time, as long as
their clocks run at the same speed to within 5 %; the commits stay safe even then.

Why not one of the classics. Bully (Garcia-Molina 1982) takes silence for death: parted by the
network, each side has a leader. Raft (Ongaro & Ousterhout 2014) and ZAB (Junqueira et al. 2011)
replicate a log on a majority of the members, which survives the loss of any minority, and is why
two ranks, the commonest run, could not lose one. Here all ranks meet in a store that outlives each
of them; if it is lost, the run begins again from files, which the client decides. One atomic
register is then all the agreement that is left to reach.

Sources: Gray & Cheriton 1989, "Leases"; Burrows 2006, "The Chubby lock service" (its sequencer).

This file holds the rules alone: it is asked for the next request to the register, and told the
answer. What carries them (``labkit.cluster.member``, or a simulation) may be slow, lose them, or
sleep in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

LEASE_S = 0.75
RENEWALS_A_LEASE = 3
SAFE_SHARE = 0.9  # of a lease during which its holder acts as leader

NOBODY = -1  # holds the lease of a leader that has stepped down
UNKNOWN = "?"  # never a register's value: asking to replace it only reads

Change = Literal["elected", "deposed"]


class Lease(NamedTuple):
    """The value of the register.

    Attributes:
        term: raised by each election.
        attempt: which start of the run's ranks the holder belongs to; those of an earlier one
            have been ended.
        holder: rank that leads, or ``NOBODY``.
        renewal: another one in each write of the holder, so that no two writes are alike.
        committed: what a leader committed last, in this term or before.
    """

    term: int
    attempt: int
    holder: int
    renewal: int
    committed: str = ""

    def encode(self) -> str:
        """As text: ``term|attempt|holder|renewal|committed``."""
        return "|".join(map(str, self))

    @staticmethod
    def decode(text: str) -> Lease:
        """From text; an empty register is a lease of term 0 that nobody holds."""
        if not text:
            return Lease(0, 0, NOBODY, 0)
        term, attempt, holder, renewal, committed = text.split("|", 4)
        return Lease(int(term), int(attempt), int(holder), int(renewal), committed)


class Request(NamedTuple):
    """Ask the register to become ``desired`` if it is ``expected``; it answers what it is then."""

    expected: str
    desired: str
    sent_at_s: float


class Election:
    """One member's view of who leads.

    Args:
        rank: of this member, >= 0.
        attempt: start of the ranks that it belongs to.
        first_term: a term above all that the run is known to have had.
        clock: monotonic seconds.
        lease_s: how long a lease holds without renewal.

    Attributes:
        waited_s: how long this member had seen no renewal when it was elected.
        stands: whether this member may be elected; not one that hangs, nor one of an earlier
            attempt.
    """

    def __init__(
        self,
        rank: int,
        *,
        clock: Callable[[], float],
        attempt: int = 0,
        first_term: int = 1,
        lease_s: float = LEASE_S,
    ) -> None:
        self.rank = rank
        self.attempt = attempt
        self.first_term = first_term
        self.clock = clock
        self.lease_s = lease_s
        self.waited_s = 0.0
        self.stands = True
        self._seen: str | None = None
        self._seen_at_s = clock()
        self._mine: Lease | None = None
        self._renewed_at_s = float("-inf")
        self._num_writes = 0

    @property
    def leads(self) -> bool:
        """Whether this member may act as leader now."""
        return self.clock() - self._renewed_at_s < SAFE_SHARE * self.lease_s

    @property
    def lease(self) -> Lease:
        """The register as this member knows it."""
        return self._mine or Lease.decode(self._seen or "")

    @property
    def term(self) -> int:
        """The highest term that this member knows."""
        return self.lease.term

    def wait_s(self) -> float:
        """Seconds until the next request is due."""
        pause_s = self.lease_s / RENEWALS_A_LEASE
        now = self.clock()
        if self._mine is not None or not self.stands:
            return pause_s
        if self._has_run_out(now):
            return 0.0
        return min(pause_s, self._seen_at_s + self.lease_s - now)

    # -- requests ------------------------------------------------------------------------------

    def request(self) -> Request:
        """What to ask the register now: a renewal, a look, or the lease that has run out."""
        now = self.clock()
        if self._mine is not None:
            return self._write(now, self._mine.committed)
        if self._seen is None or not self.stands or not self._has_run_out(now):
            return Request(UNKNOWN, UNKNOWN, now)
        seen = Lease.decode(self._seen)
        term = max(seen.term + 1, self.first_term)
        taken = Lease(term, self.attempt, self.rank, self._next_renewal(), seen.committed)
        return Request(self._seen, taken.encode(), now)

    def commit_request(self, value: str) -> Request | None:
        """A renewal that commits a value as well; ``None`` when this member does not lead."""
        return self._write(self.clock(), value) if self._mine is not None and self.leads else None

    def resign_request(self) -> Request | None:
        """Give the lease up, so that another is elected at once; ``None`` where there is none.

        From this call on, the member does not lead.
        """
        mine, self._mine, self._renewed_at_s = self._mine, None, float("-inf")
        if mine is None:
            return None
        self._seen, self._seen_at_s = mine.encode(), self.clock()
        left = mine._replace(holder=NOBODY, renewal=self._next_renewal())
        return Request(mine.encode(), left.encode(), self.clock())

    def _write(self, now: float, committed: str) -> Request:
        assert self._mine is not None
        desired = self._mine._replace(renewal=self._next_renewal(), committed=committed)
        return Request(self._mine.encode(), desired.encode(), now)

    def _next_renewal(self) -> int:
        # Were two requests alike, one that comes late could be taken for a renewal just made.
        self._num_writes += 1
        return self._num_writes

    def _has_run_out(self, now: float) -> bool:
        seen = Lease.decode(self._seen or "")
        ended = seen.holder == NOBODY or seen.attempt < self.attempt
        return ended or now - self._seen_at_s >= self.lease_s

    # -- answers -------------------------------------------------------------------------------

    def answer(self, request: Request, text: str) -> Change | None:
        """Take the register's answer to a request; what it changed for this member."""
        found = Lease.decode(text)
        own = found.attempt == self.attempt and found.holder == self.rank
        led = self._mine is not None
        if own:
            # Only this member writes so. Without a reply to its last request it learns it here.
            self._mine = found
            if text == request.desired:
                self._renewed_at_s = request.sent_at_s
            if not led:
                self.waited_s = self.clock() - self._seen_at_s
            return None if led else "elected"
        self._mine, self._renewed_at_s = None, float("-inf")
        self.stands = self.stands and found.attempt <= self.attempt
        if text != self._seen:
            self._seen, self._seen_at_s = text, self.clock()
        return "deposed" if led else None
