"""Data parallelism whose replicas share out everything: PyTorch's ``fully_shard`` (FSDP2).

Each rank keeps 1/n of every parameter, gradient and optimiser state. A layer's parameters are
gathered just before its forward; its gradients are summed and scattered right after its backward,
so that no rank ever holds all of them. With ``shard=gradients`` a layer keeps what was gathered
until its backward is done; with ``shard=parameters`` it lets go after the forward and gathers
again, for half as many bytes more. The second and third stage of ZeRO (Rajbhandari et al. 2020,
arXiv:1910.02054; Zhao et al. 2023, arXiv:2304.11277).

The collectives go through our own, which ``fully_shard`` lets one set: what it hands to them is
what is counted. Each microbatch gathers and scatters for itself, as keeping whole gradients until
the last one would give up what sharding is for.
"""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_api import AllGather, ReduceScatter
from torch.distributed.fsdp._fully_shard._fsdp_collectives import DefaultAllocMixin

from labkit.errors import PlanError
from labkit.train.collectives import Collectives
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate


class RecordedAllGather(DefaultAllocMixin, AllGather):
    """Gathers the parameters of a layer."""

    def __init__(self, ranks: Collectives) -> None:
        self.ranks = ranks

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: dist.ProcessGroup,
        async_op: bool = False,
    ) -> None:
        self.ranks.all_gather(output_tensor, input_tensor, "gather parameters")


class RecordedReduceScatter(DefaultAllocMixin, ReduceScatter):
    """Sums the gradients of a layer; each rank keeps its part."""

    def __init__(self, ranks: Collectives) -> None:
        self.ranks = ranks

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: dist.ProcessGroup,
        op: dist.ReduceOp | dist.ReduceOp.RedOpType,
        async_op: bool = False,
    ) -> None:
        assert op == dist.ReduceOp.SUM, f"gradients are summed, not {op}"
        self.ranks.reduce_scatter(output_tensor, input_tensor, "scatter gradients")


def sharded_bytes(model: nn.Module, num_ranks: int, num_microbatches: int, num_gathers: int) -> int:
    """Payload of a rank in one step, by formula.

    A parameter is cut along its first dimension, padded to a multiple of the ranks: into each
    all_gather a rank hands its part, into the reduce_scatter the whole.

    Args:
        model: whole and uncut.
        num_ranks, num_microbatches: of the plan.
        num_gathers: of every layer's parameters, per microbatch.
    Raises:
        PlanError: a parameter has no dimension to cut along.
    """
    part_bytes = 0
    for name, parameter in model.named_parameters():
        if not parameter.dim():
            raise PlanError(
                f"shard=gradients and shard=parameters cut parameters along their first "
                f"dimension, but {name} is a single number; give it the shape (1,), or choose "
                "shard=optimizer"
            )
        rows = parameter.shape[0]
        part_rows = -(-rows // num_ranks)
        part_bytes += part_rows * (parameter.numel() // rows) * parameter.element_size()
    return num_microbatches * part_bytes * (num_gathers + num_ranks)


def apply_fully_sharded(model: nn.Module, given: Given) -> ParallelModel:
    """A part of every layer, 1 / dp of the batch; see ``ApplyStrategy`` for the arguments."""
    plan = given.plan
    gathers_again = plan.shard == "parameters"
    size = sharded_bytes(model, plan.dp, plan.num_microbatches, 2 if gathers_again else 1)
    given.pace.watch_layers(model)
    mesh = init_device_mesh(given.device.type, (plan.dp,))
    ranks = Collectives(mesh.get_group(), "comm_dp", given.recorder, given.pace)
    layers = list(model.children()) if isinstance(model, nn.Sequential) else []
    for module in (*layers, model):  # the model last: what no layer has taken
        if any(True for _ in module.parameters()):
            shard = fully_shard(module, mesh=mesh, reshard_after_forward=gathers_again)
            sum_gradients(shard, ranks)
    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        forward_backward=accumulate(model, given),
        comm_bytes_per_step={"comm_dp": size},
        speaks=given.place.replica == 0,
    )


def sum_gradients(shard: FSDPModule, ranks: Collectives) -> None:
    """Let a sharded layer use our collectives, and sum gradients instead of taking their mean."""
    shard.set_gradient_divide_factor(1.0)
    shard.set_force_sum_reduction_for_comms(True)  # the other way exists for NCCL only
    shard.set_custom_all_gather(RecordedAllGather(ranks))
    shard.set_custom_reduce_scatter(RecordedReduceScatter(ranks))
