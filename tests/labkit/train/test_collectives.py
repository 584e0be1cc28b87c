"""What ranks say to each other: recorded, counted, and on an emulated device on time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.emulate.device import Device, Link
from labkit.emulate.pacer import Pacer, RealTime
from labkit.plan import Plan
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.runs.record import Span
from labkit.train.collectives import Collectives
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.ring import ring_all_reduce

NUM_BYTES = 4_000
INSIDE = Link(bandwidth_bytes_per_s=4e6, latency_s=1e-3)  # 2 ms for NUM_BYTES
ACROSS = Link(bandwidth_bytes_per_s=1e6, latency_s=2e-3)  # 6 ms
DEVICE = Device(
    name="test",
    description="two to a host",
    flops_per_s=1e9,
    memory_bytes=1_000_000,
    memory_bytes_per_s=1e9,
    overhead_s=0.0,
    devices_per_host=2,
    inside=INSIDE,
    across=ACROSS,
    sources={},
)


def emulated(ctx: RankContext) -> tuple[Collectives, Pacer]:
    """The ranks on the test's device, whose clocks all begin at zero."""
    pace = Pacer(
        DEVICE,
        ModelProfile(layers=(LayerProfile(name="0", forward_flops=0.0),), input_bytes=0),
        Plan(dp=ctx.world_size),
        rank=ctx.rank,
        time_scale=1.0,
        wall_now=ctx.now,
        stop_flag=ctx.stop_flag,
    )
    return Collectives(None, "comm_dp", SpanRecorder(pace.now, rank=ctx.rank), pace), pace


def hand_over_late(ctx: RankContext, ready_s: list[float]) -> float:
    """Rank 0 takes over from all others in turn; when this rank was done, on its clock."""
    ranks, pace = emulated(ctx)
    x = torch.full((NUM_BYTES // 4,), float(ctx.rank))
    pace.spend(ready_s[ctx.rank])
    if ctx.rank == 0:
        for other in range(1, ctx.world_size):
            ranks.take_over(x, other, "message")
            assert bool((x == other).all())
    else:
        ranks.hand_over(x, 0, "message")
    return pace.nominal_s


@pytest.mark.parametrize(
    ("ready_s", "done_s"),
    [
        ([0.0, 0.0, 0.0], [0.008, 0.002, 0.008]),  # one after the other: 2 ms inside, 6 across
        ([0.0, 0.010, 0.0], [0.018, 0.012, 0.018]),  # the first is late, the second waits for it
        ([0.010, 0.0, 0.0], [0.018, 0.012, 0.018]),  # all wait for the one that takes
    ],
)
def test_who_takes_over_does_so_from_one_after_the_other(
    cluster4: Cluster, ready_s: list[float], done_s: list[float]
) -> None:
    found = cluster4.run_ranks(hand_over_late, 3, ready_s, timeout_s=60.0)
    assert found == pytest.approx(done_s, abs=1e-9)


def send_twice(ctx: RankContext) -> list[float]:
    """Two messages at once over one link; when the receiver has each."""
    ranks, pace = emulated(ctx)
    x = torch.zeros(NUM_BYTES // 4)
    times_s = []
    if ctx.rank == 0:
        for finish in [ranks.send(x, 1, "message") for _ in range(2)]:
            finish()
    for _ in range(2 * ctx.rank):
        ranks.receive(x, 0, "message")
        times_s.append(pace.nominal_s)
    return times_s


def test_messages_queue_for_their_link(cluster4: Cluster) -> None:
    [sender, receiver] = cluster4.run_ranks(send_twice, 2, timeout_s=60.0)
    assert sender == []
    assert receiver == pytest.approx([0.002, 0.003], abs=1e-9)


def ring_of_ranks(ctx: RankContext) -> tuple[float, float]:
    """One ring all_reduce: when it is done, and a number of the sum."""
    ranks, pace = emulated(ctx)
    x = torch.full((ctx.world_size * NUM_BYTES // 4,), float(ctx.rank + 1))
    ring_all_reduce(x, ranks)
    return pace.nominal_s, float(x.sum() / x.numel())


def test_a_ring_within_a_host_takes_a_chunk_s_time_per_round(cluster4: Cluster) -> None:
    found = cluster4.run_ranks(ring_of_ranks, 2, timeout_s=60.0)
    assert found == [(pytest.approx(2 * 0.002, abs=1e-9), 3.0)] * 2


def test_the_slowest_link_sets_the_pace_of_a_ring(cluster4: Cluster) -> None:
    found = cluster4.run_ranks(ring_of_ranks, 4, timeout_s=60.0)
    assert [total for _, total in found] == [10.0] * 4
    # Two of four links cross hosts: a chunk that meets one in each half of its way waits there.
    assert max(done_s for done_s, _ in found) <= 6 * 0.006 + 1e-9
    assert min(done_s for done_s, _ in found) >= 4 * 0.006


def talk(ctx: RankContext) -> tuple[list[Span], dict[str, int]]:
    """Every kind of message and collective once, in real time."""
    recorder = SpanRecorder(ctx.now, rank=ctx.rank)
    ranks = Collectives(None, "comm_dp", recorder, RealTime(ctx.now))
    x, other = torch.ones(6), 1 - ctx.rank
    ranks.all_reduce(x, "all_reduce")
    ranks.all_gather(torch.empty(12), x, "all_gather")
    ranks.reduce_scatter(torch.empty(3), x, "reduce_scatter")
    ranks.exchange(x, other, torch.empty(6), other, "exchange")
    if ctx.rank == 0:
        ranks.send(x, 1, "send")()
        ranks.hand_over(x, 1, "hand over")
    else:
        ranks.receive(x, 0, "send")
        ranks.take_over(x, 0, "hand over")
    return recorder.spans, recorder.comm_bytes


def test_bytes_are_counted_where_they_are_handed_over_and_shown_on_both_sides(
    cluster4: Cluster,
) -> None:
    results: list[Any] = cluster4.run_ranks(talk, 2, timeout_s=60.0)
    [(spans, sent), (other_spans, other_sent)] = results
    assert [(s.name, s.bytes) for s in spans] == [(s.name, s.bytes) for s in other_spans]
    assert {span.bytes for span in spans} == {24}
    assert len(spans) == 6
    assert sent == {"comm_dp": 6 * 24}
    assert other_sent == {"comm_dp": 4 * 24}
