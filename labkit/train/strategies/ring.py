"""The all_reduce of data parallelism by hand: gradients pass around a ring of ranks.

The flat gradient is cut into as many chunks as there are ranks. In each round every rank sends one
chunk to its right neighbour while another arrives from its left one. In the first n - 1 rounds a
rank adds what arrives to its own and passes the sum on, so that at the end it has one chunk that
is complete. In n - 1 further rounds the complete chunks go round. Every rank sends only 2 (n-1)/n
of the gradient, however many ranks there are (Patarasuk & Yuan 2009,
doi:10.1016/j.jpdc.2008.09.002). Unlike ``DistributedDataParallel``, it starts after the backward.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.strategies.flat import flatten_gradients
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate


def ring_all_reduce(x: Tensor, ranks: Collectives) -> None:
    """Sum a flat tensor over the ranks, in place.

    Args:
        x: (numbers,), the same length on every rank; the chunks differ by one number at most.
        ranks: in the order of the ring.
    """
    n, me = ranks.size, ranks.rank
    left, right = (me - 1) % n, (me + 1) % n
    chunks = x.tensor_split(n)
    arrived = torch.empty_like(chunks[0])  # the first chunk is the longest
    for round_ in range(n - 1):
        mine, theirs = chunks[(me - round_) % n], chunks[(me - round_ - 1) % n]
        into = arrived[: theirs.numel()]
        ranks.exchange(mine, right, into, left, "reduce_scatter round")
        theirs += into
    for round_ in range(n - 1):
        mine, theirs = chunks[(me + 1 - round_) % n], chunks[(me - round_) % n]
        ranks.exchange(mine, right, theirs, left, "all_gather round")


def ring_bytes(num_numbers: int, itemsize: int, size: int, rank: int) -> int:
    """Payload that a rank sends in one ring all_reduce, exactly.

    In each half it sends every chunk but one: about ``2 (n-1)/n`` of the tensor together.

    Args:
        num_numbers, itemsize: of the tensor; bytes of one number.
        size, rank: of the ring, and the place in it.
    """
    share, extra = divmod(num_numbers, size)
    kept = [share + ((rank + place) % size < extra) for place in (1, 2)]
    return (2 * num_numbers - sum(kept)) * itemsize


def apply_ring(model: nn.Module, given: Given) -> ParallelModel:
    """Whole model, 1 / dp of the batch, gradients summed round a ring after the backward.

    See ``ApplyStrategy`` for the arguments.
    """
    given.pace.watch_layers(model)
    ranks = Collectives(None, "comm_dp", given.recorder, given.pace)
    compute = accumulate(model, given)

    def forward_backward(batch: Batch) -> Tensor:
        share = compute(batch)
        ring_all_reduce(flatten_gradients(model), ranks)
        return share

    num_numbers = sum(p.numel() for p in model.parameters())
    itemsize = next(model.parameters()).element_size()
    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        forward_backward=forward_backward,
        comm_bytes_per_step={"comm_dp": ring_bytes(num_numbers, itemsize, ranks.size, ranks.rank)},
        speaks=given.place.replica == 0,
    )
