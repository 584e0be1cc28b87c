"""Clusters: what was chosen and why, on loopback, within a deadline, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dask
import psutil
import pytest
from distributed import Client, LocalCluster

import labkit
from labkit.cluster import launch as launch_module
from labkit.cluster.clear_host import end_processes
from labkit.cluster.cluster import Cluster
from labkit.cluster.devices import Devices
from labkit.cluster.local_workers import LocalWorkers
from labkit.cluster.rank_context import RankContext
from labkit.errors import ClusterError, SettingError


def pid_of(context: RankContext) -> int:
    return os.getpid()


def test_cpu_workers_are_processes_of_one_thread_and_the_reason_is_said(cluster4: Cluster) -> None:
    assert cluster4.kind == "cpu"
    assert cluster4.backend == "gloo"
    assert "so CPU workers share" in cluster4.why
    assert "4 worker processes, one thread each" in cluster4.why
    assert cluster4.num_workers == 4
    assert len({worker["pid"] for worker in cluster4.workers} | {os.getpid()}) == 5
    assert set(cluster4.client.nthreads().values()) == {1}
    assert [worker["name"] for worker in cluster4.workers] == [0, 1, 2, 3]


def test_ranks_allocate_as_any_process_does_and_not_like_workers(cluster4: Cluster) -> None:
    def malloc_settings(context: RankContext) -> set[str]:
        started_with = Path(f"/proc/{os.getppid()}/environ").read_text().split("\0")
        names = {*os.environ, *(entry.partition("=")[0] for entry in started_with)}
        return {name for name in names if name.startswith("MALLOC_")}

    def of_worker() -> set[str]:
        return {name for name in os.environ if name.startswith("MALLOC_")}

    assert all(cluster4.call_workers(of_worker).values())
    assert cluster4.run_ranks(malloc_settings, 2) == [set(), set()]


def test_the_folder_is_private_and_gone_after_the_close() -> None:
    with labkit.launch(1, device="cpu") as cluster:
        assert cluster.folder.stat().st_mode & 0o077 == 0
        assert cluster.run_ranks(pid_of, 1)[0] not in (os.getpid(), cluster.workers[0]["pid"])
        folder = cluster.folder
    assert not folder.exists()
    assert repr(cluster).startswith("<Cluster cpu, closed")
    cluster.close()  # a second close does nothing


@pytest.mark.parametrize(
    ("code", "ended_by"),
    [
        ("print(flush=True); input()", signal.SIGTERM),
        (
            "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); input()",
            signal.SIGKILL,
        ),
    ],
    ids=["asked", "killed"],
)
def test_a_process_is_asked_to_end_and_killed_if_it_does_not(
    code: str, ended_by: signal.Signals
) -> None:
    """Such as a fork server that still imports torch: closing does not wait for that."""
    pipe = subprocess.PIPE
    with psutil.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        end_processes([process], timeout_s=1.0)
        assert process.wait(10) == -ended_by


def test_a_process_that_ends_just_before_it_is_killed_is_no_error() -> None:
    class JustGone:
        pid = 7

        def end(self, *_: float) -> None:
            raise psutil.NoSuchProcess(self.pid)

        def wait(self, timeout_s: float) -> None:
            raise psutil.TimeoutExpired(timeout_s, self.pid)

        terminate = resume = kill = end

    end_processes([JustGone()], timeout_s=0.0)  # type: ignore[list-item]


@pytest.mark.parametrize("num_workers", [0, -1, 2.5])
def test_a_count_that_is_none_is_refused(num_workers: int) -> None:
    with pytest.raises(SettingError, match=r"is not a count; choose a number >= 1"):
        labkit.launch(num_workers)


def test_more_workers_than_memory_holds_are_refused_before_anything_starts() -> None:
    with pytest.raises(SettingError, match=r"num_workers=100000 need about .* choose at most"):
        labkit.launch(100_000, device="cpu")


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SettingError, match=r"device='gpu' but CUDA_VISIBLE_DEVICES='' hides"):
        labkit.launch(1, device="gpu")


def test_a_single_gpu_does_not_stop_a_launch_of_two_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Devices(kind="gpu", names=("A",), indices=("0",), num_cores=2, why="found 1 GPU: A")
    monkeypatch.setattr(launch_module, "find_devices", lambda: one)
    with labkit.launch(2) as cluster:
        assert cluster.kind == "cpu"
        assert cluster.why.startswith("found 1 GPU: A, but ")
        assert {worker["device"] for worker in cluster.workers} == {"CPU"}


@pytest.mark.parametrize(
    ("at_start", "timeout_s", "cause"),
    [
        (
            "raise RuntimeError('this worker was told to fail')",
            60.0,
            "this worker was told to fail",
        ),
        ("import time; time.sleep(600)", 2.0, "start timed out after 2"),
    ],
    ids=["fail", "hang"],
)
def test_workers_that_never_come_are_an_error_with_logs_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_start: str, timeout_s: float, cause: str
) -> None:
    preload = tmp_path / "broken_preload.py"
    preload.write_text(at_start)

    class Broken(LocalWorkers):
        def __init__(self, **settings: object) -> None:
            super().__init__(preload=[str(preload)], **settings)

    monkeypatch.setattr("labkit.cluster.local_workers.LocalWorkers", Broken)
    within = rf"2 cpu workers did not start within {timeout_s:.0f} s"
    with pytest.raises(ClusterError, match=within) as error:
        labkit.launch(2, device="cpu", timeout_s=timeout_s)
    assert "everything was closed again" in str(error.value)
    assert cause in str(error.value)


def test_workers_that_end_as_soon_as_they_have_come_are_an_error_with_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs = {"worker 1": "it ran out of paper"}
    started = SimpleNamespace(status=SimpleNamespace(name="running"), get_logs=lambda: logs)
    client = SimpleNamespace(wait_for_workers=lambda *_, **__: None, close=lambda: None)
    closed: list[object] = []
    monkeypatch.setattr(
        "labkit.cluster.local_workers.start_local_workers", lambda *_, **__: started
    )
    monkeypatch.setattr("distributed.Client", lambda *_, **__: client)
    monkeypatch.setattr(launch_module, "worker_addresses", lambda client: ["tls://127.0.0.1:1"])
    monkeypatch.setattr(launch_module, "close_owned", closed.append)
    within = r"2 cpu workers did not start within 60 s \(ClusterError: 1 of 2 workers are there\)"
    with pytest.raises(ClusterError, match=within) as error:
        labkit.launch(2, device="cpu")
    assert str(error.value).endswith("--- worker 1\nit ran out of paper")
    assert closed == [started]


@pytest.fixture
def foreign_scheduler(tmp_path: Path) -> Iterator[LocalCluster]:
    """Somebody else's cluster of two workers."""
    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        yield cluster


