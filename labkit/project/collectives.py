"""Seconds that each collective takes on a link: the cost model of bandwidth and latency.

Every function takes the bytes of the whole tensor, the ranks of the group, and the slowest link
that they cross. A group of one takes no time.

Source: Thakur, Rabenseifner & Gropp 2005, "Optimization of collective communication operations
in MPICH", doi:10.1177/1094342005051521 (costs of the ring and pipelined algorithms).
"""

from __future__ import annotations

from labkit.emulate.device import Link


def point_to_point_s(num_bytes: float, link: Link) -> float:
    """Seconds from handing over a message until it has arrived, on a link that is free."""
    return num_bytes / link.bandwidth_bytes_per_s + link.latency_s


def all_reduce_s(num_bytes: float, world_size: int, link: Link) -> float:
    """Seconds of a ring all_reduce: a reduce_scatter round, then an all_gather round.

    time = 2 (n-1)/n * num_bytes / bandwidth + 2 (n-1) * latency

    Args:
        num_bytes: of the tensor that each rank has.
        world_size: ranks in the group, >= 1.
        link: the slowest link crossed.
    Returns:
        Seconds; 0.0 when world_size == 1.
    Raises:
        ValueError: world_size < 1 or num_bytes < 0.
    Source: Patarasuk & Yuan 2009, doi:10.1016/j.jpdc.2008.09.002.
    """
    return 2 * _ring_round_s(num_bytes, world_size, link)


def all_gather_s(num_bytes: float, world_size: int, link: Link) -> float:
    """Seconds of a ring all_gather.

    time = (n-1)/n * num_bytes / bandwidth + (n-1) * latency

    Args:
        num_bytes: of the whole that every rank has in the end.
        world_size, link: see ``all_reduce_s``.
    Source: Thakur et al. 2005, section 4.1.
    """
    return _ring_round_s(num_bytes, world_size, link)


def reduce_scatter_s(num_bytes: float, world_size: int, link: Link) -> float:
    """Seconds of a ring reduce_scatter.

    time = (n-1)/n * num_bytes / bandwidth + (n-1) * latency

    Args:
        num_bytes: of the tensor that each rank has in the beginning.
        world_size, link: see ``all_reduce_s``.
    Source: Patarasuk & Yuan 2009, doi:10.1016/j.jpdc.2008.09.002.
    """
    return _ring_round_s(num_bytes, world_size, link)


def broadcast_s(num_bytes: float, world_size: int, link: Link) -> float:
    """Seconds of a broadcast along a chain of ranks that hand on piece by piece.

    time = num_bytes / bandwidth + (n-1) * latency

    Args:
        num_bytes: of the tensor that one rank has and all get.
        world_size, link: see ``all_reduce_s``.
    Source: the limit of many small pieces of the pipelined broadcast, Thakur et al. 2005.
    """
    _check(num_bytes, world_size)
    if world_size == 1:
        return 0.0
    return num_bytes / link.bandwidth_bytes_per_s + (world_size - 1) * link.latency_s


def ring_bytes(num_bytes: float, world_size: int) -> float:
    """Bytes that each rank sends in a ring all_reduce: 2 (n-1)/n of the tensor's.

    Source: Patarasuk & Yuan 2009, doi:10.1016/j.jpdc.2008.09.002.
    """
    _check(num_bytes, world_size)
    return 2 * (world_size - 1) / world_size * num_bytes


def _ring_round_s(num_bytes: float, world_size: int, link: Link) -> float:
    """n-1 times, every rank sends 1/n of the tensor to its neighbour."""
    _check(num_bytes, world_size)
    return (world_size - 1) * (num_bytes / world_size / link.bandwidth_bytes_per_s + link.latency_s)


def _check(num_bytes: float, world_size: int) -> None:
    if world_size < 1 or num_bytes < 0:
        raise ValueError(
            f"num_bytes={num_bytes} over world_size={world_size}; choose a size of at least 0 "
            "and at least 1 rank"
        )
