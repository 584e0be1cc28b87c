"""Members that elect a leader over a real rendezvous store."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import torch.distributed as dist

from labkit.cluster.election import LEASE_S, UNKNOWN, Request
from labkit.cluster.member import Member, StoreRegister
from labkit.cluster.supervision import Supervision

SOON_S = 20.0


@pytest.fixture(scope="module")
def store() -> dist.TCPStore:
    """A store on loopback, as ranks have it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    return dist.TCPStore(
        "127.0.0.1", port, None, True, timeout=timedelta(seconds=5), wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )  # fmt: skip


class Gang:
    """Members in threads of this process, and what they have told."""

    def __init__(self, store: dist.TCPStore, supervision: Supervision, num_ranks: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.told = threading.Condition()
        self.members = [
            Member(
                supervision,
                rank=rank,
                world_size=num_ranks,
                connect=lambda: StoreRegister((store.host, store.port), supervision.run),
                emit=self.emit,
                now=time.monotonic,
            )
            for rank in range(num_ranks)
        ]
        for member in self.members:
            member.start()

    def emit(self, event: dict[str, Any]) -> None:
        with self.told:
            self.events.append(event)
            self.told.notify_all()

    def wait_for(self, kind: str, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [e for e in self.events if e["type"] == kind and happened(e)]

        with self.told:
            assert self.told.wait_for(found, SOON_S), self.events
            return found()[0]

    def leave(self) -> None:
        for member in self.members:
            member.leave()


@pytest.fixture
def gang(store: dist.TCPStore, request: pytest.FixtureRequest) -> Iterator[Gang]:
    """Three members of a run of its own."""
    gang = Gang(store, Supervision(run=request.node.name, on_failure="shrink"), 3)
    yield gang
    gang.leave()


def test_a_register_answers_as_the_rules_expect(store: dist.TCPStore) -> None:
    register = StoreRegister((store.host, store.port), "register")
    look = Request(UNKNOWN, UNKNOWN, 0.0)
    assert register.serve(look) == ""
    assert register.serve(Request("", "1|0|0|1|", 0.0)) == "1|0|0|1|"
    assert register.serve(Request("", "1|0|2|1|", 0.0)) == "1|0|0|1|"
    assert register.serve(look) == "1|0|0|1|"


def test_one_leads_and_only_its_commits_are_noted(gang: Gang) -> None:
    leader = gang.wait_for("leader", lambda e: True)
    assert leader["term"] == 1
    done = [member.commit("step-000040") for member in gang.members]
    assert done == [rank == leader["rank"] for rank in range(3)]


def test_when_the_leader_is_lost_another_is_elected_and_decides(gang: Gang) -> None:
    first = gang.wait_for("leader", lambda e: True)["rank"]
    assert gang.members[first].commit("step-000040")
    died_s = time.monotonic()
    gang.members[first].leave()
    for member in gang.members:
        if member.rank != first:
            member.lose([first])
    second = gang.wait_for("leader", lambda e: e["term"] == 2)
    assert second["rank"] != first
    assert second["at_s"] - died_s < LEASE_S + SOON_S / 10
    decision = gang.wait_for("decision", lambda e: True)
    assert (decision["term"], decision["rank"]) == (2, second["rank"])
    assert decision["lost"] == [first]
    assert decision["members"] == [rank for rank in range(3) if rank != first]
    assert decision["num_ranks"] == 2
    assert decision["committed"] == "step-000040"


def test_a_leader_that_hangs_steps_down_and_another_decides_on_it(gang: Gang) -> None:
    first = gang.wait_for("leader", lambda e: True)["rank"]
    for member in gang.members:
        member.lose([first])
    assert gang.wait_for("leader_end", lambda e: e["rank"] == first)["why"] == "it hangs"
    decision = gang.wait_for("decision", lambda e: True)
    assert decision["rank"] != first
    assert not gang.members[first].commit("late")


def test_when_another_rank_is_lost_the_leader_decides_once_more(gang: Gang) -> None:
    leader = gang.wait_for("leader", lambda e: True)["rank"]
    first, second = (rank for rank in range(3) if rank != leader)
    gang.members[leader].lose([first])
    assert gang.wait_for("decision", lambda e: True)["lost"] == [first]
    gang.members[leader].lose([first, second])
    decision = gang.wait_for("decision", lambda e: e["lost"] != [first])
    assert (decision["lost"], decision["num_ranks"]) == ([first, second], 1)
    assert decision["rank"] == leader


def test_members_of_the_next_attempt_take_over_at_once(store: dist.TCPStore) -> None:
    before = Gang(store, Supervision(run="attempts"), 2)
    assert before.wait_for("leader", lambda e: True)["term"] == 1
    started_s = time.monotonic()
    after = Gang(store, Supervision(run="attempts", attempt=1, first_term=2), 2)
    leader = after.wait_for("leader", lambda e: True)
    assert leader["term"] == 2
    assert leader["at_s"] - started_s < LEASE_S
    deposed = before.wait_for("leader_end", lambda e: True)
    assert (deposed["term"], deposed["why"]) == (1, "its lease ran out")
    before.leave()
    after.leave()


def test_a_store_that_is_gone_is_told() -> None:
    events: list[dict[str, Any]] = []
    told = threading.Event()

    def gone() -> StoreRegister:
        raise ConnectionError("refused\nadvice")

    member = Member(
        Supervision(run="gone"), rank=0, world_size=2, connect=gone,
        emit=lambda event: (events.append(event), told.set())[1], now=time.monotonic,
    )  # fmt: skip
    member.start()
    assert told.wait(SOON_S)
    assert events == [{"type": "store_lost", "why": "refused"}]
    assert not member.commit("x")
