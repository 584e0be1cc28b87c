"""Replicas that train on their own and average their parameters every few steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.plan import Plan
from labkit.train.collectives import Collectives
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.averaging import average


def average_two(ctx: RankContext) -> tuple[list[list[float]], int]:
    """The mean of two tensors over the ranks, and the bytes that it took."""
    recorder = SpanRecorder(ctx.now, rank=ctx.rank)
    tensors = [torch.tensor([[1.0, 2.0]]) * ctx.rank, torch.tensor([float(ctx.rank)])]
    average(tensors, Collectives(None, "comm_dp", recorder, RealTime(ctx.now)))
    return [tensor.flatten().tolist() for tensor in tensors], recorder.comm_bytes["comm_dp"]


def test_an_average_is_the_mean_over_the_ranks_in_one_message(cluster4: Cluster) -> None:
    wanted = ([[1.5, 3.0], [1.5]], 3 * 4)
    assert cluster4.run_ranks(average_two, 4, timeout_s=60.0) == [wanted] * 4


@pytest.mark.parametrize(("workload", "dp"), [("digits", 2), ("digits", 4), ("text", 2)])
def test_averaging_after_every_step_equals_one_process(
    compare: Any, workload: str, dp: int
) -> None:
    both = compare(workload, Plan(dp=dp, sync="average", sync_every=1))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula


def test_averaging_needs_no_momentum(compare: Any) -> None:
    both = compare("digits", Plan(dp=2, sync="average", sync_every=1), momentum=0.0)
    assert both.loss <= 1e-5
    assert both.results[0].comm_bytes == both.results[0].comm_bytes_formula


@pytest.mark.parametrize(("num_steps", "num_averages"), [(10, 2), (8, 2), (3, 0)])
def test_rarer_averages_send_that_much_less_and_only_at_their_steps(
    train_small: Any, num_steps: int, num_averages: int
) -> None:
    plan = Plan(dp=2, sync="average", sync_every=4)
    results = train_small("digits", plan, num_steps=num_steps)
    num_numbers = sum(array.size for array in results[0].weights.values())
    sent = num_averages * 2 * 4 * num_numbers  # weights and momentum, float32
    for result in results:
        assert result.comm_bytes == result.comm_bytes_formula == ({"comm_dp": sent} if sent else {})
        steps = [span.step for span in result.spans if span.kind == "comm_dp"]
        assert steps == [3, 7][:num_averages]


def test_replicas_that_drift_apart_learn_all_the_same(compare: Any) -> None:
    plan = Plan(dp=4, sync="average", sync_every=5)
    both = compare("digits", plan, num_steps=40, global_batch=128)
    assert both.loss > 1e-3  # not the same training
    assert both.losses[-5:].mean() < 0.7 * both.losses[:5].mean()


def test_each_replica_clips_its_own_gradient(compare: Any) -> None:
    plan = Plan(dp=2, sync="average", sync_every=1)
    clipped = compare("digits", plan, clip_norm=0.5)
    assert clipped.loss > 1e-5  # the mean of clipped gradients is not the clipped mean
    assert clipped.weights < 0.5
