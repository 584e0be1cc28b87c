"""Data parallelism by features: every rank takes the whole batch, but only some of its columns.

The first layer multiplies each column by its weights and adds up: ``x W = sum of x_r W_r`` over the
ranks r, each of which has its columns of x and the weights that belong to them. So one all_reduce
of the sums in the forward joins the ranks; what follows is the same on all. The backward sends
nothing: each rank needs the gradient of its own weights only. The sums grow with the batch, where
the gradients that split samples exchange grow with the model: cutting columns pays for a wide and
shallow model, and costs a lot where there are more samples than columns (Boyd et al. 2011,
doi:10.1561/2200000016, sections 8.2 and 8.3).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import PlanError
from labkit.train.collectives import Collectives
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.train.strategies.tensor import LeaveRegion


def columns_of(rank: int, num_ranks: int, num_columns: int) -> slice:
    """The columns of a rank: as even as can be, the first ranks one more."""
    places = np.array_split(np.arange(num_columns), num_ranks)[rank]
    return slice(int(places[0]), int(places[-1]) + 1)


def features_bytes(batch: int, width: int, itemsize: int) -> int:
    """Payload of a rank in a step: the sums that leave the first layer, once.

    Args:
        batch: samples of the global batch.
        width: outputs of the first layer.
        itemsize: bytes of one number.
    """
    return batch * width * itemsize


def apply_features(model: nn.Module, given: Given) -> ParallelModel:
    """Whole batch, some of its columns; see ``ApplyStrategy`` for the arguments.

    Raises:
        PlanError: the model does not begin with a linear layer, or has fewer columns than ranks.
    """
    num_ranks, rank = given.plan.dp, given.place.replica
    layer = first_linear(model, num_ranks)
    columns = columns_of(rank, num_ranks, layer.in_features)
    ranks = Collectives(None, "comm_dp", given.recorder, given.pace)
    layer.weight = nn.Parameter(layer.weight.detach()[:, columns].clone())
    layer.in_features = columns.stop - columns.start
    layer.forward = partial(_forward_columns, layer, ranks)  # type: ignore[method-assign]
    given.pace.watch_layers(model)
    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        # All ranks compute the same loss: one of them reports it.
        forward_backward=accumulate(model, given, reports_loss=rank == 0),
        comm_bytes_per_step={
            "comm_dp": features_bytes(
                given.workload.global_batch, layer.out_features, layer.weight.element_size()
            )
        },
        columns=columns,
        split_dims={"0.weight": 1},
        split_rank=rank,
    )


def first_linear(model: nn.Module, num_ranks: int) -> nn.Linear:
    """The first layer, which is cut.

    Raises:
        PlanError: it is no linear layer, or has fewer columns than there are ranks.
    """
    layer = model[0] if isinstance(model, nn.Sequential) else model
    if not isinstance(model, nn.Sequential) or not isinstance(layer, nn.Linear):
        raise PlanError(
            f"split=features cuts the columns of a first linear layer, but the model begins with "
            f"{type(layer).__name__}; choose split=samples, or an nn.Sequential that begins with "
            "nn.Linear"
        )
    if layer.in_features < num_ranks:
        raise PlanError(
            f"split=features over dp({num_ranks}) ranks, but the first layer takes "
            f"{layer.in_features} columns; choose dp at most {layer.in_features}"
        )
    return layer


def _forward_columns(layer: nn.Linear, ranks: Collectives, x: Tensor) -> Tensor:
    """Partial sums over this rank's columns, joined over the ranks; the bias is added once."""
    partial_sum = F.linear(x, layer.weight)
    y: Tensor = LeaveRegion.apply(partial_sum, ranks)  # type: ignore[no-untyped-call]
    return y if layer.bias is None else y + layer.bias
