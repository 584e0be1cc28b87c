"""The board of a scheduler: which runs it keeps, in which order, and what it counts."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cluster.posted_run import PostedRun
from labkit.cluster.run_board import MOST_ENDED, conclude, find_runs, look, post


@pytest.fixture
def scheduler() -> Any:
    """What the board and the desk ask of a scheduler; it has no workers."""
    events: list[tuple[float, Any]] = []
    return SimpleNamespace(
        extensions={}, clients={"a", "b"}, workers={}, events=events,
        get_events=lambda topic: tuple(events),
    )  # fmt: skip


def a_run(run: str, since_s: float, **values: Any) -> PostedRun:
    plain: dict[str, Any] = {
        "run": run, "since_s": since_s, "client": "a", "topic": "t", "host": "h", "pid": 1,
        "user": "u", "kind": "measured", "workload": "digits", "strategy": "data",
        "world_size": 2, "planned_steps": 100, "start_step": 0, "restarts": 0, "prepared": True,
    }  # fmt: skip
    return PostedRun(**plain | values)


def sent(run: str, events: object, rank: Any = 0) -> dict[str, Any]:
    return {"run": f"{run}.0", "rank": rank, "events": pickle.dumps(events)}


def names(scheduler: Any) -> list[str]:
    return [found.run for found in find_runs(dask_scheduler=scheduler)]


def test_a_long_run_is_still_known_when_shorter_ones_began_and_ended_meanwhile(
    scheduler: Any,
) -> None:
    post(a_run("long", 0.0), dask_scheduler=scheduler)
    shorter = [f"short-{number}" for number in range(MOST_ENDED)]
    for since_s, name in enumerate(shorter, start=1):
        post(a_run(name, since_s), dask_scheduler=scheduler)
        post(a_run(name, since_s, status="done"), dask_scheduler=scheduler)
    post(a_run("long", 0.0, status="done"), dask_scheduler=scheduler)
    assert names(scheduler) == ["long", *shorter[1:]], "by their beginning; who ended first went"


@pytest.mark.parametrize("ends", ["concluded", "lost"])
def test_a_long_run_whose_owner_does_not_say_its_end_is_kept_too(scheduler: Any, ends: str) -> None:
    post(a_run("long", 0.0, client="b"), dask_scheduler=scheduler)
    for number in range(MOST_ENDED):
        post(a_run(f"short-{number}", number, status="done"), dask_scheduler=scheduler)
    if ends == "lost":
        scheduler.clients.remove("b")
    else:
        conclude("long", "stopped", "by another", dask_scheduler=scheduler)
    post(a_run("next", 99.0, status="done"), dask_scheduler=scheduler)
    assert names(scheduler)[0] == "long"


def test_what_the_scheduler_reads_late_does_not_open_an_ended_run_again(scheduler: Any) -> None:
    post(a_run("r", 0.0, status="done"), dask_scheduler=scheduler)
    post(a_run("r", 0.0), dask_scheduler=scheduler)
    (found,) = find_runs(dask_scheduler=scheduler)
    assert found.status == "done"
    post(a_run("r", 0.0, status="failed"), dask_scheduler=scheduler)
    (found,) = find_runs(dask_scheduler=scheduler)
    assert found.status == "failed"


def test_a_client_that_sends_something_else_spoils_its_own_count_only(scheduler: Any) -> None:
    for number, name in enumerate(("other", "known")):
        post(a_run(name, number), dask_scheduler=scheduler)
    scheduler.events += [
        (1.0, sent("known", [{"type": "steps", "steps": [(6, 0.5, 64, 0.1, 2.0)]}])),
        (2.0, {"run": "other.0", "rank": 0, "events": b"\x80\x05]"}),
        (3.0, sent("other", [{"kind": "steps"}])),
        (4.0, sent("other", 3)),
        (5.0, {"events": b"", "run": "other"}),
        (6.0, {"events": b""}),
        (7.0, "other"),
    ]
    steps = {found.run: found.step for found in find_runs(dask_scheduler=scheduler)}
    assert steps == {"other": 0, "known": 7}


def test_steps_are_counted_also_when_the_clock_of_the_scheduler_goes_back(scheduler: Any) -> None:
    post(a_run("r", 0.0), dask_scheduler=scheduler)
    for at_s, step in ((2e9, 3), (1e9, 8), (5e8, 9)):
        scheduler.events.append((at_s, sent("r", [{"type": "steps", "steps": [(step, 0.5)]}])))
        answer = look("r", dask_scheduler=scheduler)
        assert answer is not None
        assert answer[0].step == step + 1
