"""Hybrid parallelism: replicas of a model that is itself split over stages, slices or both.

Ranks stand on the mesh (dp, pp, tp), row-major: the ranks that talk most, a tensor group, are
neighbours (Narayanan et al. 2021, arXiv:2104.04473). In this order: cut the stages' layers into
slices, run the stages in their pipeline, sum the gradients over the replicas.

The replicas are joined by hand: ``DistributedDataParallel`` takes no stage that several backwards
run through, and ``replicate(device_mesh=...)`` gives wrong gradients without saying so.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from labkit.plan import Plan
from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.strategies.parallel_model import (
    ForwardBackward,
    Given,
    ParallelModel,
    accumulate,
    num_parameter_bytes,
)
from labkit.train.strategies.pipeline import (
    Pipeline,
    layers_of_rank,
    pipeline_bytes_per_step,
    stages_of_rank,
    take_layers,
)
from labkit.train.strategies.shapes import Shapes, trace_shapes
from labkit.train.strategies.tensor import (
    check_regions,
    output_sums,
    split_regions,
    tensor_bytes_per_step,
)


def make_mesh(plan: Plan, device: torch.device) -> DeviceMesh:
    """The mesh of a plan: its axes of more than one rank, in the order dp, pp, tp."""
    axes = {"dp": plan.dp, "pp": plan.pp, "tp": plan.tp}
    degrees = {name: degree for name, degree in axes.items() if degree > 1}
    return init_device_mesh(
        device.type, tuple(degrees.values()), mesh_dim_names=tuple(degrees.keys())
    )


def sum_gradients(module: nn.Module, replicas: Collectives) -> None:
    """Add up gradients over the replicas in one flattened all_reduce."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if not gradients:
        return  # a stage without parameters; so it is on every replica
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    replicas.all_reduce(flat, "gradients")
    totals = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, total in zip(gradients, totals, strict=True):
        gradient.copy_(total.view_as(gradient))


def apply_hybrid(model: nn.Module, given: Given) -> ParallelModel:
    """This rank's slice of its stages of its replica; see ``ApplyStrategy`` for the arguments.

    Raises:
        PlanError: no layer says how it may be split over tp, or tp does not divide one.
    """
    plan, place, recorder = given.plan, given.place, given.recorder
    shapes = trace_shapes(model, given.example)
    sums = output_sums(model, given) if plan.tp > 1 else {}
    mesh = make_mesh(plan, given.device)
    module = model
    if plan.pp > 1:
        assert isinstance(model, nn.Sequential), "the plan was not validated"
        module = take_layers(model, layers_of_rank(given))
    split_dims: dict[str, int] = {}
    if plan.tp > 1:
        check_regions(shapes, plan)
        slices = Collectives(mesh.get_group("tp"), "comm_tp", recorder, given.pace)
        split_dims = split_regions(module, mesh["tp"], slices)
    forward_backward, needs_batch = _run_replica(model, given, shapes)
    if plan.dp > 1:
        replicas = Collectives(mesh.get_group("dp"), "comm_dp", recorder, given.pace)
        forward_backward = _then_sum(forward_backward, module, replicas)
    return ParallelModel(
        module=module,
        place=place,
        device=given.device,
        forward_backward=forward_backward,
        comm_bytes_per_step=_bytes_per_step(module, given, shapes, sums),
        needs_batch=needs_batch,
        split_dims=split_dims,
        split_rank=place.tensor_rank,
        speaks=place.replica == 0,
    )


def _run_replica(model: nn.Module, given: Given, shapes: Shapes) -> tuple[ForwardBackward, bool]:
    """One replica's forward and backward without its peers, and whether it reads the batch."""
    if given.plan.pp > 1:
        assert isinstance(model, nn.Sequential), "the plan was not validated"
        pipeline = Pipeline(model, given, shapes)
        return pipeline.forward_backward, pipeline.needs_batch
    given.pace.watch_layers(model)
    # A tensor group computes the same loss on all its ranks: one of them reports it.
    return accumulate(model, given, reports_loss=given.place.tensor_rank == 0), True


def _then_sum(
    run_replica: ForwardBackward, module: nn.Module, replicas: Collectives
) -> ForwardBackward:
    def forward_backward(batch: Batch) -> Tensor:
        loss = run_replica(batch)
        sum_gradients(module, replicas)
        return loss

    return forward_backward


def _bytes_per_step(
    module: nn.Module, given: Given, shapes: Shapes, sums: Mapping[str, int]
) -> dict[str, float]:
    plan = given.plan
    sizes: dict[str, float] = {}
    if plan.dp > 1:
        sizes["comm_dp"] = num_parameter_bytes(module)
    if plan.tp > 1:
        sizes["comm_tp"] = sum(
            tensor_bytes_per_step(shapes, given.stages[stage], plan.num_microbatches, sums)
            for stage in stages_of_rank(given)
        )
    if plan.pp > 1:
        sizes["comm_pp"] = pipeline_bytes_per_step(given, shapes)
    return {kind: size for kind, size in sizes.items() if size}
