"""A synchronous parameter server: one rank keeps the parameters, the others work for it.

Every rank computes the gradient of its samples. The workers hand theirs to rank 0, one after the
other; it adds them up, with its own, updates the parameters and hands those back to one worker
after the other (Li et al. 2014, "Scaling distributed machine learning with the parameter server",
OSDI). The result is that of an all_reduce, but the server sends and receives n - 1 times as much
as a worker, over the one link that it has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.optimizer import Optimizer
from labkit.train.strategies.flat import flatten_gradients, flatten_parameters
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.train.strategies.shapes import num_bytes

SERVER = 0  # rank 0 serves, and works like all others


def gather_gradients(gradient: Tensor, ranks: Collectives) -> None:
    """Add up a flat gradient on the server, in place."""
    if ranks.rank != SERVER:
        ranks.hand_over(gradient, SERVER, f"gradient of rank {ranks.rank}")
        return
    arrived = torch.empty_like(gradient)
    for worker in range(1, ranks.size):
        ranks.take_over(arrived, worker, f"gradient of rank {worker}")
        gradient += arrived


def hand_out_parameters(parameters: Tensor, ranks: Collectives) -> None:
    """Overwrite flat parameters by those of the server."""
    if ranks.rank != SERVER:
        ranks.take_over(parameters, SERVER, f"parameters for rank {ranks.rank}")
        return
    for worker in range(1, ranks.size):
        ranks.hand_over(parameters, worker, f"parameters for rank {worker}")


def apply_parameter_server(model: nn.Module, given: Given) -> ParallelModel:
    """Whole model, 1 / dp of the batch, the update on rank 0; see ``ApplyStrategy``."""
    given.pace.watch_layers(model)
    ranks = Collectives(None, "comm_dp", given.recorder, given.pace)
    parameters = flatten_parameters(model)
    serves = ranks.rank == SERVER
    compute = accumulate(model, given)

    def forward_backward(batch: Batch) -> Tensor:
        share = compute(batch)
        gather_gradients(flatten_gradients(model), ranks)
        return share

    def after_update(step: int, optimizer: Optimizer) -> None:
        hand_out_parameters(parameters, ranks)

    # A worker sends its gradient, the server its parameters to each of the workers.
    num_messages = ranks.size - 1 if serves else 1
    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        forward_backward=forward_backward,
        comm_bytes_per_step={"comm_dp": num_messages * num_bytes(parameters)},
        updated=None if serves else [],
        after_update=after_update,
        speaks=serves,
    )
