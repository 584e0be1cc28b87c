"""Formulas of the collectives: their limits, and how they are made of each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.emulate.device import Link
from labkit.project.collectives import (
    all_gather_s,
    all_reduce_s,
    broadcast_s,
    point_to_point_s,
    reduce_scatter_s,
    ring_bytes,
)
from labkit.project.links import LinkClock

LINK = Link(bandwidth_bytes_per_s=1e6, latency_s=1e-3)
OVER_A_GROUP = (all_reduce_s, all_gather_s, reduce_scatter_s, broadcast_s)


def ring_round_s(num_bytes: int, num_ranks: int) -> float:
    """A ring in which every rank sends n-1 times a chunk on, message by message."""
    clocks = [LinkClock(LINK) for _ in range(num_ranks)]
    now_s = [0.0] * num_ranks
    for _ in range(num_ranks - 1):
        arrivals = [c.send(t, num_bytes / num_ranks) for c, t in zip(clocks, now_s, strict=True)]
        now_s = [max(now_s[r], arrivals[r - 1]) for r in range(num_ranks)]
    return max(now_s)


@pytest.mark.parametrize("collective", OVER_A_GROUP)
def test_one_rank_alone_takes_no_time(collective: Callable[[int, int, Link], float]) -> None:
    assert collective(1000, 1, LINK) == 0.0


@pytest.mark.parametrize("collective", OVER_A_GROUP)
@pytest.mark.parametrize(("num_bytes", "world_size"), [(-1, 2), (10, 0)])
def test_impossible_sizes_are_refused_with_the_numbers(
    collective: Callable[[int, int, Link], float], num_bytes: int, world_size: int
) -> None:
    with pytest.raises(ValueError, match=f"num_bytes={num_bytes} over world_size={world_size}"):
        collective(num_bytes, world_size, LINK)


@pytest.mark.parametrize("num_ranks", [2, 3, 8])
def test_a_round_of_the_ring_takes_what_its_messages_take(num_ranks: int) -> None:
    expected = ring_round_s(24_000, num_ranks)
    assert all_gather_s(24_000, num_ranks, LINK) == pytest.approx(expected)
    assert reduce_scatter_s(24_000, num_ranks, LINK) == pytest.approx(expected)
    assert all_reduce_s(24_000, num_ranks, LINK) == pytest.approx(2 * expected)


def test_an_all_reduce_of_two_ranks_by_hand() -> None:
    # Two rounds, each half of 1000 bytes at 1 MB/s and one latency.
    assert all_reduce_s(1000, 2, LINK) == pytest.approx(2 * (500e-6 + 1e-3))


def test_a_broadcast_to_one_rank_is_a_message() -> None:
    assert broadcast_s(1000, 2, LINK) == pytest.approx(point_to_point_s(1000, LINK))


def test_a_ring_sends_nearly_twice_the_tensor_however_many_ranks() -> None:
    assert ring_bytes(1000, 1) == 0
    assert ring_bytes(1000, 2) == 1000
    assert ring_bytes(1000, 1000) == pytest.approx(1998)
