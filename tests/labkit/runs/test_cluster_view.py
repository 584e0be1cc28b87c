"""What a map of the cluster shows: states, loads, links, and workers that are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.plan import Plan
from labkit.runs.cluster_view import ClusterView, bytes_of_a_step, cluster_view, meets
from labkit.runs.record import Load, RunRecord, Span

Make = Callable[..., RunRecord]


def make_workers(count: int, num_hosts: int = 1) -> list[dict[str, Any]]:
    """Workers of which as many share a host."""
    return [
        {"name": n, "host": f"h{n * num_hosts // count}", "device": "CPU", "address": f"a{n}"}
        for n in range(count)
    ]


def placed(make_run: Make, plan: Plan, num_hosts: int = 1, **more: Any) -> RunRecord:
    """A live run whose rank n is on worker n."""
    workers = make_workers(plan.world_size, num_hosts)
    devices = [{"rank": n, **worker} for n, worker in enumerate(workers)]
    return make_run(plan=plan, devices=devices, **({"status": "running"} | more))


def states(view: ClusterView) -> list[str]:
    return [worker.state for worker in view.workers]


def test_without_a_run_every_worker_is_free() -> None:
    view = cluster_view(make_workers(2))
    assert states(view) == ["free", "free"]
    assert (view.title, view.kind, view.term) == ("no run", "", 0)


def test_ranks_have_their_newest_load_and_one_leads(make_run: Make) -> None:
    leaders = [{"term": 3, "rank": 1, "attempt": 0, "ended": ""}]
    load = [Load(0, 0.5, 0.1, 10), Load(1, 0.5, 0.2, 20), Load(0, 1.0, 0.3, 30)]
    record = placed(make_run, Plan(dp=2), leaders=leaders, load=load)
    view = cluster_view(make_workers(3), record, clock_s=1.0)
    assert states(view) == ["running", "running", "free"]
    assert [worker.busy for worker in view.workers] == [0.3, 0.2, None]
    assert [worker.memory_bytes for worker in view.workers] == [30, 20, 0]
    assert [worker.leads for worker in view.workers] == [False, True, False]
    assert view.term == 3
    assert view.title == "fruit, data on 2: step 3 of 3"


def test_a_failed_rank_is_lost_and_the_others_wait_until_the_run_goes_on(make_run: Make) -> None:
    entry = {"rank": 1, "recovery_s": None, "at_s": 1.0}
    record = placed(make_run, Plan(dp=2), recoveries=[entry], restarts=1)
    assert states(cluster_view(make_workers(2), record)) == ["waiting", "lost"]
    entry["recovery_s"] = 0.5
    view = cluster_view(make_workers(2), record)
    assert states(view) == ["running", "running"]
    assert view.title.endswith(", restart 1")


@pytest.mark.parametrize(
    ("status", "state"), [("done", "done"), ("stopped", "done"), ("failed", "failed")]
)
def test_an_ended_run_is_seen(make_run: Make, status: str, state: str) -> None:
    record = placed(make_run, Plan(dp=2), status=status)
    assert states(cluster_view(make_workers(2), record)) == [state, state]


def test_a_slowed_rank_is_seen_until_it_is_over_or_replaced(make_run: Make) -> None:
    slow = {"what": "slow_rank", "target": 0, "at_s": 2.0, "step": 1, "factor": 4, "seconds": 3.0}
    record = placed(make_run, Plan(dp=2), attacks=[slow])
    assert states(cluster_view(make_workers(2), record, clock_s=4.0)) == ["slowed", "running"]
    assert states(cluster_view(make_workers(2), record, clock_s=5.5)) == ["running", "running"]
    record.recoveries.append({"rank": 1, "recovery_s": 0.5, "at_s": 3.0})
    assert states(cluster_view(make_workers(2), record, clock_s=4.0)) == ["running", "running"]


@pytest.mark.parametrize(("kind", "factor"), [("measured", 10), ("emulated", 1)])
def test_a_real_network_stays_slow_when_its_ranks_are_replaced(
    make_run: Make, kind: str, factor: float
) -> None:
    slow = {"what": "slow_link", "target": "", "at_s": 2.0, "step": 1, "factor": 10, "seconds": 3.0}
    record = placed(make_run, Plan(dp=2), attacks=[slow], kind=kind)
    assert cluster_view(make_workers(2), record, clock_s=4.0).link_factor == 10
    record.recoveries.append({"rank": 1, "recovery_s": 0.5, "at_s": 3.0})
    assert cluster_view(make_workers(2), record, clock_s=4.0).link_factor == factor


def test_a_lost_worker_stays_until_there_are_as_many_again() -> None:
    before = cluster_view(make_workers(3))
    fewer = cluster_view(make_workers(2), before=before)
    assert states(fewer) == ["free", "free", "gone"]
    still = cluster_view(make_workers(2), before=fewer)
    assert states(still) == ["free", "free", "gone"]
    assert states(cluster_view(make_workers(3), before=still)) == ["free", "free", "free"]


def test_bytes_are_told_apart_inside_and_across_hosts(make_run: Make) -> None:
    plan = Plan(dp=2, pp=2, microbatches=2)
    spans = [
        Span(rank, 0, kind, kind, 0.1 * step, 0.01, -1, num_bytes, step)
        for step in range(6)
        for rank in range(4)
        for kind, num_bytes in (("comm_dp", 100), ("comm_pp", 7), ("forward", 0))
    ]
    inside, across = bytes_of_a_step(placed(make_run, plan, num_hosts=2, spans=spans))
    assert (inside, across) == pytest.approx((4 * 7, 4 * 100)), "a replica is inside a host"
    one_host = bytes_of_a_step(placed(make_run, plan, spans=spans))
    assert one_host == pytest.approx((4 * 107, 0))
    behind = [span for span in spans if span.rank < 2 or span.step < 3]
    assert bytes_of_a_step(placed(make_run, plan, spans=behind)) == pytest.approx(one_host)
    assert bytes_of_a_step(placed(make_run, plan, spans=[])) == (0, 0)


def test_who_meets_whom() -> None:
    plan = Plan(dp=2, pp=2, tp=2, microbatches=2).to_dict()
    assert meets(5, "comm_dp", plan) == [1, 5]
    assert meets(5, "comm_tp", plan) == [4, 5]
    assert meets(5, "comm_pp", plan) == [5, 7]
