"""Data parallelism whose replicas share out the optimiser: the first stage of ZeRO.

Gradients are summed as ever, by ``DistributedDataParallel``. But then every rank updates only its
1/n of the flat parameters, and so keeps only 1/n of the optimiser's state: the momentum, and with
bfloat16 the float32 weights. An all_gather brings the updated parts together (Rajbhandari et al.
2020, arXiv:1910.02054).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.optimizer import Optimizer
from labkit.train.strategies.data import apply_data
from labkit.train.strategies.flat import flatten_parameters
from labkit.train.strategies.parallel_model import Given, ParallelModel, num_parameter_bytes
from labkit.train.strategies.shapes import num_bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one parameter that a rank updates.

    Attributes:
        weights: (numbers,), a view of the parameter.
        parameter: which one.
        stretch: its place in the flattened parameter.
    """

    weights: Tensor
    parameter: nn.Parameter
    stretch: slice

    def take_gradient(self) -> None:
        """Give the piece its part of the parameter's gradient; a view, so it can be clipped."""
        grad = self.parameter.grad
        self.weights.grad = None if grad is None else grad.view(-1)[self.stretch]


def pieces_between(model: nn.Module, start: int, stop: int) -> list[Piece]:
    """The stretches of a model's parameters that lie between two places of the flat tensor."""
    pieces, offset = [], 0
    for parameter in model.parameters():
        begin, end = max(start - offset, 0), min(stop - offset, parameter.numel())
        if begin < end:
            stretch = slice(begin, end)
            pieces.append(Piece(parameter.detach().view(-1)[stretch], parameter, stretch))
        offset += parameter.numel()
    return pieces


def apply_sharded_optimizer(model: nn.Module, given: Given) -> ParallelModel:
    """Whole model, 1 / dp of the batch and of the optimiser; see ``ApplyStrategy``."""
    ranks = Collectives(None, "comm_dp", given.recorder, given.pace)
    flat = flatten_parameters(model, multiple_of=ranks.size)
    size = flat.numel() // ranks.size
    mine = flat[ranks.rank * size : (ranks.rank + 1) * size]
    pieces = pieces_between(model, ranks.rank * size, (ranks.rank + 1) * size)
    names = {parameter: name for name, parameter in model.named_parameters()}
    places = [(names[piece.parameter], piece.stretch) for piece in pieces]
    part = apply_data(model, given)

    def forward_backward(batch: Batch) -> Tensor:
        share = part.forward_backward(batch)
        for piece in pieces:
            piece.take_gradient()
        return share

    def after_update(step: int, optimizer: Optimizer) -> None:
        ranks.all_gather(flat, mine, "updated parameters")

    return replace(
        part,
        forward_backward=forward_backward,
        comm_bytes_per_step={"comm_dp": num_parameter_bytes(model) + num_bytes(mine)},
        updated=[piece.weights for piece in pieces],
        after_update=after_update,
        owned=lambda optimizer: optimizer.owned(places),
    )
