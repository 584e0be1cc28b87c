"""A scheduler that dies takes its workers along, and what the lab has there; the run says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import labkit
from labkit.errors import ClusterError
from labkit.workload import WORKLOADS

START_S = 90.0
SOON_S = 30.0
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler with two workers, as somebody else starts them; says its address in a file."""
    told = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(told), "--no-dashboard", "--host", "127.0.0.1"]
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler", *common, "--port", "0"]
    scheduler = subprocess.Popen(
        [*module, "--dashboard-address", "127.0.0.1:0"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DASK_TEMPORARY_DIRECTORY": str(tmp_path)},
    )
    module = [sys.executable, "-m", "distributed.cli.dask_worker", *common]
    options = f"--nworkers 2 --nthreads 1 --local-directory {tmp_path}"
    workers = subprocess.Popen([*module, *options.split()], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_S
    while not (told.exists() and told.read_text().endswith("}")):  # whole, not half of it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield scheduler
    for process in (scheduler, workers):
        process.terminate()
        process.wait(SOON_S)


def test_a_lost_scheduler_ends_the_run_and_leaves_nothing(
    scheduler: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
    cluster = labkit.launch(2, address=address, timeout_s=START_S)
    run = labkit.train(DIGITS, labkit.Plan(dp=2), cluster, steps=100_000, evaluate=False)
    while not run.view().steps:
        assert not run.done
        threading.Event().wait(0.01)
    pids = run.rank_pids().values()
    assert len(pids) == 2
    scheduler.kill()
    with pytest.raises(ClusterError, match="the Dask scheduler is gone, and with it run"):
        run.wait(SOON_S)
    view = run.view()
    assert (view.status, view.restarts) == ("failed", 0)
    assert view.steps
    deadline = time.monotonic() + SOON_S
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cluster.close()
    assert cluster.closed
