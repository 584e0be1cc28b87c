"""The asynchronous server's store: how it moves the parameters, and whom it lets wait."""

from __future__ import annotations

import threading

import pytest
import torch

from labkit.train.strategies.parameter_store import ParameterStore
from labkit.workload import WORKLOADS

WORKLOAD = WORKLOADS["digits"].with_settings(learning_rate=0.1, momentum=0.9, warmup_steps=2)


def make_store(max_staleness: int, timeout_s: float = 30.0, num_workers: int = 2) -> ParameterStore:
    return ParameterStore(
        torch.zeros(3, dtype=torch.float64),
        WORKLOAD,
        num_workers=num_workers,
        max_staleness=max_staleness,
        timeout_s=timeout_s,
    )


def test_rounds_of_gradients_on_the_same_parameters_are_steps_of_sgd() -> None:
    store = make_store(max_staleness=0, num_workers=3)
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([weights], lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for step in range(5):
        gradients = torch.randn(3, 3, dtype=torch.float64, generator=generator)
        version = store.version
        for worker in (2, 0, 1):
            store.push(worker, gradients[worker], version)
        for worker in range(3):
            assert store.pull(worker, torch.empty(3, dtype=torch.float64)) == 3 * (step + 1)
        sgd.param_groups[0]["lr"] = WORKLOAD.learning_rate_at(step)
        weights.grad = gradients.sum(0)
        sgd.step()
        torch.testing.assert_close(store.weights, weights.detach(), rtol=1e-12, atol=1e-15)
    assert store.staleness == [0, 1, 2] * 5


def test_staleness_counts_the_updates_since_the_worker_took_its_parameters() -> None:
    store = make_store(max_staleness=5)
    gradient, into = torch.ones(3, dtype=torch.float64), torch.empty(3, dtype=torch.float64)
    version = 0
    for _ in range(3):
        store.push(0, gradient, version)
        version = store.pull(0, into)
    store.push(1, gradient, 0)
    assert store.staleness == [0, 0, 0, 3]
    assert store.pull(1, into) == 4


def test_a_worker_that_is_too_far_ahead_waits_for_its_answer() -> None:
    store = make_store(max_staleness=1, timeout_s=0.05)
    gradient, into = torch.ones(3, dtype=torch.float64), torch.empty(3, dtype=torch.float64)
    store.push(0, gradient, 0)
    version = store.pull(0, into)  # one step ahead is allowed
    store.push(0, gradient, version)
    with pytest.raises(TimeoutError, match="worker 0 is 2 steps ahead of the slowest"):
        store.pull(0, into)


def test_without_staleness_a_gradient_waits_until_all_have_their_parameters() -> None:
    store = make_store(max_staleness=0, timeout_s=0.05)
    gradient, into = torch.ones(3, dtype=torch.float64), torch.empty(3, dtype=torch.float64)
    store.push(0, gradient, 0)
    store.push(1, gradient, 0)
    version = store.pull(0, into)
    with pytest.raises(TimeoutError, match="worker 0 is 1 steps ahead"):
        store.push(0, gradient, version)
    assert store.pull(1, into) == version
    store.push(0, gradient, version)


def test_the_slowest_lets_the_waiting_one_go_on() -> None:
    store = make_store(max_staleness=0)
    gradient, into = torch.ones(3, dtype=torch.float64), torch.empty(3, dtype=torch.float64)
    versions: list[int] = []
    fast = threading.Thread(target=lambda: versions.append(store.pull(0, into)))
    store.push(0, gradient, 0)
    fast.start()
    store.push(1, gradient, 0)
    fast.join(30.0)
    assert versions == [2]


def test_a_failure_wakes_who_waits_and_names_the_cause() -> None:
    store = make_store(max_staleness=0)
    gradient, into = torch.ones(3, dtype=torch.float64), torch.empty(3, dtype=torch.float64)
    errors: list[str] = []

    def wait() -> None:
        try:
            store.pull(0, into)
        except RuntimeError as error:
            errors.append(str(error))

    store.push(0, gradient, 0)
    waiting = threading.Thread(target=wait)
    waiting.start()
    store.fail(ConnectionError("worker 1 has gone"))
    waiting.join(30.0)
    assert errors == ["the parameter server has ended: worker 1 has gone"]


def test_coarse_parameters_are_kept_in_float32() -> None:
    store = ParameterStore(
        torch.ones(3, dtype=torch.bfloat16),
        WORKLOAD,
        num_workers=1,
        max_staleness=0,
        timeout_s=1.0,
    )
    into = torch.empty(3, dtype=torch.bfloat16)
    for version in range(10):
        store.push(0, torch.full((3,), 1e-3, dtype=torch.bfloat16), version)
        store.pull(0, into)
    assert store.weights.dtype == torch.float32
    assert 0.99 < float(store.weights[0]) < 1.0  # each update alone would be rounded away
