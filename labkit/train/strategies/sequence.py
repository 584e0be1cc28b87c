"""Sequence parallelism: between tensor regions, a rank works on its share of the tokens.

Plain tensor parallelism leaves what lies between the regions, norms and residual sums, whole on
every rank of the group: each computes the same, and keeps the same activations. Here that part is
sharded over the tokens. A region still needs all tokens, so entering it gathers them, and leaving
it sums the slices' partial results and scatters the sum: an all_gather and a reduce_scatter where
plain tensor parallelism has an all_reduce, which is made of these two (Korthikanti et al. 2022,
arXiv:2205.05198).

The embedding is computed whole and cut; the last layer and the loss work on the rank's own
tokens. Parameters outside the slices see only those tokens, so their gradients are summed over
the group once a step.

Shapes: B batch, T tokens, S tokens of one rank (T / tp), D model width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.strategies.hybrid import make_mesh, sum_gradients
from labkit.train.strategies.parallel_model import (
    Given,
    ParallelModel,
    accumulate,
    num_parameter_bytes,
)
from labkit.train.strategies.shapes import Shapes, num_bytes, trace_shapes
from labkit.train.strategies.tensor import check_regions, split_regions


class GatherTokens(torch.autograd.Function):
    """Into a region: forward all tokens of the group's shards; backward a reduce_scatter."""

    @staticmethod
    def forward(ctx: Any, x_BSD: Tensor, group: Collectives) -> Tensor:
        ctx.group = group
        return _gather(x_BSD, group, "tokens")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _scatter(grads[0], ctx.group, "input gradient"), None


class ScatterTokens(torch.autograd.Function):
    """Out of a region: forward the sum of the slices' results, sharded; backward an all_gather."""

    @staticmethod
    def forward(ctx: Any, partial_sum_BTD: Tensor, group: Collectives) -> Tensor:
        ctx.group = group
        return _scatter(partial_sum_BTD, group, "output")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _gather(grads[0], ctx.group, "output gradient"), None


def _gather(x_BSD: Tensor, group: Collectives, name: str) -> Tensor:
    """(B, T, D) from the (B, S, D) of each rank."""
    # Collectives put parts together along dimension 0, so the tokens go there.
    part_SBD = x_BSD.transpose(0, 1).contiguous()
    whole_TBD = part_SBD.new_empty(part_SBD.shape[0] * group.size, *part_SBD.shape[1:])
    group.all_gather(whole_TBD, part_SBD, name)
    return whole_TBD.transpose(0, 1).contiguous()


def _scatter(x_BTD: Tensor, group: Collectives, name: str) -> Tensor:
    """This rank's (B, S, D) of the sum of the (B, T, D) of all ranks."""
    whole_TBD = x_BTD.transpose(0, 1).contiguous()
    part_SBD = whole_TBD.new_empty(whole_TBD.shape[0] // group.size, *whole_TBD.shape[1:])
    group.reduce_scatter(part_SBD, whole_TBD, name)
    return part_SBD.transpose(0, 1).contiguous()


def apply_sequence(model: nn.Module, given: Given) -> ParallelModel:
    """A slice of every region and a share of the tokens; see ``ApplyStrategy`` for the arguments.

    With ``dp`` replicas each tensor group does so for its part of the batch, and the gradients are
    summed over the replicas in the end.

    Raises:
        PlanError: no layer says how it may be split, or tp does not divide one, or the tokens.
    """
    plan, place = given.plan, given.place
    assert isinstance(model, nn.Sequential), "a workload with tokens has layers"
    shapes = trace_shapes(model, given.example)
    check_regions(shapes, plan)
    num_tokens = count_tokens(shapes, plan)
    mesh = make_mesh(plan, given.device)
    group = Collectives(mesh.get_group("tp"), "comm_tp", given.recorder, given.pace)
    split_dims = split_regions(model, mesh["tp"], group, enter=GatherTokens, leave=ScatterTokens)
    first_token = place.tensor_rank * num_tokens
    model[0].register_forward_hook(lambda _, __, x_BTD: x_BTD.narrow(1, first_token, num_tokens))
    given.pace.watch_layers(model)
    run = accumulate(model, given)  # every rank reports the loss of its own tokens
    whole = nn.ParameterList(p for name, p in model.named_parameters() if name not in split_dims)
    replicas = None
    if plan.dp > 1:
        replicas = Collectives(mesh.get_group("dp"), "comm_dp", given.recorder, given.pace)

    def forward_backward(batch: Batch) -> Tensor:
        assert batch.targets is not None, "every rank without a pipeline reads the batch"
        targets = batch.targets.narrow(1, first_token, num_tokens)
        loss = run(batch._replace(targets=targets))
        sum_gradients(whole, group)
        if replicas is not None:
            sum_gradients(model, replicas)
        return loss

    sizes = {"comm_tp": sequence_bytes_per_step(shapes, plan.num_microbatches, plan.tp)}
    sizes["comm_tp"] += num_parameter_bytes(whole)
    if replicas is not None:
        sizes["comm_dp"] = num_parameter_bytes(model)
    return ParallelModel(
        module=model,
        place=place,
        device=given.device,
        forward_backward=forward_backward,
        comm_bytes_per_step=sizes,
        split_dims=split_dims,
        split_rank=place.tensor_rank,
        speaks=place.replica == 0,
    )


def count_tokens(shapes: Shapes, plan: Plan) -> int:
    """Tokens of one rank, of the samples that the dataset really has.

    Raises:
        PlanError: tp does not divide the tokens of a sample.
    """
    num_tokens = shapes.inputs[1].shape[1]
    if num_tokens % plan.tp:
        raise PlanError(
            f"sequence_parallel shards tokens over tp({plan.tp}), but a sample has {num_tokens}; "
            f"choose a tp that divides {num_tokens}"
        )
    return num_tokens // plan.tp


def sequence_bytes_per_step(shapes: Shapes, num_microbatches: int, tp: int) -> int:
    """Payload that a rank hands over at the edges of its regions in one step, by formula.

    Per region and microbatch: its part of the input to an all_gather and its whole partial output
    to a reduce_scatter; in the backward the whole gradient of the input to a reduce_scatter and
    its part of the output's gradient to an all_gather. On the wire of a ring that is what the
    all_reduces of plain tensor parallelism send, 2 (n-1)/n of the tensor each.

    Args:
        shapes: of one microbatch, whole.
        num_microbatches: microbatches of one replica's step.
        tp: ranks that share the tokens.
    """
    per_microbatch = 0
    for x, output in shapes.regions.values():
        per_microbatch += num_bytes(x) // tp + num_bytes(output)
        per_microbatch += num_bytes(output) // tp + (num_bytes(x) if x.requires_grad else 0)
    return num_microbatches * per_microbatch
