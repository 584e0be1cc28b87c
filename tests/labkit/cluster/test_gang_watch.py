"""What the watch of a gang makes of the messages that come; the ranks are made up."""

from __future__ import annotations

import asyncio
import pickle
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cluster.gang import Progress
from labkit.cluster.gang_watch import GangWatch
from labkit.cluster.hang_inquiry import HangInquiry
from labkit.cluster.hang_watch import FIRST_S, HangWatch
from labkit.cluster.rank_owner import RankEnd
from labkit.cluster.supervision import Supervision
from labkit.errors import RankFailed

SOON_S = 5.0
OVERDUE_S = FIRST_S + 1.0


class FakeGang:
    """As much of a gang as its watch takes; the client fetches results by ``gather``."""

    def __init__(self, num_ranks: int, gather: Callable[..., Any] | None = None) -> None:
        self.run = "test"
        self.num_ranks = num_ranks
        self.progress = Progress(status="running")
        self.hang: HangWatch | None = None
        self.inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.workers = [f"worker {rank}" for rank in range(num_ranks)]
        self.supervision = Supervision(run="test", on_failure="shrink")
        self.on_event = None
        self.client = SimpleNamespace(status="running", gather=gather)
        self.cluster = SimpleNamespace(client=self.client)
        self.told: list[Any] = []
        self.on_told: Callable[[Any], None] = lambda command: None

    @property
    def status(self) -> str:
        return self.progress.status

    def tell_ranks(self, command: Any, timeout_s: float = 0.0) -> bool:
        self.told.append(command)
        self.on_told(command)
        return True

    def decide(self, lost: list[int]) -> None:
        """As the leader, rank 0."""
        left = self.num_ranks - len(lost)
        event = {"type": "decision", "term": 1, "rank": 0, "lost": lost, "num_ranks": left}
        self.inbox.put(("events", 0, pickle.dumps([event])))

    def attend(self) -> Exception | None:
        """Watch it, for a bounded time."""
        watch, found = GangWatch(self), []  # type: ignore[arg-type]
        thread = threading.Thread(target=lambda: found.append(watch.attend()), daemon=True)
        thread.start()
        thread.join(SOON_S)
        assert found, "it goes on watching"
        return found[0]


def test_ranks_that_are_lost_while_the_others_decide_are_decided_on_as_well() -> None:
    gang = FakeGang(4)

    def go_on(command: tuple[str, list[int]]) -> None:
        lost = command[1]
        if len(lost) < 3:  # the next dies when the leader has just decided, or is about to
            if len(lost) == 1:
                gang.decide(lost)
            gang.inbox.put(("lost", f"worker {lost[-1] + 1}"))
        else:
            gang.decide(lost)

    gang.on_told = go_on
    gang.inbox.put(("lost", "worker 1"))
    assert isinstance(gang.attend(), RankFailed)
    assert gang.told[0] == ("lose", [1])
    assert gang.told[-1] == ("lose", [1, 2, 3])
    assert gang.progress.decision is not None
    assert (gang.progress.decision["lost"], gang.progress.lost) == ([1, 2, 3], {1, 2, 3})


def test_a_decision_that_counts_on_a_lost_rank_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.cluster.gang_watch.DECISION_S", 0.2)
    gang = FakeGang(3)
    gang.on_told = lambda command: gang.decide([1])
    gang.inbox.put(("lost", "worker 1"))
    gang.inbox.put(("lost", "worker 2"))
    assert isinstance(gang.attend(), RankFailed)
    assert (gang.progress.decision, gang.progress.lost) == (None, {1, 2})


