"""A nanny that is killed takes its worker along, and nobody starts another; the run goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import labkit
from labkit.workload import WORKLOADS

START_S = 90.0
SOON_S = 60.0
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)


@contextmanager
def another_nanny(address: str, folder: Path) -> Iterator[None]:
    """One more worker, whose nanny is a process of its own."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    options = f"--host 127.0.0.1 --nthreads 1 --local-directory {folder}"
    process = subprocess.Popen([*command, *options.split()], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(SOON_S)


def test_a_run_goes_on_without_the_worker_of_a_killed_nanny(
    foreign_dask: Any, tmp_path: Path
) -> None:
    with (
        foreign_dask(tmp_path, 1) as (_, address),
        another_nanny(address, tmp_path),
        labkit.launch(2, address=address, timeout_s=START_S) as cluster,
    ):
        plan = labkit.Plan(dp=2)
        run = labkit.train(
            DIGITS, plan, cluster, steps=100_000, evaluate=False, on_failure="shrink"
        )
        wait_for_steps(run, since=0)
        nanny = psutil.Process(run.view().devices[1]["pid"]).parent()
        assert nanny is not None
        nanny.kill()
        deadline = time.monotonic() + SOON_S
        while not run.view().recoveries:
            assert time.monotonic() < deadline
            assert not run.done
            threading.Event().wait(0.01)
        wait_for_steps(run, since=len(run.view().steps))
        run.stop()
        record = run.wait(SOON_S)
        assert (record.status, record.world_size) == ("stopped", 1)
        (entry,) = record.recoveries
        assert (entry["rank"], entry["cause"]) == (1, "worker_lost")


def wait_for_steps(run: Any, *, since: int) -> None:
    """Wait until a live run has done more steps."""
    deadline = time.monotonic() + SOON_S
    while len(run.view().steps) <= since:
        assert time.monotonic() < deadline
        assert not run.done
        threading.Event().wait(0.01)
