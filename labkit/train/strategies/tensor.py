"""Tensor parallelism: every rank takes the whole batch and a slice of each wide layer.

In a region (see ``labkit.train.models.layers``) the column layers each make a slice of the wide
activation; the row layers turn slices into partial sums. One all_reduce per region and direction
joins them: of the sums in the forward, of the input's gradient in the backward (the operators g
and f of Shoeybi et al. 2019, arXiv:1909.08053).

``parallelize_module`` applies the two styles below, and ``DTensor`` cuts the weights and puts them
together again. Between the two, a rank works on its plain slice: passing every operation through
DTensor's dispatch would cost more than the arithmetic of layers this small.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.parallel import parallelize_module
from torch.distributed.tensor.parallel.style import ParallelStyle
from torch.nn import functional as F

from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import ParallelModel, Place, accumulate
from labkit.train.strategies.shapes import Shapes, num_bytes, trace_shapes


class TensorGroup:
    """The ranks that share every wide layer, and their one collective, recorded."""

    def __init__(self, mesh: DeviceMesh, recorder: SpanRecorder) -> None:
        self.mesh = mesh
        self.group = mesh.get_group()
        self.recorder = recorder

    def all_reduce(self, x: Tensor, name: str) -> None:
        """Sum a tensor over the group, in place."""
        start_s = self.recorder.now()
        dist.all_reduce(x, group=self.group)
        size = num_bytes(x)
        self.recorder.add("comm_tp", name, start_s, num_bytes=size)
        self.recorder.count_bytes("comm_tp", size)


class EnterRegion(torch.autograd.Function):
    """Forward nothing; backward the sum of what each slice says of the input's gradient (f)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: TensorGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].contiguous()
        ctx.group.all_reduce(grad, "input gradient")
        return grad, None


class LeaveRegion(torch.autograd.Function):
    """Forward the sum of the slices' partial results; backward nothing (g)."""

    @staticmethod
    def forward(ctx: Any, partial_sum: Tensor, group: TensorGroup) -> Tensor:
        ctx.mark_dirty(partial_sum)
        group.all_reduce(partial_sum, "output")
        return partial_sum

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def _slice_parameter(module: nn.Module, name: str, dim: int, mesh: DeviceMesh) -> None:
    whole = getattr(module, name)
    if whole is None:
        return
    if whole.shape[dim] % mesh.size():
        raise PlanError(
            f"tp({mesh.size()}) does not divide dimension {dim} of a {name} of shape "
            f"{tuple(whole.shape)}; choose a tp that divides {whole.shape[dim]}"
        )
    # src_data_rank=None: every rank already has the whole weight, nothing needs to be sent.
    local = distribute_tensor(whole.detach(), mesh, [Shard(dim)], src_data_rank=None).to_local()
    setattr(module, name, nn.Parameter(local.clone()))


class SplitColumns(ParallelStyle):
    """Each rank computes a slice of the outputs: weight and bias are cut along the outputs."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _slice_parameter(module, "weight", 0, device_mesh)
        _slice_parameter(module, "bias", 0, device_mesh)
        return module


class SplitRows(ParallelStyle):
    """Each rank uses a slice of the inputs; the sum over ranks is the layer's output.

    The bias stays whole and is added once, after the sum.
    """

    def __init__(self, group: TensorGroup) -> None:
        super().__init__()
        self.group = group

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _slice_parameter(module, "weight", 1, device_mesh)
        assert isinstance(module, nn.Linear | nn.Conv2d), f"no row style for {type(module)}"
        module.forward = partial(_forward_rows, module, self.group)  # type: ignore[method-assign]
        return module


def _forward_rows(layer: nn.Linear | nn.Conv2d, group: TensorGroup, x: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        partial_sum = F.linear(x, layer.weight)
        bias: Tensor | None = layer.bias
    else:
        partial_sum = layer._conv_forward(x, layer.weight, None)
        bias = layer.bias if layer.bias is None else layer.bias.view(-1, 1, 1)
    y: Tensor = LeaveRegion.apply(partial_sum, group)  # type: ignore[no-untyped-call]
    return y if bias is None else y + bias


def split_regions(model: nn.Module, group: TensorGroup) -> dict[str, int]:
    """Cut every tensor region of a model over the group, in place.

    Args:
        model: any part of a model whose classes may carry ``tensor_split``.
        group: the ranks to share it.
    Returns:
        The dimension along which each cut parameter is sliced, by the parameter's name.
    Raises:
        PlanError: the group's size does not divide a layer.
    """
    styles: dict[str, tuple[ParallelStyle, dict[str, int]]] = {
        "column": (SplitColumns(), {"weight": 0, "bias": 0}),
        "row": (SplitRows(group), {"weight": 1}),
    }
    split_dims: dict[str, int] = {}
    for region_name, region in list(model.named_modules()):
        for child, way in getattr(type(region), "tensor_split", {}).items():
            style, dims = styles[way]
            parallelize_module(region, group.mesh, {child: style}, src_data_rank=None)
            prefix = f"{region_name}.{child}".lstrip(".")
            split_dims |= {f"{prefix}.{parameter}": dim for parameter, dim in dims.items()}
        if hasattr(type(region), "tensor_split"):
            region.register_forward_pre_hook(
                lambda _, args: (EnterRegion.apply(args[0], group), *args[1:])  # type: ignore[no-untyped-call]
            )
    return split_dims


def tensor_bytes_per_step(shapes: Shapes, layers: range, num_microbatches: int) -> int:
    """Payload of a rank's all_reduces in one step, by formula.

    Every region sums its output in the forward and its input's gradient in the backward, once
    per microbatch: ``num_microbatches * (output bytes + input bytes)``.

    Args:
        shapes: of one microbatch.
        layers: indices of the layers that the rank holds.
        num_microbatches: microbatches of one replica's step.
    """
    return num_microbatches * sum(
        num_bytes(output) + (num_bytes(x) if x.requires_grad else 0)
        for name, (x, output) in shapes.regions.items()
        if int(name.split(".")[0]) in layers
    )


def apply_tensor(
    *,
    model: nn.Sequential,
    plan: Plan,
    place: Place,
    example: Tensor,
    device: torch.device,
    recorder: SpanRecorder,
) -> ParallelModel:
    """A slice of every region, the whole batch; see ``ApplyStrategy`` for the arguments.

    Raises:
        PlanError: no layer says how it may be split, or tp does not divide one.
    """
    shapes = trace_shapes(model, example)
    if not shapes.regions:
        raise PlanError(
            f"tp({plan.tp}): no layer of the model carries `tensor_split`; choose tp=1, or name "
            f"the column and row layers of its wide parts"
        )
    mesh = init_device_mesh(device.type, (plan.tp,), mesh_dim_names=("tp",))
    split_dims = split_regions(model, TensorGroup(mesh, recorder))
    module = model.to(device)

    num_comm_bytes = tensor_bytes_per_step(shapes, range(len(model)), plan.num_microbatches)
    return ParallelModel(
        module=module,
        place=place,
        # All ranks of the group compute the same loss: one of them reports it.
        forward_backward=accumulate(module, plan, recorder, reports_loss=place.tensor_rank == 0),
        comm_bytes_per_step={"comm_tp": num_comm_bytes},
        split_dims=split_dims,
        tensor_mesh=mesh,
    )