# -- results ---------------------------------------------------------------------------------------


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread, as a Dask client has it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop

    async def cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(SOON_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(SOON_S)
    loop.close()


FETCHED = SimpleNamespace(status="finished")


def ending(
    loop: asyncio.AbstractEventLoop, fetch: Callable[[], Coroutine[Any, Any, RankEnd]]
) -> FakeGang:
    """A gang of one rank that has ended, whose result the client is about to fetch."""
    gang = FakeGang(1, lambda future, asynchronous: fetch())
    gang.client.loop = SimpleNamespace(asyncio_loop=loop)
    gang.inbox.put(("ended", 0, FETCHED))
    return gang


def test_the_end_of_a_rank_is_fetched(loop: asyncio.AbstractEventLoop) -> None:
    async def fetch() -> RankEnd:
        return RankEnd(rank=0, status="done", result=b"result")

    gang = ending(loop, fetch)
    assert gang.attend() is None
    assert gang.progress.ends[0].result == b"result"


def test_a_result_that_is_lost_with_its_worker_is_the_loss_of_the_worker(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def never() -> RankEnd:
        await asyncio.Event().wait()
        raise AssertionError

    async def lost() -> RankEnd:
        raise KeyError("rank-0")

    waits = ending(loop, never)
    waits.inbox.put(("lost", "worker 0"))
    for gang in (waits, ending(loop, lost)):
        error = gang.attend()
        assert isinstance(error, RankFailed)
        assert "worker 0" in str(error)
        failure = gang.progress.failure
        assert failure is not None
        assert (failure.cause, failure.is_recoverable) == ("worker_lost", True)


# -- hangs -----------------------------------------------------------------------------------------


def position(at: str, collectives: int = 3) -> dict[str, Any]:
    return {"type": "position", "collectives": collectives, "doing": "", "at": at}


@pytest.fixture
def building() -> tuple[FakeGang, HangInquiry, list[float]]:
    """Three ranks that have been building their model for too long; rank 2 has ended."""
    gang, now = FakeGang(3), [0.0]
    hang = HangWatch(10, lambda: now[0])
    hang.begin()
    now[0] += OVERDUE_S
    return gang, HangInquiry(gang, hang), now  # type: ignore[arg-type]


def test_a_rank_that_never_gets_as_far_as_a_step_is_found(
    building: tuple[FakeGang, HangInquiry, list[float]],
) -> None:
    gang, inquiry, now = building
    at = {0: position("loop.py:5 in meet", 4), 1: position("model.py:3 in build")}
    gang.on_told = lambda command: [inquiry.take(*said) for said in at.items()] and None
    assert inquiry.due_s <= now[0]
    for _ in range(2):
        assert inquiry.proceed(ended={2}) is None
        assert inquiry.due_s > now[0]
        now[0] = inquiry.due_s
    failure = inquiry.proceed(ended={2})
    assert failure is not None
    assert gang.told == ["where", "where"]
    assert (failure.cause, failure.rank) == ("hung", 1)
    assert failure.why == "no step for 603.0 s; 1 collectives behind, at model.py:3 in build"


def test_ranks_that_still_start_collectives_before_their_first_step_only_are_slow(
    building: tuple[FakeGang, HangInquiry, list[float]],
) -> None:
    gang, inquiry, now = building
    asked = iter(range(9))

    def answer(command: str) -> None:
        moved = next(asked)
        for rank in range(2):
            inquiry.take(rank, position("layers.py:7 in send", moved))

    gang.on_told = answer
    for _ in range(3):
        assert inquiry.proceed(ended={2}) is None
        now[0] = inquiry.due_s
    assert now[0] > OVERDUE_S


def test_a_rank_that_never_ends_after_its_last_step_is_found() -> None:
    gang, now = FakeGang(2), [0.0]
    hang = HangWatch(1, lambda: now[0])
    hang.begin()
    hang.take({"type": "steps", "steps": [(0, 0.5)]})
    inquiry = HangInquiry(gang, hang)  # type: ignore[arg-type]
    gang.on_told = lambda command: inquiry.take(0, position("model.py:9 in forward"))
    failure = None
    for _ in range(3):
        now[0] = inquiry.due_s
        failure = inquiry.proceed(ended={1})
    assert failure is not None
    assert (failure.cause, failure.rank) == ("hung", 0)
    assert failure.why == "no end after the last step for 602.0 s; at model.py:9 in forward"


TIMED_OUT = "RuntimeError: [gloo/unbound_buffer.cc:81] Timed out waiting 120000ms for recv"
CLOSED_BY_IT = "RuntimeError: [gloo/pair.cc:522] Application timeout caused pair closure"
BROKEN = "RuntimeError: [gloo/pair.cc:547] Connection closed by peer [127.0.0.1]:4711"
SLOW_LINK = "ConnectionError: Connection timed out"


@pytest.mark.parametrize(
    ("complaints", "answers", "cause", "blamed", "why"),
    [
        # It has not come to the collective in which another one gave up.
        ({0: TIMED_OUT}, {0: 4, 1: 3}, "hung", 1, "rank 0 gave up waiting for it; 1 collectives"),
        # A neighbour, whose connection broke when that one did so, was heard first.
        ({2: BROKEN, 0: CLOSED_BY_IT}, {0: 4, 1: 3, 2: 4}, "hung", 1, "rank 0 gave up waiting"),
        # It does not even answer.
        ({0: TIMED_OUT, 2: BROKEN}, {0: 4, 2: 4}, "hung", 1, "for it; it does not answer"),
        # All are in the same collective, or it is the network, which nobody is asked about.
        ({0: TIMED_OUT}, {0: 4, 1: 4, 2: 4}, "peers_lost", 0, "Timed out"),
        ({0: TIMED_OUT, 1: BROKEN}, {0: 4, 1: 3, 2: 4}, "peers_lost", 0, "Timed out"),
        ({0: BROKEN}, {0: 4, 1: 3}, "peers_lost", 0, "closed by peer"),
        ({0: SLOW_LINK}, {0: 4, 1: 3}, "peers_lost", 0, "Connection timed out"),
    ],
)
def test_a_rank_that_others_gave_up_waiting_for_is_blamed(
    monkeypatch: pytest.MonkeyPatch,
    complaints: dict[int, str],
    answers: dict[int, int],
    cause: str,
    blamed: int,
    why: str,
) -> None:
    monkeypatch.setattr("labkit.cluster.lost_peers.PEERS_S", 0.2)
    monkeypatch.setattr("labkit.cluster.gang_watch.DECISION_S", 0.2)
    gang = FakeGang(max(answers) + 1)
    gang.hang = HangWatch(10)
    gang.hang.begin()

    def answer(command: Any) -> None:
        if command == "where":
            for rank, started in answers.items():
                said = position("model.py:3 in build", started)
                gang.inbox.put(("events", rank, pickle.dumps([said])))

    gang.on_told = answer
    for rank, error in complaints.items():
        complaint = {"type": "lost_peers", "why": error, "detail": f"traceback of {rank}"}
        gang.inbox.put(("events", rank, pickle.dumps([complaint])))
    assert isinstance(gang.attend(), RankFailed)
    failure = gang.progress.failure
    assert failure is not None
    assert (failure.cause, failure.rank) == (cause, blamed)
    assert why in failure.why
    assert failure.detail == ("" if cause == "hung" else f"traceback of {blamed}")
    asked = {*complaints.values()} & {TIMED_OUT, CLOSED_BY_IT}
    assert gang.told.count("where") == len(asked)
