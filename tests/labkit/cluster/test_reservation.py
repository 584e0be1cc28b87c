"""The line on the scheduler: in order, all workers or none, and tasks of preprocessing between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from distributed.core import Status

from labkit.cluster import reservation
from labkit.cluster.reservation import Answer, Request
from labkit.cluster.shared_files import stay_at_home


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reservation, "time", clock)
    return clock


class FakeScheduler:
    """What these functions see of a Dask scheduler: workers, tasks and clients."""

    def __init__(self, **hosts: int) -> None:
        self.extensions: dict[str, Any] = {}
        self.clients = {"one", "two"}
        self.tasks: dict[str, Any] = {}
        self.workers: dict[str, Any] = {}
        for host, count in hosts.items():
            for at in range(count):
                self.workers[f"{host}{at}"] = SimpleNamespace(
                    name=f"{host}{at}", host=host, status=Status.running, processing={},
                    address=f"{host}{at}", last_seen=reservation.dask_time(), nanny=f"n-{host}{at}",
                )  # fmt: skip

    def ask(self, run: str, num_ranks: int, client: str = "one", **settings: Any) -> Answer:
        request = Request(run=run, client=client, num_ranks=num_ranks, **settings)
        return reservation.reserve(request, dask_scheduler=self)  # type: ignore[arg-type]

    def end(self, run: str, following: Request | None = None) -> None:
        reservation.release(run, following, dask_scheduler=self)  # type: ignore[arg-type]

    def share(self, *keys: str, name: str = "tasks") -> tuple[list[str], list[str], bool]:
        found = reservation.share(name, "one", list(keys), dask_scheduler=self)  # type: ignore[arg-type]
        return found.workers, found.stuck, found.kept

    def give(self, key: str, worker: str) -> None:
        """A task that a worker has."""
        self.workers[worker].processing[key] = 1.0
        self.tasks[key] = SimpleNamespace(
            key=key, state="processing", processing_on=self.workers[worker], who_has=None
        )


def test_workers_that_have_not_been_heard_lately_are_given_last() -> None:
    scheduler = FakeScheduler(a=3)
    scheduler.workers["a0"].last_seen -= 2 * reservation.SILENT_S
    assert scheduler.ask("first", 2).workers == ("a1", "a2")
    scheduler.end("first")
    assert set(scheduler.ask("second", 3).workers) == {"a0", "a1", "a2"}


def test_workers_are_given_all_or_none_and_in_the_order_of_asking() -> None:
    scheduler = FakeScheduler(a=4)
    assert scheduler.ask("first", 3).workers == ("a0", "a1", "a2")
    large, small = scheduler.ask("large", 4), scheduler.ask("small", 1, client="two")
    assert not large.workers
    assert large.position == 1
    assert "4 ranks need 4 free workers, but 1 are free (4 running, 3 busy)" in large.why
    assert not small.workers, "one was free, but the larger run asked earlier"
    assert small.position == 2
    assert small.why.endswith("and 1 who asked before wait for theirs")
    scheduler.end("first")
    assert not scheduler.ask("small", 1, client="two").workers
    assert len(scheduler.ask("large", 4).workers) == 4
    scheduler.end("large")
    assert scheduler.ask("small", 1, client="two").workers == ("a0",)


def test_asking_again_gives_the_same_workers() -> None:
    scheduler = FakeScheduler(a=2)
    assert scheduler.ask("run", 1).workers == scheduler.ask("run", 1).workers == ("a0",)


def test_who_leaves_the_line_holds_up_nobody() -> None:
    scheduler = FakeScheduler(a=2)
    scheduler.ask("first", 1)
    scheduler.ask("large", 2)
    assert not scheduler.ask("small", 1).workers
    scheduler.end("large")
    assert scheduler.ask("small", 1).workers == ("a1",)


def test_what_a_client_held_or_waited_for_is_void_once_it_is_gone() -> None:
    scheduler = FakeScheduler(a=2)
    scheduler.ask("first", 2, client="two")
    scheduler.ask("waiting", 2, client="two")
    assert not scheduler.ask("mine", 2).workers
    scheduler.clients.remove("two")
    assert len(scheduler.ask("mine", 2).workers) == 2


def test_a_place_that_nobody_asks_for_any_more_is_void(clock: Clock) -> None:
    scheduler = FakeScheduler(a=2)
    scheduler.ask("first", 1)
    scheduler.ask("forgotten", 2)
    clock.now_s += reservation.LEFT_S / 2
    assert not scheduler.ask("patient", 1).workers
    clock.now_s += reservation.LEFT_S / 2 + 0.1
    assert scheduler.ask("patient", 1).workers == ("a1",)


def test_a_run_that_goes_on_after_a_failure_is_served_before_the_line() -> None:
    scheduler = FakeScheduler(a=2)
    scheduler.ask("broken", 2)
    scheduler.ask("waiting", 2)
    assert scheduler.ask("again", 2, first=True).position == 1
    scheduler.end("broken")
    assert not scheduler.ask("waiting", 2).workers
    assert len(scheduler.ask("again", 2, first=True).workers) == 2


def test_nobody_takes_the_workers_between_two_attempts_at_a_run(clock: Clock) -> None:
    scheduler = FakeScheduler(a=2)
    scheduler.ask("run", 2)
    scheduler.ask("waiting", 1)
    again = Request(run="run.1", client="one", num_ranks=2, first=True)
    scheduler.end("run", again)
    assert not scheduler.ask("waiting", 1).workers
    assert len(scheduler.ask("run.1", 2, first=True).workers) == 2
    scheduler.end("run.1", Request(run="run.2", client="one", num_ranks=2, first=True))
    clock.now_s += reservation.FOLLOW_S + 0.1
    assert scheduler.ask("waiting", 1).workers, "the third attempt never came"


def test_a_run_that_there_are_not_enough_workers_for_holds_up_nobody() -> None:
    scheduler = FakeScheduler(a=2)
    assert scheduler.ask("too large", 3).position == 1
    assert scheduler.ask("small", 1).workers == ("a0",)
    scheduler.workers["a1"].status = Status.paused
    assert "1 running, 1 busy" in scheduler.ask("other", 1).why


def test_several_hosts_are_taken_only_where_a_network_joins_them() -> None:
    scheduler = FakeScheduler(a=2, b=2)
    refused = scheduler.ask("loopback", 3)
    assert refused.needs_network
    assert "but 2 are free on one of 2 hosts" in refused.why
    scheduler.end("loopback")
    answer = scheduler.ask("network", 4, per_replica=2, across_hosts=True)
    assert answer.workers == ("a0", "a1", "b0", "b1")


def test_a_replica_larger_than_any_host_is_spread_in_equal_parts() -> None:
    scheduler = FakeScheduler(a=2, b=3)
    answer = scheduler.ask("deep", 4, per_replica=4, across_hosts=True)
    assert answer.workers == ("b0", "b1", "a0", "a1")


def test_a_replica_waits_for_a_whole_host_where_there_is_one() -> None:
    scheduler = FakeScheduler(a=2, b=2)
    scheduler.give("of a", "a1")
    scheduler.give("of b", "b0")
    deep = {"per_replica": 2, "across_hosts": True}
    assert not scheduler.ask("deep", 2, **deep).workers, "two are free, but on different hosts"
    scheduler.workers["b0"].processing.clear()
    assert scheduler.ask("deep", 2, **deep).workers == ("b0", "b1")


def test_workers_with_tasks_are_marked_for_the_next_run_and_get_no_more(clock: Clock) -> None:
    scheduler = FakeScheduler(a=3)
    assert scheduler.share() == (["a0", "a1", "a2"], [], False)
    for worker in ("a0", "a1", "a2"):
        scheduler.give(f"task-{worker}", worker)
    scheduler.give("more", "a0")
    answer = scheduler.ask("run", 2)
    assert not answer.workers
    assert answer.behind_tasks
    assert scheduler.share() == (["a0"], [], True), "those with the fewest tasks are taken"
    del scheduler.workers["a1"].processing["task-a1"]
    assert not scheduler.ask("run", 2).workers
    del scheduler.workers["a2"].processing["task-a2"]
    assert scheduler.ask("run", 2).workers == ("a1", "a2")
    assert scheduler.share() == (["a0"], [], True)
    scheduler.end("run")
    assert scheduler.share() == (["a0", "a1", "a2"], [], False)


def test_somebody_elses_tasks_are_not_taken_for_short_ones(clock: Clock) -> None:
    scheduler = FakeScheduler(a=1)
    scheduler.give("foreign", "a0")
    assert not scheduler.ask("run", 1).behind_tasks
    scheduler.share()
    assert scheduler.ask("run", 1).behind_tasks
    clock.now_s += reservation.SHARED_S + 0.1
    assert not scheduler.ask("run", 1).behind_tasks


def test_tasks_that_wait_behind_a_run_are_given_again() -> None:
    scheduler = FakeScheduler(a=2)
    scheduler.ask("run", 1)
    scheduler.give("late", "a0")
    scheduler.give("well", "a1")
    scheduler.tasks["lost"] = SimpleNamespace(
        key="lost", state="no-worker", processing_on=None, who_has=None
    )
    assert scheduler.share("late", "well", "lost", "unknown") == (["a1"], ["late", "lost"], True)


def test_tasks_have_their_turn_between_runs(clock: Clock) -> None:
    scheduler = FakeScheduler(a=1)
    scheduler.ask("first", 1)
    scheduler.ask("second", 1)
    assert scheduler.share() == ([], [], True)
    assert scheduler.ask("third", 1).position == 3, "the tasks asked before it"
    scheduler.end("first")
    assert scheduler.share()[0] == ["a0"]
    assert scheduler.ask("second", 1).workers == ("a0",), "it asked before the tasks"
    assert scheduler.share() == ([], [], True)
    scheduler.end("second")
    assert scheduler.ask("third", 1).position == 2
    assert scheduler.share()[0] == ["a0"]
    waiting = scheduler.ask("third", 1)
    assert not waiting.workers
    assert waiting.behind_tasks
    clock.now_s += reservation.TURN_S + 0.1
    assert scheduler.ask("third", 1).workers == ("a0",)


def test_the_turn_of_tasks_ends_with_them() -> None:
    scheduler = FakeScheduler(a=1)
    scheduler.ask("first", 1)
    scheduler.share()
    scheduler.end("first")
    scheduler.share()
    assert not scheduler.ask("second", 1).workers
    reservation.leave("tasks", dask_scheduler=scheduler)  # type: ignore[arg-type]
    assert scheduler.ask("second", 1).workers == ("a0",)


def test_tasks_stay_on_the_host_that_has_their_files() -> None:
    scheduler = FakeScheduler(a=1, b=2)
    any_worker = reservation.share("tasks", "one", [], dask_scheduler=scheduler)  # type: ignore[arg-type]
    assert not any_worker.restricted
    stay_at_home("one", "b", dask_scheduler=scheduler)  # type: ignore[arg-type]
    at_home = reservation.share("tasks", "one", [], dask_scheduler=scheduler)  # type: ignore[arg-type]
    assert at_home == (["b0", "b1"], [], False, True, [])
    scheduler.ask("run", 1, client="two")
    assert scheduler.share()[0] == ["b0", "b1"]
    assert len(reservation.share("t", "two", [], dask_scheduler=scheduler).workers) == 2  # type: ignore[arg-type]


def test_workers_that_have_tasks_and_were_not_heard_are_told_unless_a_run_holds_them() -> None:
    scheduler = FakeScheduler(a=4)
    assert scheduler.ask("run", 1).workers == ("a0",)
    for key, worker in (("held", "a0"), ("done", "a1"), ("on", "a2"), ("heard", "a3")):
        scheduler.give(key, worker)
    scheduler.tasks["done"].processing_on = None
    scheduler.tasks["done"].who_has = [scheduler.workers["a1"]]
    for worker in ("a0", "a1", "a2"):
        scheduler.workers[worker].last_seen -= reservation.SILENT_S + 1

    def silent(*keys: str) -> list[str]:
        found = reservation.share("tasks", "one", list(keys), dask_scheduler=scheduler)  # type: ignore[arg-type]
        return found.silent

    assert silent("held", "done", "on", "heard", "gone") == ["a1", "a2"]
    assert silent("heard") == [], "no worker that has none of the tasks"
    scheduler.workers["a2"].nanny = None
    assert silent("done", "on") == ["a1"], "nobody could start a worker without a nanny anew"