def test_an_existing_cluster_is_used_and_left_as_it_was(foreign_scheduler: LocalCluster) -> None:
    address = foreign_scheduler.scheduler_address
    with labkit.launch(2, address=address) as cluster:
        assert cluster.kind == "existing"
        assert address in cluster.why
        pids = cluster.run_ranks(pid_of, 2)
        assert len(set(pids)) == 2
        assert cluster.folder.exists()
    with Client(foreign_scheduler, set_as_default=False) as client:
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2
        assert client.submit(lambda: 7).result(10) == 7


def test_a_client_that_is_killed_leaves_nothing_on_an_existing_cluster(
    foreign_scheduler: LocalCluster,
) -> None:
    child = _start_child(f"labkit.launch(2, address={foreign_scheduler.scheduler_address!r})")
    child.kill()
    child.communicate(timeout=10)
    # That nothing of it stays is asserted by the check around every test.
    with Client(foreign_scheduler, set_as_default=False) as client:
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with pytest.raises(SettingError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        labkit.launch(1, address="tcp://127.0.0.1:9", timeout_s=1.0)


def test_an_existing_cluster_with_too_few_workers_is_refused(
    foreign_scheduler: LocalCluster,
) -> None:
    with pytest.raises(ClusterError, match=r"has 2 workers, not 5, after 1 s"):
        labkit.launch(5, address=foreign_scheduler.scheduler_address, timeout_s=1.0)


def test_a_script_without_a_main_guard_fails_at_once_and_is_told_why(tmp_path: Path) -> None:
    script = tmp_path / "no_guard.py"
    script.write_text("import labkit\nlabkit.launch(2, device='cpu')\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "2 cpu workers did not start" in last
    assert "put what it does below if __name__ == '__main__':" in last


CHILD = """
import sys, threading
import labkit

def hang(context):
    threading.Event().wait()

if __name__ == "__main__":
    cluster = {launch}
    gang = cluster.start_ranks(hang, 2)
    with gang.changed:
        assert gang.changed.wait_for(lambda: gang.status == "running", 60)
    try:
        print("ready", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print(gang.status, flush=True)
        gang.stop()
        cluster.close()
"""


def _start_child(launch: str) -> subprocess.Popen[str]:
    """A process of its own that has ranks running on a cluster."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(launch=launch)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_killed_notebook_process_leaves_nothing() -> None:
    child = _start_child('labkit.launch(2, device="cpu")')
    started = [p.pid for p in psutil.Process(child.pid).children(recursive=True)]
    assert len(started) >= 3
    child.kill()
    child.communicate(timeout=10)
    # That nothing of it stays is asserted by the check around every test.
    assert not psutil.pid_exists(child.pid)


def test_an_interrupt_of_the_whole_process_group_does_not_reach_workers_and_ranks() -> None:
    child = _start_child('labkit.launch(2, device="cpu")')
    os.killpg(child.pid, signal.SIGINT)
    output, errors = child.communicate(timeout=30)
    assert output.startswith("running"), errors
    assert child.returncode == 0, errors
