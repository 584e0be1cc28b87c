"""A run whose owner does not answer is stopped in whichever state it is, and stays so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.place_in_line import Request
from labkit.cluster.posted_run import FoundRun, PostedRun
from labkit.cluster.rank_tasks import host_rank, prepare
from labkit.cluster.reservation import release, reserve
from labkit.cluster.run_board import find_runs, post
from labkit.runs import follow as follow_module
from labkit.runs.posting import pack
from labkit.runs.record import RunRecord
from labkit.runs.stop_without_owner import GRACE_S, stop_without_owner
from labkit.workload import WORKLOADS

SOON_S = 30.0


@pytest.fixture
def posted(cluster4: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A run on the board of which its owner says nothing more."""
    run = f"{request.node.name.replace('_', '-')}-run"
    record = RunRecord(
        run=run, workload=WORKLOADS["digits"].to_dict(), plan=labkit.Plan().to_dict(),
        strategy="single", world_size=1, planned_steps=9,
    )  # fmt: skip
    of_nobody = PostedRun(
        run=run, client=cluster4.client.id, topic=cluster4.topic, host="h", pid=1, user="u",
        since_s=0.0, kind="measured", workload="digits", strategy="single", world_size=1,
        planned_steps=9, start_step=0, restarts=0, prepared=True, record=pack(record, 0),
    )  # fmt: skip
    cluster4.client.run_on_scheduler(post, of_nobody)
    yield run
    cluster4.client.run_on_scheduler(post, replace(of_nobody, status="stopped"))
    cluster4.client.run_on_scheduler(release, f"{run}.0")


def found(cluster: Cluster, run: str) -> FoundRun:
    (found,) = [each for each in cluster.client.run_on_scheduler(find_runs) if each.run == run]
    return found


def ask(cluster: Cluster, run: str, num_ranks: int) -> Any:
    request = Request(run=f"{run}.0", client=cluster.client.id, num_ranks=num_ranks)
    return cluster.client.run_on_scheduler(reserve, request)


def test_a_rank_that_has_not_started_yet_is_kept_from_it(cluster4: Cluster, posted: str) -> None:
    (worker,) = ask(cluster4, posted, 1).workers
    gang, client = f"{posted}.0", cluster4.client
    cluster4.call_workers(prepare, cluster4.plugin_name, gang, b"", False, workers=[worker])
    stop_without_owner(client, found(cluster4, posted), 0.0)
    assert found(cluster4, posted).status == "stopped"
    assert not found(cluster4, posted).gang, "its worker is free"
    settings = {"run": gang, "rank": 0}
    late = client.submit(
        host_rank, cluster4.plugin_name, "t", settings, workers=[worker], pure=False
    )
    assert late.result(SOON_S).error == "ended before it started"


def test_a_run_that_is_nowhere_is_taken_off_the_list(
    cluster4: Cluster, posted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose place in the line is void, or whose data its suspended owner was preparing."""
    monkeypatch.setattr(follow_module, "ANSWER_S", 0.1)
    with labkit.follow(cluster4, posted) as followed:
        assert followed.status == "starting"
        followed.stop()
        record = followed.wait(SOON_S)
    assert record.status == "stopped"
    assert "its owner did not answer, so another client took it off the list" in record.error


def test_a_run_is_left_its_place_in_the_line(cluster4: Cluster, posted: str) -> None:
    holder = Request(run="holder", client=cluster4.client.id, num_ranks=4)
    assert cluster4.client.run_on_scheduler(reserve, holder).workers
    try:
        assert ask(cluster4, posted, 1).position == 1
        stop_without_owner(cluster4.client, found(cluster4, posted), GRACE_S)
        assert found(cluster4, posted).status == "waiting"
    finally:
        cluster4.client.run_on_scheduler(release, "holder")


def test_a_run_of_another_version_cannot_be_followed(cluster4: Cluster, posted: str) -> None:
    cluster4.client.run_on_scheduler(damage, posted)
    with pytest.raises(labkit.errors.ClusterError, match="use the same version of labkit"):
        labkit.follow(cluster4, posted)


def damage(run: str, dask_scheduler: Any) -> None:
    entry = dask_scheduler.extensions["labkit-runs"].entries[run]
    entry.posted = replace(entry.posted, record=b"of another version")
