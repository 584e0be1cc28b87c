"""A scheduler whose process is stopped keeps its connections: nobody may wait for it for ever."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import labkit
from labkit.cluster.ask_scheduler import ask_scheduler
from labkit.cluster.placing import take_workers
from labkit.cluster.rank_context import RankContext
from labkit.cluster.task_share import TaskShare
from labkit.errors import ClusterError, SettingError

START_S = 90.0
SHORT_S = 0.5
WAITS = ("ask_scheduler.CALL_S", "owed_calls.CALL_S", "placing.PATIENT_S", "task_share.PATIENT_S")
LATE = "the scheduler did not answer within"


def rank_of(context: RankContext) -> int:
    return context.rank


def import_what_is_not_there() -> None:
    raise ModuleNotFoundError("No module named 'labkit'", name="labkit")


def test_no_wait_for_a_stopped_scheduler_is_endless(
    foreign_dask: Any,
    suspend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with foreign_dask(tmp_path) as (scheduler, address):
        cluster = labkit.launch(2, address=address, timeout_s=START_S)
        share = TaskShare(cluster.client)
        process = psutil.Process(scheduler.pid)
        try:
            with monkeypatch.context() as impatient:
                for wait in WAITS:
                    impatient.setattr(f"labkit.cluster.{wait}", SHORT_S)
                suspend(process)
                with pytest.raises(ClusterError, match=LATE):
                    take_workers(cluster, "run-1", 2)
                with pytest.raises(ClusterError, match=LATE):
                    share.ask([])
                with pytest.raises(ClusterError, match=LATE):
                    cluster.run_ranks(rank_of, 2)
            assert len(cluster.owed) == 1
            assert "the end of run run-1 on its workers could not be told" in caplog.text
            process.resume()
            # What the scheduler reads late holds no workers: it is told again that they are free.
            deadline = time.monotonic() + START_S
            while len(cluster.owed):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert cluster.run_ranks(rank_of, 2) == [0, 1]
            suspend(process)
            monkeypatch.setattr("labkit.cluster.workers.CALL_S", SHORT_S)
            cluster.close()
            assert cluster.closed
        finally:
            process.resume()


def test_a_scheduler_without_labkit_is_told_from_one_that_is_gone(own_cluster: Any) -> None:
    client = own_cluster.client
    with pytest.raises(SettingError, match="cannot import labkit; install labkit there too"):
        ask_scheduler(client, import_what_is_not_there)
