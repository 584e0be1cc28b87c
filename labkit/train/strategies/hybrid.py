"""Hybrid parallelism: replicas of a model that is itself split over stages, slices or both.

Ranks stand on the mesh (dp, pp, tp), row-major: the ranks that talk most, a tensor group, are
neighbours (Narayanan et al. 2021, arXiv:2104.04473). In this order: cut the stage's layers into
slices, run the stage in its pipeline, sum the gradients over the replicas.

The replicas are joined by hand: ``DistributedDataParallel`` takes no stage that several backwards
run through, and ``replicate(device_mesh=...)`` gives wrong gradients without saying so.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import (
    ForwardBackward,
    ParallelModel,
    Place,
    accumulate,
    num_parameter_bytes,
)
from labkit.train.strategies.pipeline import (
    Pipeline,
    RecordedStage,
    layers_of_stage,
    pipeline_bytes_per_step,
    take_layers,
)
from labkit.train.strategies.shapes import Shapes, num_bytes, trace_shapes
from labkit.train.strategies.tensor import TensorGroup, split_regions, tensor_bytes_per_step


def sum_gradients(module: nn.Module, group: dist.ProcessGroup, recorder: SpanRecorder) -> None:
    """Add up a stage's gradients over the replicas in one flattened all_reduce."""
    start_s = recorder.now()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat, group=group)
    totals = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, total in zip(gradients, totals, strict=True):
        gradient.copy_(total.view_as(gradient))
    recorder.add("comm_dp", "gradients", start_s, num_bytes=num_bytes(flat))
    recorder.count_bytes("comm_dp", num_bytes(flat))


def apply_hybrid(
    *,
    model: nn.Sequential,
    plan: Plan,
    place: Place,
    example: Tensor,
    device: torch.device,
    recorder: SpanRecorder,
) -> ParallelModel:
    """This rank's slice of its stage of its replica; see ``ApplyStrategy`` for the arguments."""
    shapes = trace_shapes(model, example)
    layers = layers_of_stage(len(model), plan.pp, place.stage)
    mesh = init_device_mesh(
        device.type, (plan.dp, plan.pp, plan.tp), mesh_dim_names=("dp", "pp", "tp")
    )
    module = take_layers(model, layers)
    split_dims = split_regions(module, TensorGroup(mesh["tp"], recorder)) if plan.tp > 1 else {}
    module.to(device)
    run_replica, needs_batch = _run_replica(module, plan, place, shapes, mesh, device, recorder)

    def forward_backward(inputs: Tensor | None, targets: Tensor | None) -> Tensor:
        loss = run_replica(inputs, targets)
        if plan.dp > 1:
            sum_gradients(module, mesh.get_group("dp"), recorder)
        return loss

    return ParallelModel(
        module=module,
        place=place,
        forward_backward=forward_backward,
        comm_bytes_per_step=_bytes_per_step(module, plan, place, shapes, layers),
        needs_batch=needs_batch,
        split_dims=split_dims,
        tensor_mesh=mesh["tp"] if plan.tp > 1 else None,
    )


def _run_replica(
    module: nn.Sequential,
    plan: Plan,
    place: Place,
    shapes: Shapes,
    mesh: DeviceMesh,
    device: torch.device,
    recorder: SpanRecorder,
) -> tuple[ForwardBackward, bool]:
    """One replica's forward and backward without its peers, and whether it reads the batch."""
    reports_loss = place.tensor_rank == 0  # its tensor group has computed the same loss
    if plan.pp == 1:
        return accumulate(module, plan, recorder, reports_loss=reports_loss), True
    group = mesh.get_group("pp")
    stage = RecordedStage(module, place, plan, shapes, device, group, recorder)
    pipeline = Pipeline(stage, plan, recorder, reports_loss=reports_loss)
    return pipeline.forward_backward, stage.is_first or stage.is_last


def _bytes_per_step(
    module: nn.Module, plan: Plan, place: Place, shapes: Shapes, layers: range
) -> dict[str, int]:
    by_kind = {
        "comm_dp": num_parameter_bytes(module) if plan.dp > 1 else 0,
        "comm_tp": tensor_bytes_per_step(shapes, layers, plan.num_microbatches)
        if plan.tp > 1
        else 0,
        "comm_pp": pipeline_bytes_per_step(plan, place, shapes) if plan.pp > 1 else 0,
    }
    return {kind: size for kind, size in by_kind.items() if size}
