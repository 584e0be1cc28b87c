"""Runs of other clients of a scheduler are found, followed and stopped, however they end."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_tasks import prepare, rank_pid
from labkit.errors import ClusterError, RunStopped, SettingError
from labkit.runs import follow as follow_module
from labkit.runs.posting import unpack
from labkit.runs.store import RunStore
from labkit.workload import WORKLOADS

LABKIT = str(Path(sys.executable).with_name("labkit"))
START_S = 120.0
SOON_S = 30.0
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)
LONG = 1_000_000
MANY = 1_000


@pytest.fixture(scope="module")
def address(foreign_dask: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Somebody's scheduler with two workers."""
    with foreign_dask(tmp_path_factory.mktemp("dask")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def owner(address: str) -> Iterator[Cluster]:
    """The notebook whose runs are followed; its data and its rendezvous stores are there."""
    with labkit.launch(2, address=address, timeout_s=START_S) as cluster:
        start(cluster, steps=1).wait(START_S)
        cluster.client.run(prepare, cluster.plugin_name, "warm", b"", True)
        yield cluster


def wait_until(condition: Callable[[], object], timeout_s: float = SOON_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def start(owner: Cluster, *, dp: int = 2, steps: int = LONG, queue_s: float = 0.0) -> labkit.Run:
    """A run; a long one is emulated, so that its ranks sleep between their steps."""
    plan = labkit.Plan(dp=dp)
    emulated: dict[str, Any] = {"emulate": "demo", "time_scale": 2.0} if steps > MANY else {}
    return labkit.train(
        DIGITS, plan, owner, steps=steps, evaluate=False, queue_s=queue_s, **emulated
    )


def end(run: labkit.Run) -> labkit.RunRecord:
    """Stop a run; on a busy machine its ranks may be ended before they have heard of it."""
    run.stop()
    with contextlib.suppress(RunStopped):
        run.wait(SOON_S)
    return run.view()


def train_elsewhere(address: str, folder: Path, options: str) -> subprocess.Popen[bytes]:
    """A run of a client that is a process of its own, once it has a checkpoint."""
    command = (
        f"{LABKIT} train --workload digits --global-batch 64 --dp 2 --steps {LONG} "
        f"--address {address} {options}"
    )
    with (folder / "log").open("w") as log:
        client = subprocess.Popen(command.split(), cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(
            lambda: client.poll() is not None or [*folder.glob("runs/*/checkpoints/step-?????0")],
            START_S,
        )
        assert client.poll() is None, (folder / "log").read_text()
    except BaseException:
        client.kill()
        client.wait(SOON_S)
        raise
    return client


def test_a_follower_sees_what_the_owner_sees(owner: Cluster, address: str) -> None:
    run = start(owner, steps=40)
    with labkit.follow(address, run.run) as followed:
        record = followed.wait(SOON_S)
        assert (followed.done, followed.status) == (True, "done")
        assert followed.missing_steps == 0
    own = run.wait(SOON_S)
    assert record.to_json() == own.to_json()
    assert record.spans, "from the ranks' events"
    assert labkit.runs_on(address) == []
    late = labkit.follow(owner, run.run)
    assert late.wait(SOON_S).losses == own.losses, "also of one that has ended lately"


def test_live_and_waiting_runs_of_all_clients_are_listed_and_stopped(
    owner: Cluster, address: str
) -> None:
    run = start(owner)
    wait_until(lambda: run.view().steps)
    with labkit.launch(2, address=address, timeout_s=START_S) as other:
        other.datasets, other.profiles = owner.datasets, owner.profiles
        waiting = start(other, queue_s=SOON_S)
        wait_until(lambda: waiting.view().queue_position == 1)
        wait_until(lambda: labkit.runs_on(address)[0].step > 0)
        first, second = labkit.runs_on(address)
        assert (first.run, first.status, first.position) == (run.run, "running", 0)
        assert (second.run, second.status, second.position) == (waiting.run, "waiting", 1)
        assert (first.workload, first.strategy, first.world_size) == ("digits", "data", 2)
        assert (first.pid, first.planned_steps) == (os.getpid(), LONG)
        assert sorted(first.workers) == sorted(owner.alive_workers())
        assert not second.workers
        assert [each.run for each in labkit.runs_on(other)] == [run.run, waiting.run]
        with labkit.follow(owner, waiting.run) as followed:
            assert followed.view().queue_position == 1
            assert followed.status == "starting"
            followed.stop()
            assert followed.wait(SOON_S).status == "stopped"
        with pytest.raises(RunStopped):
            waiting.wait(SOON_S)
        assert waiting.view().status == waiting.status == "stopped"
    with labkit.follow(address, run.run) as followed:
        wait_until(lambda: len(followed.view().devices) == 2)
        followed.stop()
        seen = followed.wait(SOON_S)
    record = end(run)
    assert seen.status == record.status == run.status == "stopped"
    assert seen.losses[-1] == record.losses[-1]
    assert len(record.steps) < LONG


def test_an_unknown_run_is_an_error_that_names_those_that_are_there(
    owner: Cluster, address: str
) -> None:
    with pytest.raises(SettingError, match="run 'nothing' is not on this scheduler; no run is"):
        labkit.follow(address, "nothing")
    run = start(owner)
    with pytest.raises(SettingError, match=f"is not on this scheduler; choose from {run.run}"):
        labkit.follow(owner, "nothing")
    with pytest.raises(SettingError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        labkit.runs_on("tcp://127.0.0.1:9")
    with labkit.follow(owner, run.run[:-1]) as followed:
        assert followed.run == run.run
    end(run)


def test_a_follower_that_goes_disturbs_nothing(owner: Cluster, address: str) -> None:
    run = start(owner)
    followed = labkit.follow(owner, run.run)
    wait_until(lambda: followed.view().steps)
    with pytest.raises(TimeoutError, match=r"has not ended within 0.1 s; it goes on"):
        followed.wait(0.1)
    followed.close()
    with pytest.raises(ClusterError, match="is not followed any more; it goes on"):
        followed.wait(SOON_S)
    known = len(run.view().steps)
    wait_until(lambda: len(run.view().steps) > known)
    assert end(run).status == "stopped"


def test_who_comes_late_is_told_what_the_scheduler_still_knows(
    owner: Cluster, address: str
) -> None:
    run = start(owner)
    wait_until(lambda: len(run.view().steps) > 10)
    owner.client.run_on_scheduler(forget_events, owner.topic)
    with labkit.follow(address, run.run) as followed:
        wait_until(lambda: followed.view().steps)
        assert followed.missing_steps > 10
        newest = followed.view().steps[-1].step
        wait_until(lambda: followed.found.step >= newest)
        own = end(run)
        followed.wait(SOON_S)
        assert followed.missing_steps == max(0, len(own.steps) - len(followed.view().steps))


@pytest.mark.parametrize("packed", [b"", b"no zlib", zlib.compress(b"3"), zlib.compress(b"{}")])
def test_what_is_no_record_is_one_kind_of_error(packed: bytes) -> None:
    with pytest.raises(ValueError, match="no readable record"):
        unpack(packed)


def test_a_run_whose_results_cannot_be_read_ends_for_its_followers_too(
    owner: Cluster, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: labkit.Run, results: object) -> None:
        raise LookupError("a result that is not there")

    monkeypatch.setattr(labkit.Run, "_complete", fail)
    run = start(owner, dp=1, steps=3)
    with labkit.follow(address, run.run) as followed:
        record = followed.wait(SOON_S)
    with pytest.raises(LookupError):
        run.wait(SOON_S)
    assert (record.status, run.view().status) == ("failed", "failed")
    assert "its results cannot be read: LookupError('a result that is not there')" in record.error
    assert run.run not in owner.stop_asked


def test_a_follower_hears_on_when_the_clock_of_the_scheduler_goes_back(
    owner: Cluster, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = start(owner)
    wait_until(lambda: run.view().steps)
    with labkit.follow(address, run.run) as followed:
        owner.client.run_on_scheduler(turn_clock, 3_600.0)
        try:
            known = len(run.view().steps)
            wait_until(lambda: len(followed.view().steps) > known + 10)
            message = {"run": f"{run.run}.9", "rank": 0, "events": pickle.dumps([{"type": "load"}])}
            owner.client.log_event(owner.topic, message)
            wait_until(lambda: "sent events that are not read: 'load'" in caplog.text)
            own = end(run)
            record = followed.wait(SOON_S)
        finally:
            owner.client.run_on_scheduler(turn_clock, 0.0)
            end(run)
    assert [step.step for step in record.steps] == [*range(len(own.steps))]


def turn_clock(back_s: float, dask_scheduler: Any) -> None:
    from distributed import broker

    broker.time = lambda: time.time() - back_s  # type: ignore[assignment]


def forget_events(topic: str, dask_scheduler: Any) -> None:
    dask_scheduler._broker.truncate(topic)


@pytest.mark.parametrize("waits_for", ["data", "profile"])
def test_a_run_that_is_still_being_prepared_is_listed_with_its_place_and_can_be_stopped(
    owner: Cluster, address: str, waits_for: str
) -> None:
    """A client that comes to a busy cluster has its data to prepare first, and waits with them."""
    run = start(owner)
    wait_until(lambda: run.view().steps)
    with (
        labkit.launch(2, address=address, timeout_s=START_S) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        if waits_for == "profile":
            other.datasets = owner.datasets
        started = threads.submit(start, other, queue_s=2 * SOON_S)
        wait_until(lambda: [each for each in labkit.runs_on(owner) if each.position == 1])
        _, waiting = labkit.runs_on(address)
        assert waiting.status == "waiting"
        with labkit.follow(address, waiting.run) as followed:
            followed.stop()
            assert followed.wait(SOON_S).status == "stopped"
        with pytest.raises(RunStopped):
            started.result(SOON_S)
    end(run)


def test_a_follower_goes_back_with_a_run_that_recovers(owner: Cluster, address: str) -> None:
    run = start(owner, steps=20_000)
    with labkit.follow(address, run.run) as followed:
        wait_until(lambda: len(run.view().steps) > 10)
        os.kill(run.rank_pids()[1], signal.SIGKILL)
        wait_until(lambda: followed.view().restarts == 1, START_S)
        wait_until(lambda: followed.found.status == "running")
        assert len(followed.view().recoveries) == 1
        wait_until(lambda: followed.view().steps and run.view().recoveries[0]["recovery_s"])
        own = end(run)
        record = followed.wait(SOON_S)
    assert [step.step for step in record.steps] == [*range(len(record.steps))]
    assert record.losses == own.losses
    assert record.recoveries == own.recoveries


def test_a_run_whose_client_is_killed_ends_for_all_and_can_be_resumed(
    owner: Cluster, address: str, tmp_path: Path
) -> None:
    client = train_elsewhere(address, tmp_path, "--checkpoint-every 10")
    (found,) = labkit.runs_on(owner)
    assert found.pid == client.pid
    pids = owner.client.run(rank_pid, found.topic, found.gang, workers=list(found.workers))
    assert len(pids) == 2
    waiting = start(owner, steps=3, queue_s=START_S)
    wait_until(lambda: waiting.view().queue_position == 1)
    with labkit.follow(owner, found.run) as followed:
        wait_until(lambda: followed.view().steps)
        client.kill()
        client.wait(SOON_S)
        record = followed.wait(SOON_S)
    assert (record.status, followed.status) == ("failed", "failed")
    assert f"the client that owned run {found.run} was lost (process {client.pid}" in record.error
    assert record.losses
    assert waiting.wait(SOON_S).status == "done", "its workers are free for the next in the line"
    wait_until(lambda: not any(map(psutil.pid_exists, pids.values())))
    (entry,) = RunStore(tmp_path / "runs").list()
    step = int(entry.damage.rpartition(" ")[2])
    command = f"train --resume {entry.run} --steps {step + 2} --address {address}"
    done = subprocess.run(
        [LABKIT, *command.split()], cwd=tmp_path, timeout=START_S, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2" in done.stdout


def test_a_run_whose_client_is_suspended_can_be_stopped(
    owner: Cluster, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(follow_module, "ANSWER_S", 1.0)
    client = train_elsewhere(address, tmp_path, "--checkpoint-every 10 --json")
    try:
        (found,) = labkit.runs_on(owner)
        client.send_signal(signal.SIGSTOP)
        with labkit.follow(owner, found.run) as followed, caplog.at_level(logging.WARNING):
            followed.stop()
            record = followed.wait(SOON_S)
        assert record.status == "stopped"
        assert "its owner did not answer" in record.error
        assert "does not answer; its ranks are told" in caplog.text
        assert start(owner, steps=1).wait(SOON_S).status == "done", "its workers are free"
    finally:
        client.send_signal(signal.SIGCONT)
        assert client.wait(SOON_S) == 0, (tmp_path / "log").read_text()
    assert '"status": "stopped"' in (tmp_path / "log").read_text()


def test_followers_are_told_when_the_scheduler_dies(foreign_dask: Any, tmp_path: Path) -> None:
    with foreign_dask(tmp_path) as (scheduler, address):
        cluster = labkit.launch(2, address=address, timeout_s=START_S)
        run = start(cluster)
        followed = labkit.follow(address, run.run)
        wait_until(lambda: followed.view().steps)
        scheduler.kill()
        record = followed.wait(SOON_S)
        assert record.status == "failed"
        assert "the Dask scheduler is gone, and with it run" in record.error
        with pytest.raises(ClusterError):
            run.wait(SOON_S)
        cluster.close()


def test_a_labs_own_cluster_tells_those_who_have_its_certificate(cluster4: Cluster) -> None:
    run = start(cluster4, steps=5)
    assert cluster4.client.scheduler is not None
    address, certificate = cluster4.client.scheduler.address, cluster4.folder / "tls.pem"
    with labkit.follow(address, run.run, security=certificate) as followed:
        losses = followed.wait(SOON_S).losses
    with labkit.follow(cluster4, run.run) as followed:
        assert followed.wait(SOON_S).losses == losses == run.losses
    with pytest.raises(SettingError, match="speaks TLS, but"):
        labkit.runs_on(address)


def test_the_board_forgets_all_but_the_newest_ended_runs(owner: Cluster) -> None:
    from labkit.cluster.run_board import MOST_ENDED
    from labkit.runs.found import all_runs

    runs = [start(owner, dp=1, steps=1).wait(SOON_S).run for _ in range(MOST_ENDED + 1)]
    assert [found.run for found in all_runs(owner.client)] == runs[1:]
