"""An asynchronous parameter server on real ranks: exact without staleness, bounded with it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.errors import RankFailed
from labkit.plan import Plan
from labkit.train.job import RankResult, TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS

SLOW_S = 0.02


@pytest.mark.parametrize("dp", [2, 4])
@pytest.mark.parametrize("workload", ["digits", "logistic"])
def test_without_staleness_it_equals_one_process(compare: Any, workload: str, dp: int) -> None:
    both = compare(workload, Plan(dp=dp, sync="async_parameter_server", max_staleness=0))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    server, *workers = both.results
    assert sorted(server.staleness) == sorted(list(range(dp)) * 20)
    assert all(worker.staleness == [] for worker in workers)
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


class SlowOnRankOne(nn.Linear):
    """A layer that takes its time on one rank."""

    def forward(self, x: Tensor) -> Tensor:
        if dist.get_rank() == 1:
            time.sleep(SLOW_S)
        return super().forward(x)


class FailsOnRankOne(nn.Linear):
    """A layer that fails on one rank in its third step."""

    num_calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.num_calls += 1
        if dist.get_rank() == 1 and self.num_calls == 3:
            raise ArithmeticError("out of luck")
        return super().forward(x)


def build_slow(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    return nn.Sequential(SlowOnRankOne(input_shape[0], num_classes))


def build_failing(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    return nn.Sequential(FailsOnRankOne(input_shape[0], num_classes))


@pytest.mark.parametrize(("dp", "max_staleness"), [(2, 3), (4, 1)])
def test_a_slow_worker_makes_gradients_stale_but_not_beyond_the_bound(
    train_small: Any, dp: int, max_staleness: int
) -> None:
    workload = WORKLOADS["logistic"].with_settings(model=build_slow, global_batch=64)
    plan = Plan(dp=dp, sync="async_parameter_server", max_staleness=max_staleness)
    server, *_ = train_small(workload, plan, num_steps=40)
    assert len(server.staleness) == 40 * dp
    assert 1 <= max(server.staleness) <= (dp - 1) * (2 * max_staleness + 1)
    losses = np.array([step.loss for step in server.steps])
    assert losses[-5:].mean() < 0.7 * losses[0]


def test_every_update_is_in_the_weights_at_the_end(train_small: Any) -> None:
    """One more step of nobody's: all gradients of a linear loss are known beforehand."""
    workload = WORKLOADS["logistic"].with_settings(
        model=build_slow, global_batch=64, momentum=0.0, learning_rate=1e-6
    )
    plan = Plan(dp=2, sync="async_parameter_server", max_staleness=4)
    split = train_small(workload, plan, num_steps=10)[0]
    fast = workload.with_settings(model="labkit.train.models.logistic:build")
    single = train_small(fast, Plan(), num_steps=10)[0]
    torch.manual_seed(workload.seed)
    before = build_slow((4,), 2)[0].weight.detach().numpy()
    moved, wanted = (r.weights["0.weight"] - before for r in (split, single))
    # At so small a rate gradients do not depend on staleness: an update that is missing shows.
    np.testing.assert_allclose(moved, wanted, rtol=0, atol=0.02 * np.abs(wanted).max())


def test_a_worker_that_fails_ends_the_run_with_its_own_cause(train_small: Any) -> None:
    workload = WORKLOADS["logistic"].with_settings(model=build_failing, global_batch=64)
    plan = Plan(dp=4, sync="async_parameter_server", max_staleness=0)
    with pytest.raises(RankFailed, match="out of luck") as failure:
        train_small(workload, plan)
    assert failure.value.rank == 1


def train_until_told(ctx: RankContext, job: TrainJob) -> RankResult:
    """On rank 1, the user's stop arrives with its first live event."""
    send = ctx.send

    def tell(event: dict[str, Any]) -> None:
        if ctx.rank == 1:
            ctx.stop_flag.set()
        send(event)

    ctx.send = tell
    return train_rank(ctx, job)


def test_a_stop_ends_workers_and_server_on_the_same_step(
    cluster4: Cluster, dataset_folders: dict[str, str]
) -> None:
    job = TrainJob(
        workload=WORKLOADS["logistic"].with_settings(global_batch=64),
        plan=Plan(dp=4, sync="async_parameter_server"),
        dataset_folder=dataset_folders["fruit"],
        num_steps=100_000,
        evaluate=False,
    )
    results = cluster4.run_ranks(train_until_told, 4, job, timeout_s=60.0)
    assert all(result.stopped for result in results)
    num_steps = len(results[0].step_ends_s)
    assert {len(result.step_ends_s) for result in results} == {num_steps}
    assert len(results[0].staleness) == 4 * num_steps
