"""Functions on all workers: an answer that is missing is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from labkit.cluster.cluster import Cluster
from labkit.cluster.workers import WorkersLate, ask_workers


def name_of_all_but_two(*, dask_worker: Any) -> int:
    if dask_worker.name == 0:
        raise ValueError("out of paper")
    if dask_worker.name == 1:
        raise ConnectionError("it hung up")
    return int(dask_worker.name)


def test_a_worker_without_an_answer_is_left_out_and_the_log_says_why(
    cluster4: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    address = {worker["name"]: worker["address"] for worker in cluster4.workers}
    with caplog.at_level(logging.INFO, logger="labkit.cluster.workers"):
        answers = cluster4.call_workers(name_of_all_but_two)
    assert answers == {address[2]: 2, address[3]: 3}
    told = {(record.levelname, record.message) for record in caplog.records}
    did = "could not do name_of_all_but_two"
    assert ("WARNING", f"worker {address[0]} {did}: ValueError('out of paper')") in told
    assert ("INFO", f"worker {address[1]} {did}: ConnectionError('it hung up')") in told


def test_where_every_answer_counts_a_missing_one_is_an_error(cluster4: Cluster) -> None:
    first = cluster4.workers[0]["address"]
    with pytest.raises(ValueError, match="out of paper"):
        ask_workers(cluster4.client, name_of_all_but_two, workers=[first])

    class Late:
        _run = None

        def sync(self, *_: Any, **__: Any) -> None:
            raise TimeoutError

    late: Any = Late()
    with pytest.raises(WorkersLate, match=r"did not answer within 2 s; see that none"):
        ask_workers(late, name_of_all_but_two, timeout_s=2.0)
