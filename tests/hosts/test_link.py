"""The link between two hosts: cut for a moment, cut for good, restored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dask_on_hosts import start_workers
from namespaces import Host, Network

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.gang import Gang
from labkit.cluster.rank_context import RankContext
from labkit.errors import RankFailed
from labkit.runs.run import Run

TIMEOUT_S = 600  # with the wait for browsers
pytestmark = pytest.mark.timeout(TIMEOUT_S)

BLIP_S = 1.5
NOTICED_S = 60.0  # Dask gives up a connection after 12 s here, 30 s by default


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(left_behind_since: Callable[[], Callable[[], str]]) -> Iterator[None]:
    """As for every test, but once the hosts are gone: what replaces a lost part of them stays."""
    what_is_left = left_behind_since()
    yield
    assert not (left := what_is_left()), f"left behind: {left}"


def count_together(context: RankContext, most: int) -> int:
    """All_reduce again and again, and tell of it; how often."""
    import torch
    import torch.distributed as dist

    done = 0
    while done < most and not context.stop_requested:
        dist.all_reduce(torch.ones(8))
        time.sleep(0.02)
        done += 1
        context.emit({"type": "count", "count": done})
    return done


@pytest.fixture
def counts() -> dict[int, int]:
    """How far each rank has told that it is."""
    return {}


def start_counting(cluster: Cluster, counts: dict[int, int], most: int) -> Gang:
    """A gang on both hosts of which every rank has counted."""
    all_there = threading.Event()

    def note(rank: int, event: dict[str, Any]) -> None:
        counts[rank] = event["count"]
        if len(counts) == 4:
            all_there.set()

    gang = cluster.start_ranks(count_together, 4, (most,), on_event=note)
    assert all_there.wait(NOTICED_S)
    return gang


def test_ranks_go_on_after_a_link_was_away_for_a_moment(
    cluster: Cluster, network: Network, counts: dict[int, int]
) -> None:
    gang = start_counting(cluster, counts, most=150)
    network.hosts[1].cut()
    try:
        time.sleep(BLIP_S)  # this is how long the link is away: nothing to wait for
    finally:
        network.hosts[1].restore()
    assert gang.wait(NOTICED_S) == [150] * 4


def test_a_cut_link_ends_the_run_with_its_reason_and_the_next_one_works(
    cluster: Cluster, network: Network, address: str, counts: dict[int, int]
) -> None:
    near, far = network.hosts
    gang = start_counting(cluster, counts, most=10**9)
    assert ours(far), "its fork server and its ranks"
    far.cut()
    with pytest.raises(RankFailed, match=rf"rank [23] (died|hung): .*its worker .*{far.address}"):
        gang.wait(NOTICED_S)
    assert len(cluster.run_ranks(count_together, 2, 3)) == 2, "the near host is still of use"
    wait_until(lambda: not ours(far))  # what nobody can reach ends by itself
    far.restore()
    # Dask's workers come back, or have given up as well, which takes them a while.
    wait_until(lambda: cluster.num_workers == 4 or far.processes[-1].poll() is not None)
    if cluster.num_workers < 4:
        start_workers(network, 1, address, 2)
    cluster.client.wait_for_workers(4, timeout=NOTICED_S)
    assert cluster.run_ranks(count_together, 4, 3) == [3] * 4
    hosts = {worker["host"] for worker in cluster.workers}
    assert hosts == {near.name, far.name}


def ours(host: Host) -> list[str]:
    """Fork server, ranks and stores on a host; they all have the fork server's command line."""
    return [command for command in host.processes_inside() if "fork_server" in command]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + NOTICED_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_training_goes_on_by_itself_once_the_link_is_back(
    cluster: Cluster, network: Network, address: str
) -> None:
    """Ranks that hear nothing any more hang; that is noticed, and fresh ones begin again."""
    far = network.hosts[1]
    plan = labkit.Plan(dp=2, pp=2)
    losses = labkit.train("digits", None, cluster, steps=40, evaluate=False).losses
    run = labkit.train("digits", plan, cluster, steps=40, evaluate=False)
    wait_until(lambda: len(run.view().steps) > 2)
    far.cut()
    wait_until(lambda: run.done or run.view().restarts > 0)
    far.restore()
    wait_until(lambda: run.done or far.processes[-1].poll() is not None or is_back(run))
    if not run.done and far.processes[-1].poll() is not None:
        start_workers(network, 1, address, 2)
    record = run.wait(2 * NOTICED_S)
    assert record.status == "done"
    assert record.restarts >= 1
    assert record.recoveries[0]["cause"] in ("hung", "worker_lost", "peers_lost")
    assert record.losses == pytest.approx(losses, abs=1e-5)


def is_back(run: Run) -> bool:
    """Whether a run that was started again does steps."""
    recoveries = run.view().recoveries
    return bool(recoveries) and recoveries[-1]["recovery_s"] is not None
