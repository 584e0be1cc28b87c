"""A synchronous parameter server trains as one process does, at the price of its one link."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.plan import Plan


@pytest.mark.parametrize(("workload", "dp"), [("digits", 2), ("digits", 4), ("text", 2)])
def test_a_parameter_server_equals_one_process(compare: Any, workload: str, dp: int) -> None:
    both = compare(workload, Plan(dp=dp, sync="parameter_server"))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    assert both.gradients <= 1e-3
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


def test_the_server_sends_as_much_as_all_workers_together(train_small: Any) -> None:
    server, *workers = train_small("digits", Plan(dp=4, sync="parameter_server"), num_steps=3)
    num_bytes = 4 * sum(array.size for array in server.weights.values())
    assert [worker.comm_bytes["comm_dp"] for worker in workers] == [3 * num_bytes] * 3
    assert server.comm_bytes["comm_dp"] == 3 * 3 * num_bytes


def test_server_and_worker_name_a_message_alike(train_small: Any) -> None:
    results = train_small("digits", Plan(dp=4, sync="parameter_server"), num_steps=2)
    server, *workers = (
        {span.name for span in result.spans if span.kind == "comm_dp"} for result in results
    )
    assert [len(names) for names in workers] == [2, 2, 2]
    assert server == set.union(*workers)


def test_gradients_are_accumulated_before_they_are_sent(compare: Any) -> None:
    both = compare("fruit", Plan(dp=2, sync="parameter_server", microbatches=2))
    assert both.loss <= 1e-5
    assert both.results[1].comm_bytes == both.results[1].comm_bytes_formula
