"""The ring all_reduce sums what all ranks have, and sends as much as its formula says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.plan import Plan
from labkit.train.collectives import Collectives
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.ring import ring_all_reduce, ring_bytes

LENGTHS = (1, 3, 4, 5, 1_001)


@pytest.mark.parametrize("num_ranks", range(2, 9))
@pytest.mark.parametrize("length", [1, 7, 64, 1_001])
def test_together_the_ranks_send_every_number_twice_but_once_less_than_there_are_ranks(
    num_ranks: int, length: int
) -> None:
    sent = [ring_bytes(length, 4, num_ranks, rank) for rank in range(num_ranks)]
    assert sum(sent) == 2 * (num_ranks - 1) * length * 4
    assert max(sent) - min(sent) <= 2 * 4  # chunks differ by one number at most


def reduce_many(ctx: RankContext) -> list[tuple[bool, int, int]]:
    """Ring beside torch's all_reduce: whether they agree, bytes sent, rounds recorded."""
    found = []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for length in LENGTHS:
            recorder = SpanRecorder(ctx.now, rank=ctx.rank)
            ranks = Collectives(None, "comm_dp", recorder, RealTime(ctx.now))
            x = (torch.arange(length) % 8 + ctx.rank).to(dtype)  # sums are exact in any type
            wanted = x.clone()
            dist.all_reduce(wanted)
            ring_all_reduce(x, ranks)
            sent = recorder.comm_bytes["comm_dp"]
            formula = ring_bytes(length, dtype.itemsize, ctx.world_size, ctx.rank)
            assert sum(span.bytes for span in recorder.spans) == sent == formula
            found.append((torch.equal(x, wanted), sent, len(recorder.spans)))
    return found


@pytest.mark.parametrize("num_ranks", [2, 3, 4])
def test_a_ring_gives_what_all_reduce_gives(cluster4: Cluster, num_ranks: int) -> None:
    for results in cluster4.run_ranks(reduce_many, num_ranks, timeout_s=60.0):
        assert all(agree for agree, _, _ in results)
        assert {rounds for _, _, rounds in results} == {2 * (num_ranks - 1)}


@pytest.mark.parametrize(("workload", "dp"), [("digits", 2), ("digits", 4), ("text", 2)])
def test_ring_training_equals_one_process(compare: Any, workload: str, dp: int) -> None:
    both = compare(workload, Plan(dp=dp, sync="ring"))
    assert both.loss <= 1e-5
    assert both.weights <= 1e-4
    assert both.gradients <= 1e-3
    for result in both.results:
        assert result.comm_bytes == result.comm_bytes_formula
        rounds = [s for s in result.spans if s.kind == "comm_dp" and s.step == 3]
        assert len(rounds) == 2 * (dp - 1)


def test_a_ring_after_accumulation_sends_once_a_step(compare: Any) -> None:
    both = compare("fruit", Plan(dp=2, sync="ring", microbatches=2))
    assert both.loss <= 1e-5
    assert both.results[0].comm_bytes == both.results[0].comm_bytes_formula
