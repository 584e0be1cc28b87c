"""A scheduler that dies takes its workers along, and what the lab has there; the run says so."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import labkit
from labkit.errors import ClusterError
from labkit.workload import WORKLOADS

START_S = 90.0
SOON_S = 30.0
STEPS = 240  # in which a run is longer than the stop
STOPPED_S = 14.0  # longer than it takes until ranks that say nothing are taken to hang
DIGITS = WORKLOADS["digits"].with_settings(global_batch=64)


def test_a_scheduler_that_is_stopped_for_long_makes_no_rank_hang(
    foreign_dask: Any, suspend: Any, tmp_path: Path
) -> None:
    with (
        foreign_dask(tmp_path) as (scheduler, address),
        labkit.launch(2, address=address, timeout_s=START_S) as cluster,
    ):
        plan = labkit.Plan(dp=2)
        calm = labkit.train(DIGITS, plan, cluster, steps=STEPS, evaluate=False).wait(START_S)
        run = labkit.train(
            DIGITS, plan, cluster, steps=STEPS, evaluate=False, emulate="demo", time_scale=3.0
        )  # a step takes 0.08 s
        while not run.view().steps:
            assert not run.done
            threading.Event().wait(0.01)
        process = psutil.Process(scheduler.pid)
        suspend(process)
        threading.Event().wait(STOPPED_S)
        process.resume()
        record = run.wait(SOON_S)
        assert (record.status, record.recoveries) == ("done", [])
        assert record.losses == pytest.approx(calm.losses, rel=1e-5)


def test_a_lost_scheduler_ends_the_run_and_leaves_nothing(
    foreign_dask: Any, tmp_path: Path
) -> None:
    with foreign_dask(tmp_path) as (scheduler, address):
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
