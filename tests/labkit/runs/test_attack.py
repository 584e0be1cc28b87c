"""Attacks on live runs: real ranks are killed and slowed, and the run goes on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.fork_server import NETWORK_FILE
from labkit.errors import ClusterError, SettingError
from labkit.runs.attack import (
    kill_leader,
    kill_rank,
    kill_worker,
    leader_of,
    slow_link,
    slow_rank,
    why_no_slow_link,
)
from labkit.runs.attack_story import tell
from labkit.runs.cluster_view import bytes_of_a_step
from labkit.runs.record import RunRecord
from labkit.runs.run import Run
from labkit.workload import WORKLOADS

SOON_S = 120.0
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)
MANY = 100_000  # steps: the tests stop their runs


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(left_behind_since: Callable[[], Callable[[], str]]) -> Iterator[None]:
    """As for every test, but once the cluster is closed: what replaces a lost part of it stays."""
    what_is_left = left_behind_since()
    yield
    assert not (left := what_is_left()), f"left behind: {left}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two workers."""
    with labkit.launch(2, device="cpu") as cluster:
        yield cluster


def start(cluster: Cluster, emulate: str | None = None) -> Run:
    """A live run of two ranks that has done some steps and has a leader.

    An emulated one sleeps between its steps, which leaves the cores to who attacks.
    """
    plan = labkit.Plan(dp=2)
    scale = 4.0 if emulate else None
    run = labkit.train(
        DIGITS, plan, cluster, steps=MANY, evaluate=False, emulate=emulate, time_scale=scale
    )
    wait_until(lambda: len(run.view().steps) > 3 and leader_of(run) is not None, run)
    return run


def wait_until(happened: Callable[[], bool], run: Run) -> None:
    """Wait for something that happens while a run is live."""
    deadline = time.monotonic() + SOON_S
    while not happened():
        assert time.monotonic() < deadline, run
        assert not run.done, run
        threading.Event().wait(0.01)


def went_on(run: Run, times: int) -> Callable[[], bool]:
    """Whether a run has gone on so often."""

    def look() -> bool:
        recoveries = run.view().recoveries
        return len(recoveries) == times and recoveries[-1]["recovery_s"] is not None

    return look


def test_a_run_goes_on_after_its_leader_a_rank_and_a_worker_were_killed(cluster: Cluster) -> None:
    run = start(cluster, emulate="demo")
    leader = leader_of(run)
    assert kill_leader(run)["target"] == leader
    wait_until(went_on(run, 1), run)
    kill_rank(run, 1)
    wait_until(went_on(run, 2), run)
    assert kill_worker(run, "1")["what"] == "kill_worker"
    wait_until(went_on(run, 3), run)
    run.stop()
    record = run.wait(SOON_S)
    assert [a["what"] for a in record.attacks] == ["kill_leader", "kill_rank", "kill_worker"]
    assert [r["rank"] for r in record.recoveries[:2]] == [leader, 1]
    assert record.recoveries[2]["cause"] == "worker_lost"
    assert record.to_json()["attacks"] == record.attacks
    story = tell(record)
    assert len(story) == 3, "each attack and what followed from it are one sentence"
    assert re.search(rf"you killed rank {leader}, the leader\. Noticed after \d+\.", story[0])
    assert f"rank {1 - leader} elected for term 2" in story[0]
    assert "going on after" in story[2]
    with pytest.raises(ClusterError, match=rf"run {run.run} is over; start another one"):
        kill_rank(run, 0)
    cluster.client.wait_for_workers(2, timeout=SOON_S)


def test_a_slowed_rank_slows_the_run_and_is_not_taken_to_be_suspended(cluster: Cluster) -> None:
    run = start(cluster)
    wait_until(lambda: len(run.view().steps) > 10, run)
    before = median(step.seconds for step in run.view().steps[2:])
    attack = slow_rank(run, 1, factor=8, seconds=4)
    with pytest.raises(ClusterError, match="rank 1 was left alone: it is slowed already"):
        slow_rank(run, 1)
    wait_until(lambda: run.clock_s > attack["at_s"] + 4, run)
    slowed = [s for s in run.view().steps if attack["at_s"] + 0.5 < s.end_s < attack["at_s"] + 4]
    assert median(step.seconds for step in slowed) > 1.5 * before
    since = len(run.view().steps)
    wait_until(lambda: len(run.view().steps) > since + 5, run)
    run.stop()
    record = run.wait(SOON_S)
    assert (record.status, record.restarts) == ("stopped", 0)
    assert "you slowed rank 1 8 times for 4 s. A step took" in tell(record)[0]


