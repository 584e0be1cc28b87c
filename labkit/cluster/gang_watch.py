"""What happens to a gang while it runs, until every rank has ended or one has failed."""

from __future__ import annotations

import pickle
import queue
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from labkit.cluster.blame import Failure, first_failure
from labkit.cluster.hang_watch import ASK_S
from labkit.cluster.position import find_culprit, has_moved
from labkit.cluster.silent_workers import find_silent
from labkit.errors import ClusterError, RunStopped

if TYPE_CHECKING:
    from distributed import Future

    from labkit.cluster.gang import Gang

START_S = 60.0
STOP_GRACE_S = 1.2  # a stop that ranks have not followed by then becomes a kill
FAILURE_GRACE_S = 0.15  # failures that follow from the first one arrive within this time
PEERS_S = 1.0  # who is missing is known by then, if a process is
DECISION_S = 2.0  # to elect a leader, if need be, and to hear how it goes on

QUIET_S = 3.0  # a rank that is not heard for so long may have a worker that is stopped
WORKER_ANSWER_S = 3.0

SUSPECT = ("stopped", "hung")  # causes of a rank whose process is there

Message = tuple[Any, ...]


class GangWatch:
    """Handles the messages of one gang; used by the gang's watching thread alone.

    Messages: ``("stop",)``, ``("close",)``, ``("events", rank, bytes)``,
    ``("ended", rank, future)`` and ``("lost", worker)``.
    """

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.progress = gang.progress
        self.hang = gang.hang
        self._kill_at_s = float("inf")
        self._start_by_s = time.monotonic() + START_S
        self._look_by_s = time.monotonic() + QUIET_S
        self._heard_s = dict.fromkeys(range(gang.num_ranks), time.monotonic())
        self._without_peers: list[Failure] = []
        self._peers_by_s = float("inf")
        self._answer_by_s = float("inf")
        self._positions: dict[int, dict[str, Any]] = {}
        self._positions_before: dict[int, dict[str, Any]] = {}

    def attend(self) -> Exception | None:
        """Until the last rank has ended or the first has failed; the failure, if any."""
        while len(self.progress.ends) < self.gang.num_ranks:
            message = self._next_message()
            outcome = self._look() if message is None else self._handle(message)
            stopping = self._kill_at_s < float("inf")
            if outcome is None and not stopping and time.monotonic() >= self._look_by_s:
                outcome = self._look_for_workers()
                self._look_by_s = time.monotonic() + QUIET_S
            if isinstance(outcome, Failure):
                outcome = self._conclude(outcome)
            if outcome is not None:
                return outcome
        return None

    def _next_message(self) -> Message | None:
        """The next message, or ``None`` when something else is due."""
        due_s = [self._kill_at_s, self._peers_by_s, self._answer_by_s, time.monotonic() + 1.0]
        if self.gang.status == "starting":
            due_s.append(self._start_by_s)
        if self.hang is not None and self._answer_by_s == float("inf"):
            due_s.append(self.hang.due_s)
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
        if now >= self._peers_by_s:
            return self._without_peers[0]
        if now >= self._answer_by_s:
            return self._judge_hang()
        if self.hang is not None and self._kill_at_s == float("inf") and now >= self.hang.due_s:
            self._positions_before = {}
            self._ask_positions()
        return None

    def _look_for_workers(self) -> Failure | None:
        """The first rank whose worker has gone silent: its process is there, but does nothing.

        What ranks report goes through their workers, so only those of quiet ranks are looked at.
        """
        now = time.monotonic()
        quiet = [
            worker
            for rank, worker in enumerate(self.gang.workers)
            if rank not in self.progress.ends and now - self._heard_s[rank] >= QUIET_S
        ]
        if not quiet:
            return None
        try:
            silent = find_silent(self.gang.cluster.client, quiet, WORKER_ANSWER_S)
        except (ClusterError, CancelledError):  # the scheduler's fault; seen next time
            return None
        if silent is None:
            return None
        self.progress.silent = silent
        return Failure(
            cause="hung",
            rank=self.gang.workers.index(silent),
            why=f"its worker {silent} does not answer, nor has been heard for a while",
            at_s=time.time() - QUIET_S - WORKER_ANSWER_S,
        )

    def _ask_positions(self) -> None:
        """Ask the ranks where they are.

        Where they cannot be asked, it is the scheduler or a worker that does not answer. Then the
        ranks may be well; a worker is found by ``_look_for_workers``.
        """
        assert self.hang is not None
        self._positions = {}
        self._answer_by_s = float("inf")
        if self.gang.tell_ranks("where") or not self.hang.excuse():
            self._answer_by_s = time.monotonic() + ASK_S

    def _lost_scheduler(self) -> bool:
        return self.gang.cluster.client.status != "running"

    def _judge_hang(self) -> Failure | None:
        """The ranks have said where they are: which one keeps the others waiting?"""
        assert self.hang is not None
        self._answer_by_s = float("inf")
        silent_s = time.monotonic() - self.hang.last_s
        if time.monotonic() < self.hang.due_s:  # a step came meanwhile
            return None
        all_answer = len(self._positions) == self.gang.num_ranks
        if all_answer and not self._positions_before:
            self._positions_before = self._positions
            self._ask_positions()
            return None
        moving = all_answer and has_moved(self._positions_before, self._positions)
        busy = any(said["doing"] for said in self._positions.values())
        if (moving or busy) and self.hang.excuse():
            return None
        rank, why = find_culprit(self._positions, self.gang.num_ranks)
        return Failure(
            cause="hung",
            rank=rank,
            why=f"no step for {silent_s:.1f} s; {why}",
            at_s=time.time() - silent_s,
        )

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
        elif kind in ("ended", "lost"):
            self._note_end(*message)
            return first_failure(self.progress.ends.values())
        return None

    def _handle_events(self, rank: int, pickled: bytes) -> Failure | None:
        """Take all events that came together; the first failure among them, if any."""
        self._heard_s[rank] = time.monotonic()
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
                    self.gang.changed.notify_all()
            return None
        if self.gang.supervision is not None:
            if kind == "steps" and self.hang is not None:
                self.hang.take(event)
            elif kind == "position":
                self._positions[rank] = event
            elif kind == "decision":
                self.progress.decision = event
            elif kind == "lost_peers":
                self._note_lost_peers(rank, event)
            elif kind == "stopped":
                return Failure(cause="stopped", rank=rank, why=event["why"], at_s=event["since_s"])
            elif kind == "store_lost":
                return Failure(cause="store_lost", rank=rank, why=event["why"], at_s=time.time())
        if self.gang.on_event is not None:
            self.gang.on_event(rank, event)
        return None

    def _note_lost_peers(self, rank: int, event: dict[str, Any]) -> None:
        """A rank's collective broke. If no process turns out to be gone, that is the failure."""
        failure = Failure(
            cause="peers_lost",
            rank=rank,
            why=event["why"],
            detail=event["detail"],
            at_s=time.time(),
        )
        self._without_peers.append(failure)
        self._peers_by_s = min(self._peers_by_s, time.monotonic() + PEERS_S)

    def _note_end(self, what: str, who: Any, future: Future[Any] | None = None) -> None:
        """Note the end of a rank, or the loss of a worker."""
        from labkit.cluster.rank_owner import RankEnd

        ends, workers = self.progress.ends, self.gang.workers
        if future is not None and future.status == "finished":
            ends[who] = future.result(timeout=10)
            return
        if what == "lost":
            if who not in workers:
                return
            rank, why = workers.index(who), f"its worker {who} was lost"
        else:
            assert future is not None
            rank, why = who, f"its task was {future.status}, its worker {workers[who]} is gone"
        end = RankEnd(rank=rank, status="died", error=why, at_s=time.time(), worker_lost=True)
        ends.setdefault(rank, end)

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
            if told != self._lost(failure):
                self.progress.decision = None
                self._tell_survivors(failure)
            self._gather(time.monotonic() + DECISION_S, until_decided=failure)
        if self.progress.stopping:
            return RunStopped(f"run {self.gang.run} was stopped")
        if self._lost_scheduler():
            return without_scheduler(self.gang.run)
        self.progress.failure = failure
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

    def _gather(self, until_s: float, until_decided: Failure | None = None) -> None:
        """Take in what comes, until then or until the leader has decided."""
        while True:
            if until_decided is not None and (
                self.progress.decision is not None or not self._survivors(until_decided)
            ):
                return
            message = self._wait(until_s)
            if message is None:
                return
            if message[0] in ("stop", "close"):
                self.progress.stopping |= message[0] == "stop"
                self.gang.inbox.put(message)
                return
            if message[0] == "events":
                self._handle_events(*message[1:])
            else:
                self._note_end(*message)


def without_scheduler(run: str) -> ClusterError:
    """What a run fails with whose scheduler is gone."""
    return ClusterError(
        f"the Dask scheduler is gone, and with it run {run}: workers that lose it end their ranks; "
        "launch again"
    )
