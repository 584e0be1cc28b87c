"""How long messages between ranks take: programs that ranks run, see ``Cluster.run_ranks``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist

from labkit.cluster.rank_context import RankContext
from labkit.train.point_to_point import recv, send

REPEATS = 15
FLOAT_BYTES = 4


def time_all_reduce(ctx: RankContext, sizes: Sequence[int]) -> dict[int, float]:
    """Seconds of an all_reduce over all ranks, by bytes; the least of several.

    Args:
        ctx: of the rank.
        sizes: bytes of the tensor that each rank has, >= 4.
    """
    return {size: _least(lambda x: dist.all_reduce(x), size) for size in sizes}


def time_message(ctx: RankContext, sizes: Sequence[int]) -> dict[int, float]:
    """Seconds of a message from rank 0 to rank 1, by bytes: half of there and back, at the least.

    Args:
        ctx: of the rank; there are at least two, and those above 1 only keep step.
        sizes: bytes of the message, >= 4.
    """

    def there_and_back(x: torch.Tensor) -> None:
        if ctx.rank == 0:
            send(x, 1)
            recv(x, 1)
        elif ctx.rank == 1:
            recv(x, 0)
            send(x, 0)

    return {size: _least(there_and_back, size) / 2 for size in sizes}


def _least(call: Callable[[torch.Tensor], object], size: int) -> float:
    """What a call takes when nothing disturbs it; all ranks begin together."""
    x = torch.zeros(size // FLOAT_BYTES)
    taken_s = []
    for _ in range(REPEATS):
        dist.barrier()
        begun_s = time.perf_counter()
        call(x)
        taken_s.append(time.perf_counter() - begun_s)
    return min(taken_s)