def test_the_network_of_real_ranks_can_be_slowed_where_it_is_their_own(cluster: Cluster) -> None:
    run = start(cluster)
    # Spans, which say how many bytes a step sends, come once a second.
    wait_until(lambda: len(run.view().steps) > 10 and sum(bytes_of_a_step(run.view())) > 0, run)
    if obstacle := (cluster.folder / NETWORK_FILE).read_text():
        assert obstacle in why_no_slow_link(run)
        with pytest.raises(ClusterError, match=r"own loopback .*; emulate a device"):
            slow_link(run)
        run.stop()
        run.wait(SOON_S)
        pytest.skip(f"this kernel lets ranks have no network of their own: {obstacle}")
    attack = slow_link(run, factor=8, seconds=4)
    with pytest.raises(ClusterError, match="the links are slowed already"):
        slow_link(run)
    end_s = attack["at_s"] + 4
    wait_until(lambda: run.view().steps[-1].end_s > end_s, run)  # steps are told some at a time
    before = median(s.seconds for s in run.view().steps[2:] if s.step < attack["step"])
    slowed = [s for s in run.view().steps if attack["at_s"] + 0.5 < s.end_s < end_s]
    assert median(step.seconds for step in slowed) > 2 * before
    since = len(run.view().steps)
    wait_until(lambda: len(run.view().steps) > since + 10, run)
    # The fastest, since other processes may have begun to compute meanwhile.
    assert min(step.seconds for step in run.view().steps[-10:]) < 2 * before, "it is over"
    run.stop()
    record = run.wait(SOON_S)
    assert (record.status, record.restarts) == ("stopped", 0)
    assert "you slowed the links 8 times for 4 s, to " in tell(record)[0]


def test_why_links_cannot_be_slowed(tmp_path: Path) -> None:
    def run(kind: str, dp: int, emulation: object = None) -> Any:
        job = SimpleNamespace(plan=labkit.Plan(dp=dp), emulation=emulation)
        cluster = SimpleNamespace(kind=kind, folder=tmp_path, backend="gloo")
        return SimpleNamespace(job=job, cluster=cluster)

    assert why_no_slow_link(run("cpu", 1)) == "a single rank sends nothing"
    assert why_no_slow_link(run("existing", 2, emulation="demo")) == ""
    assert "not the lab's; emulate a device" in why_no_slow_link(run("existing", 2))
    assert "there is no fork server" in why_no_slow_link(run("cpu", 2))
    (tmp_path / NETWORK_FILE).write_text("the kernel forbids it")
    assert "(the kernel forbids it); emulate a device" in why_no_slow_link(run("cpu", 2))
    (tmp_path / NETWORK_FILE).write_text("")
    assert why_no_slow_link(run("cpu", 2)) == ""


def test_an_attack_that_no_rank_heard_of_is_not_kept() -> None:
    record = RunRecord(
        run="r", workload={}, plan={}, strategy="data", world_size=2, planned_steps=9
    )
    noted: list[object] = []
    run: Any = SimpleNamespace(
        run="r",
        done=False,
        status="running",
        clock_s=1.0,
        view=lambda: record,
        note_attack=noted.append,
        job=SimpleNamespace(plan=labkit.Plan(dp=2), emulation="demo"),
        gang=SimpleNamespace(hang=None, tell_ranks=lambda command: False),
    )
    with pytest.raises(ClusterError, match="the links were left alone: a worker does not answer"):
        slow_link(run)
    assert noted == []


def test_declared_links_can_be_slowed(cluster: Cluster) -> None:
    run = start(cluster, emulate="demo")
    before = run.view().steps[-1].seconds
    attack = slow_link(run, factor=100, seconds=60)
    wait_until(lambda: len(run.view().steps) > attack["step"] + 4, run)
    run.stop()
    record = run.wait(SOON_S)
    assert record.steps[-1].seconds > 1.1 * before
    assert record.emulation["lateness"] < 0.5, "the declared time grew, and was kept"
    assert "you slowed the links 100 times" in tell(record)[0]


def test_what_cannot_be_attacked_is_refused(cluster: Cluster) -> None:
    run = start(cluster, emulate="demo")
    with pytest.raises(SettingError, match=r"has no rank 2; choose 0 to 1"):
        kill_rank(run, 2)
    with pytest.raises(SettingError, match=r"there is no worker 'x'; choose from 0, 1"):
        kill_worker(run, "x")
    with pytest.raises(SettingError, match=r"factor=20 is out of range; choose 1.5 to 10"):
        slow_rank(run, 0, factor=20)
    with pytest.raises(SettingError, match=r"seconds=0 is out of range; choose more than 0"):
        slow_rank(run, 0, seconds=0)
    with pytest.raises(SettingError, match=r"factor=1 is out of range; choose 1.5 to 100"):
        slow_link(run, factor=1)
    assert run.view().attacks == []
    run.stop()
    assert run.wait(SOON_S).restarts == 0
