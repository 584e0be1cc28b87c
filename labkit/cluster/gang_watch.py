"""What happens to a gang while it runs, until every rank has ended or one has failed."""

from __future__ import annotations

import asyncio
import pickle
import queue
import time
from typing import TYPE_CHECKING, Any

from labkit.cluster.blame import Failure, first_failure
from labkit.cluster.hang_inquiry import HangInquiry
from labkit.cluster.lost_peers import LostPeers
from labkit.cluster.worker_look import WorkerLook
from labkit.errors import ClusterError, RunStopped

if TYPE_CHECKING:
    from distributed import Future

    from labkit.cluster.gang import Gang

START_S = 60.0
STOP_GRACE_S = 1.2  # a stop that ranks have not followed by then becomes a kill
FAILURE_GRACE_S = 0.15  # failures that follow from the first one arrive within this time
DECISION_S = 2.0  # to elect a leader, if need be, and to hear how it goes on

SUSPECT = ("stopped", "hung")  # causes of a rank whose process is there

Message = tuple[Any, ...]


class GangWatch:
    """Handles the messages of one gang; used by the gang's watching thread alone.

    Messages: ``("stop",)``, ``("close",)``, ``("events", rank, bytes)``,
    ``("ended", rank, future)``, ``("fetched", rank, future)`` and ``("lost", worker)``.
    """

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.progress = gang.progress
        self.hang = gang.hang
        self._kill_at_s = float("inf")
        self._start_by_s = time.monotonic() + START_S
        self._workers = WorkerLook(gang)
        self._lost_peers = LostPeers(gang)
        self._inquiry = None if gang.hang is None else HangInquiry(gang, gang.hang)

    def attend(self) -> Exception | None:
        """Until the last rank has ended or the first has failed; the failure, if any."""
        while len(self.progress.ends) < self.gang.num_ranks:
            message = self._next_message()
            outcome = self._look() if message is None else self._handle(message)
            stopping = self._kill_at_s < float("inf")
            if outcome is None and not stopping and self._workers.is_due:
                outcome = self._look_for_workers()
            if isinstance(outcome, Failure):
                outcome = self._conclude(outcome)
            if outcome is not None:
                return outcome
        return None

    def _next_message(self) -> Message | None:
        """The next message, or ``None`` when something else is due."""
        due_s = [self._kill_at_s, self._lost_peers.due_s, time.monotonic() + 1.0]
        if self.gang.status == "starting":
            due_s.append(self._start_by_s)
        if inquiry := self._inquiry_at_work:
            due_s.append(inquiry.due_s)
        return self._wait(min(due_s))

    def _wait(self, until_s: float) -> Message | None:
        try:
            return self.gang.inbox.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            return None

    # -- what is due ---------------------------------------------------------------------------

    def _look(self) -> Exception | Failure | None:
        """Nothing came for a while: is something overdue?"""
        now, run = time.monotonic(), self.gang.run
        if self._lost_scheduler():
            return without_scheduler(self.gang.run)
        if now >= self._kill_at_s:
            return RunStopped(f"run {run} was stopped; its ranks had to be ended")
        if self.gang.status == "starting" and now >= self._start_by_s:
            missing = sorted({*range(self.gang.num_ranks)} - self.progress.started)
            why = f"ranks {missing} were not there after {START_S:.0f} s"
            return Failure(cause="not_started", rank=missing[0], why=why, at_s=time.time())
        if now >= self._lost_peers.due_s:
            return self._lost_peers.judge(self.progress.ends)
        inquiry = self._inquiry_at_work
        if inquiry is not None and now >= inquiry.due_s:
            return inquiry.proceed(self.progress.ends)
        return None

    @property
    def _inquiry_at_work(self) -> HangInquiry | None:
        """Asks about steps that stay away, unless the ranks are to stop, or have complained."""
        stopping = self._kill_at_s < float("inf")
        return None if stopping or self._lost_peers else self._inquiry

    def _look_for_workers(self) -> Failure | None:
        found = self._workers.look(self.progress.ends)
        if found is None:
            return None
        self.progress.silent, failure = found
        return failure

    def _lost_scheduler(self) -> bool:
        return self.gang.cluster.client.status != "running"

    # -- what comes ----------------------------------------------------------------------------

    def _handle(self, message: Message) -> Exception | Failure | None:
        kind = message[0]
        if kind == "stop" and self._kill_at_s == float("inf"):
            self.progress.stopping = True
            self._kill_at_s = time.monotonic() + STOP_GRACE_S
            self.gang.tell_ranks("stop", timeout_s=STOP_GRACE_S)
        elif kind == "close":
            return ClusterError(f"the cluster was closed while run {self.gang.run} was on it")
        elif kind == "events":
            return self._handle_events(*message[1:])
        elif kind in ("ended", "fetched", "lost"):
            self._note_end(*message)
            return first_failure(self.progress.ends.values())
        return None

    def _handle_events(self, rank: int, pickled: bytes) -> Failure | None:
        """Take all events that came together; the first failure among them, if any."""
        self._workers.note_heard(rank)
        failures = [self._handle_event(rank, event) for event in pickle.loads(pickled)]
        return next((failure for failure in failures if failure is not None), None)

    def _handle_event(self, rank: int, event: dict[str, Any]) -> Failure | None:
        kind = event["type"]
        if kind == "started":
            with self.gang.changed:
                self.progress.started.add(rank)
                if len(self.progress.started) == self.gang.num_ranks:
                    self.progress.status = "running"
                    self.progress.started_s = event["at_s"]
                    if self.hang is not None:
                        self.hang.begin()
                    self.gang.changed.notify_all()
            return None
        if self.gang.supervision is not None:
            if kind == "steps" and self.hang is not None:
                self.hang.take(event)
            elif kind == "position":
                self._lost_peers.take_position(rank, event)
                if self._inquiry is not None:
                    self._inquiry.take(rank, event)
            elif kind == "decision":
                self.progress.decision = event
            elif kind == "lost_peers":
                self._lost_peers.take_complaint(rank, event)
            elif kind == "stopped":
                return Failure(cause="stopped", rank=rank, why=event["why"], at_s=event["since_s"])
            elif kind == "store_lost":
                return Failure(cause="store_lost", rank=rank, why=event["why"], at_s=time.time())
        if self.gang.on_event is not None:
            self.gang.on_event(rank, event)
        return None

    def _note_end(self, what: str, who: Any, future: Any = None) -> None:
        """Note the end of a rank, or the loss of a worker."""
        ends, workers = self.progress.ends, self.gang.workers
        if what == "lost":
            if who in workers:
                self._note_lost(workers.index(who), f"its worker {who} was lost")
        elif what == "fetched":
            if not future.cancelled() and future.exception() is None:
                ends[who] = future.result()
            else:
                self._note_lost(who, f"its result was lost with its worker {workers[who]}")
        elif future.status == "finished":
            self._fetch(who, future)
        else:
            why = f"its task was {future.status}, its worker {workers[who]} is gone"
            self._note_lost(who, why)

    def _note_lost(self, rank: int, why: str) -> None:
        from labkit.cluster.rank_owner import RankEnd

        end = RankEnd(rank=rank, status="died", error=why, at_s=time.time(), worker_lost=True)
        self.progress.ends.setdefault(rank, end)

    def _fetch(self, rank: int, future: Future[Any]) -> None:
        """Have a rank's end brought here; the message ``fetched`` says that it is, or cannot be.

        Nobody waits for it: one whose worker is killed meanwhile may never come.
        """
        client, inbox = self.gang.cluster.client, self.gang.inbox
        if self._lost_scheduler():
            return
        loop: Any = client.loop
        bringing = client.gather(future, asynchronous=True)
        fetched = asyncio.run_coroutine_threadsafe(bringing, loop.asyncio_loop)
        fetched.add_done_callback(lambda done: inbox.put(("fetched", rank, done)))

    # -- what follows --------------------------------------------------------------------------

    def _conclude(self, failure: Failure) -> Exception:
        """A rank has failed: see what else has, name the cause, and hear how it goes on."""
        self.progress.noticed_s = time.time()
        supervision = self.gang.supervision
        goes_on = supervision is not None and supervision.recoverable
        told = self._tell_survivors(failure) if goes_on else None
        # Others fail because of the first: give them a moment, then name the cause.
        self._gather(time.monotonic() + FAILURE_GRACE_S)
        if failure.cause not in SUSPECT:
            failure = first_failure(self.progress.ends.values()) or failure
        if goes_on and failure.is_recoverable and not self.progress.stopping:
            self._hear_decision(failure, told)
        if self.progress.stopping:
            return RunStopped(f"run {self.gang.run} was stopped")
        if self._lost_scheduler():
            return without_scheduler(self.gang.run)
        self.progress.failure, self.progress.lost = failure, self._lost(failure)
        return failure.to_error()

    def _lost(self, failure: Failure) -> set[int]:
        """Ranks that are not to be counted on."""
        alone = {failure.rank} if failure.cause in (*SUSPECT, "died", "worker_lost") else set()
        return alone | set(self.progress.ends)

    def _survivors(self, failure: Failure) -> set[int]:
        """Ranks that can decide how it goes on: none without the store, which is with rank 0."""
        ends = self.progress.ends
        if failure.cause == "store_lost" or (0 in ends and ends[0].worker_lost):
            return set()
        return {*range(self.gang.num_ranks)} - self._lost(failure)

    def _tell_survivors(self, failure: Failure) -> set[int] | None:
        """Have the ranks that are left decide; the ranks that they were told to be lost."""
        if not failure.is_recoverable or not self._survivors(failure):
            return None
        lost = self._lost(failure)
        self.gang.tell_ranks(("lose", sorted(lost)))
        return lost

    def _hear_decision(self, failure: Failure, told: set[int] | None) -> None:
        """How the ranks that are left go on; where more are lost meanwhile, they decide again.

        Args:
            failure: what they decide on.
            told: ranks that they know to be lost.
        """
        until_s = time.monotonic() + DECISION_S
        in_time = True
        while in_time and self._survivors(failure) and not self._has_decided(failure):
            lost = self._lost(failure)
            if lost != told:
                told = self._tell_survivors(failure)
            in_time = self._gather(until_s, failure, lost)
        if not self._has_decided(failure):  # one that counts on lost ranks is none
            self.progress.decision = None

    def _has_decided(self, failure: Failure) -> bool:
        decision = self.progress.decision
        return decision is not None and self._lost(failure) <= {*decision["lost"]}

    def _gather(
        self, until_s: float, failure: Failure | None = None, lost: set[int] | None = None
    ) -> bool:
        """Take in what comes until then; with a failure, until it is decided or others are lost.

        Returns:
            False when the time is over, or the user ends the run.
        """
        while failure is None or not (self._has_decided(failure) or self._lost(failure) != lost):
            message = self._wait(until_s)
            if message is None:
                return False
            if message[0] in ("stop", "close"):
                self.progress.stopping |= message[0] == "stop"
                self.gang.inbox.put(message)
                return False
            if message[0] == "events":
                self._handle_events(*message[1:])
            else:
                self._note_end(*message)
        return True


def without_scheduler(run: str) -> ClusterError:
    """What a run fails with whose scheduler is gone."""
    return ClusterError(
        f"the Dask scheduler is gone, and with it run {run}: workers that lose it end their ranks; "
        "launch again"
    )
