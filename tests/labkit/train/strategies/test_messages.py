"""Messages of a pipeline: whom they go to, and that none is taken for another."""

from __future__ import annotations

from itertools import product

import torch

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.messages import Message, Messages, rank_of_stage
from labkit.train.strategies.parallel_model import Given, Place
from labkit.train.strategies.shapes import empty_microbatch
from labkit.workload import WORKLOADS

NUM_MESSAGES = 4


def test_an_activation_and_its_gradient_answer_each_other() -> None:
    activation, gradient = Message("activation", 3, 5), Message("gradient", 2, 5)
    assert (activation.sender, gradient.sender) == (2, 3)
    assert activation.answers == gradient
    assert gradient.answers == activation


def test_neighbours_are_ranks_of_the_same_replica_and_slice() -> None:
    plan = Plan(dp=2, pp=2, tp=3, schedule="interleaved1f1b", microbatches=2)
    for rank in range(plan.world_size):
        place = Place.of(rank, plan)
        own = [rank_of_stage(stage, plan, place) == rank for stage in range(4)]
        assert own == [stage % 2 == place.stage for stage in range(4)]
        assert all(
            Place.of(rank_of_stage(stage, plan, place), plan)
            == Place(replica=place.replica, stage=stage % 2, tensor_rank=place.tensor_rank)
            for stage in range(4)
        )


def exchange(ctx: RankContext) -> list[float]:
    """Send messages in one order and take them in another."""
    plan = Plan(pp=2, microbatches=NUM_MESSAGES)
    recorder = SpanRecorder(ctx.now, rank=ctx.rank)
    given = Given(
        workload=WORKLOADS["fruit"],
        plan=plan,
        place=Place.of(ctx.rank, plan),
        example=empty_microbatch((4,), "float32", 2),
        stages=(range(4), range(4, 8)),
        device=torch.device("cpu"),
        recorder=recorder,
        pace=RealTime(ctx.now),
    )
    messages = Messages(given, {0: torch.empty(3, device="meta")})
    kinds = {0: ("activation", "gradient"), 1: ("gradient", "activation")}[ctx.rank]
    order = range(NUM_MESSAGES)
    taken = []
    for step in range(2):
        for m in order:
            stage = 1 - ctx.rank
            messages.send(Message(kinds[0], stage, m), torch.full((3,), 10.0 * step + m))
        for m in reversed(order):
            messages.post([Message(kinds[1], ctx.rank, m)])
        taken += [float(messages.receive(Message(kinds[1], ctx.rank, m))[0]) for m in order]
    assert recorder.comm_bytes == {"comm_pp": 2 * NUM_MESSAGES * 3 * 4}
    return taken


def test_messages_arrive_as_what_they_are_whatever_the_order(cluster4: Cluster) -> None:
    wanted = [10.0 * step + m for step, m in product(range(2), range(NUM_MESSAGES))]
    assert cluster4.run_ranks(exchange, 2, timeout_s=60.0) == [wanted, wanted]
