"""What the scheduler could not be told is told again, in order, until it is heard or gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit.cluster import owed_calls
from labkit.cluster.owed_calls import OwedCalls

SOON_S = 10.0


class FakeClient:
    """Of a scheduler that hears nothing for a while."""

    def __init__(self) -> None:
        self.status = "running"
        self.hears = threading.Event()
        self.told: list[tuple[Any, ...]] = []

    def _run_on_scheduler(self) -> None:
        raise AssertionError("only its name is needed")

    def sync(self, call: object, function: Callable[..., Any], *args: Any, **_: float) -> Any:
        if not self.hears.is_set():
            raise TimeoutError
        self.told.append(args)
        return function(*args)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    monkeypatch.setattr(owed_calls, "AGAIN_S", 0.01)
    return FakeClient()


def wait_until_paid(owed: OwedCalls) -> None:
    deadline = time.monotonic() + SOON_S
    while len(owed):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_heard_is_told_once(client: Any) -> None:
    client.hears.set()
    owed = OwedCalls(client)
    owed.tell("it", print, 1)
    assert client.told == [(1,)]
    assert len(owed) == 0


def test_what_is_not_heard_is_told_again_and_only_its_newest(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    owed = OwedCalls(client)
    for what, value in (("a", 1), ("b", 2), ("a", 3)):
        owed.tell(what, print, value)
    assert "a could not be told, and will be again: the scheduler did not answer" in caplog.text
    assert len(owed) == 2
    client.hears.set()
    wait_until_paid(owed)
    assert client.told == [(2,), (3,)]
    owed.tell("c", print, 4)
    assert client.told[-1] == (4,)


def test_what_raises_there_is_said_and_forgotten(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    owed = OwedCalls(client)
    owed.tell("a division", lambda: 1 / 0)
    client.hears.set()
    wait_until_paid(owed)
    assert "a division cannot be told" in caplog.text


def wait_until_no_thread_tells() -> None:
    deadline = time.monotonic() + SOON_S
    while any(thread.name == "owed-calls" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_client_that_connects_again_tells_what_it_owed(client: Any) -> None:
    owed = OwedCalls(client)
    owed.tell("a", print, 1)
    client.status = "connecting"
    wait_until_no_thread_tells()
    client.status = "running"
    owed.tell("b", print, 2)
    client.hears.set()
    wait_until_paid(owed)
    assert client.told == [(1,), (2,)]
    client.hears.clear()
    owed.tell("c", print, 3)
    client.status = "connecting"
    wait_until_no_thread_tells()
    client.status = "running"
    client.hears.set()
    owed.tell("d", print, 4)  # heard at once, and so "c" will be
    wait_until_paid(owed)
    assert client.told[2:] == [(4,), (3,)]


def test_a_client_that_is_closed_owes_nobody(client: Any) -> None:
    owed = OwedCalls(client)
    owed.tell("it", print, 1)
    client.status = "closed"
    wait_until_no_thread_tells()
    owed.tell("it", print, 2)
    assert client.told == []
