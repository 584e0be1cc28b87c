"""Parameter averaging: replicas train on their own and meet every few steps.

Each replica follows the gradient of its own samples. Every ``sync_every`` steps all replace their
weights, and the momentum that carries them on, by the mean over the replicas. That is a fraction
of the messages of data parallelism, for replicas that drift apart in between (local SGD, Stich
2019, arXiv:1805.09767). Averaged after every step it is data parallelism exactly: SGD is linear in
the gradient, so the mean of the updates is the update by the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.train.collectives import Collectives
from labkit.train.optimizer import Optimizer
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.workload import Workload


@torch.no_grad()
def average(tensors: list[Tensor], ranks: Collectives) -> None:
    """Replace tensors by their mean over the ranks, in one all_reduce."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    ranks.all_reduce(flat, "average")
    flat /= ranks.size
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, piece in zip(tensors, pieces, strict=True):
        tensor.copy_(piece.view_as(tensor))


def average_bytes(model: nn.Module, workload: Workload) -> int:
    """Payload of one average: weights, and the momentum of each, as the optimiser keeps them."""
    num_numbers = sum(p.numel() for p in model.parameters())
    itemsize = max(4, next(model.parameters()).element_size())  # none is coarser than float32
    return num_numbers * itemsize * (2 if workload.momentum else 1)


def apply_averaging(model: nn.Module, given: Given) -> ParallelModel:
    """Whole model, 1 / dp of the batch, weights averaged every ``sync_every`` steps.

    When training ends between two averages, the weights that count are those of replica 0, and
    the gradients always are its own. See ``ApplyStrategy`` for the arguments.
    """
    plan = given.plan
    given.pace.watch_layers(model)
    ranks = Collectives(None, "comm_dp", given.recorder, given.pace)
    every = plan.sync_every
    assert every is not None
    size = average_bytes(model, given.workload)

    def after_update(step: int, optimizer: Optimizer) -> None:
        if (step + 1) % every == 0:
            average([*optimizer.weights, *optimizer.momenta()], ranks)
            optimizer.round_weights()

    def bytes_after(num_steps: int) -> dict[str, int]:
        num_averages = num_steps // every
        return {"comm_dp": num_averages * size} if num_averages else {}

    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        # Losses are scaled to the mean over all replicas; alone, a replica's mean is its own.
        forward_backward=accumulate(model, given, factor=plan.dp),
        comm_bytes_per_step={"comm_dp": size / every},
        comm_bytes_after=bytes_after,
        after_update=after_update,
        clips_alone=True,
        agrees_every=every,
    )
