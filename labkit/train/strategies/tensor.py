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

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.parallel import parallelize_module
from torch.distributed.tensor.parallel.style import ParallelStyle
from torch.nn import functional as F

from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.collectives import Collectives
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.train.strategies.shapes import Shapes, num_bytes, trace_shapes

# Dimension along which each parameter of a child is cut, by the way that the child is split.
_CUTS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {"column": {"weight": 0, "bias": 0}, "row": {"weight": 1}}
)


def cut_dims(model: nn.Module) -> dict[str, int]:
    """The dimension along which a tensor group cuts each wide parameter of a model, by its name."""
    dims: dict[str, int] = {}
    for region_name, region in model.named_modules():
        for child, way in getattr(type(region), "tensor_split", {}).items():
            for parameter, dim in _CUTS[way].items():
                if getattr(region.get_submodule(child), parameter) is not None:
                    dims[f"{region_name}.{child}.{parameter}".lstrip(".")] = dim
    return dims


class EnterRegion(torch.autograd.Function):
    """Forward nothing; backward the sum of what each slice says of the input's gradient (f)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Collectives) -> Tensor:
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
    def forward(ctx: Any, partial_sum: Tensor, group: Collectives) -> Tensor:
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

    def __init__(self, leave: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.leave = leave

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _slice_parameter(module, "weight", 1, device_mesh)
        assert isinstance(module, nn.Linear | nn.Conv2d), f"no row style for {type(module)}"
        module.forward = partial(_forward_rows, module, self.leave)  # type: ignore[method-assign]
        return module


def _forward_rows(
    layer: nn.Linear | nn.Conv2d, leave: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    if isinstance(layer, nn.Linear):
        partial_sum = F.linear(x, layer.weight)
        bias: Tensor | None = layer.bias
    else:
        partial_sum = layer._conv_forward(x, layer.weight, None)
        bias = layer.bias if layer.bias is None else layer.bias.view(-1, 1, 1)
    y = leave(partial_sum)
    return y if bias is None else y + bias


def split_regions(
    model: nn.Module,
    mesh: DeviceMesh,
    group: Collectives,
    *,
    enter: type[torch.autograd.Function] = EnterRegion,
    leave: type[torch.autograd.Function] = LeaveRegion,
) -> dict[str, int]:
    """Cut every tensor region of a model over the group, in place.

    Args:
        model: any part of a model whose classes may carry ``tensor_split``.
        mesh, group: the ranks to share it.
        enter: applied to ``(input, group)`` where a region begins.
        leave: applied to ``(partial sum, group)`` where its slices are joined.
    Returns:
        The dimension along which each cut parameter is sliced, by the parameter's name.
    Raises:
        PlanError: the group's size does not divide a layer.
    """

    def join(partial_sum: Tensor) -> Tensor:
        y: Tensor = leave.apply(partial_sum, group)  # type: ignore[no-untyped-call]
        return y

    styles: dict[str, ParallelStyle] = {"column": SplitColumns(), "row": SplitRows(join)}
    split_dims = cut_dims(model)
    for region in list(model.modules()):
        for child, way in getattr(type(region), "tensor_split", {}).items():
            parallelize_module(region, mesh, {child: styles[way]}, src_data_rank=None)
        if hasattr(type(region), "tensor_split"):
            region.register_forward_pre_hook(
                lambda _, args: (enter.apply(args[0], group), *args[1:])  # type: ignore[no-untyped-call]
            )
    return split_dims


def output_sums(model: nn.Module, given: Given) -> Mapping[str, int]:
    """How often each region sums its output in one microbatch's forward and backward, by name.

    Once, as a rule. A layer that forgets its activations runs again in the backward, up to the
    last thing that it has to keep, and so does each of its regions that lies before that.

    Args:
        model: whole and uncut.
        given: says whether activations are forgotten.
    """
    if not given.plan.checkpoint_activations:
        return {}
    ghost = copy.deepcopy(model).to("meta")
    sums: Counter[str] = Counter()
    for name, region in ghost.named_modules():
        for child, way in getattr(type(region), "tensor_split", {}).items():
            if way == "row":
                region.get_submodule(child).register_forward_hook(
                    lambda *_, name=name: sums.update([name])
                )
    ghost(given.example).sum().backward()
    return sums


def tensor_bytes_per_step(
    shapes: Shapes,
    layers: range,
    num_microbatches: int,
    sums: Mapping[str, int] = MappingProxyType({}),
) -> int:
    """Payload of a rank's all_reduces in one step, by formula.

    Every region sums its output in the forward and its input's gradient in the backward, once
    per microbatch: ``num_microbatches * (output bytes + input bytes)``.

    Args:
        shapes: of one microbatch.
        layers: indices of the layers that the rank holds.
        num_microbatches: microbatches of one replica's step.
        sums: from ``output_sums``, where a region sums its output more than once.
    """
    return num_microbatches * sum(
        num_bytes(output) * sums.get(name, 1) + (num_bytes(x) if x.requires_grad else 0)
        for name, (x, output) in shapes.regions.items()
        if int(name.split(".")[0]) in layers
    )


def apply_tensor(model: nn.Module, given: Given) -> ParallelModel:
    """A slice of every region, the whole batch; see ``ApplyStrategy`` for the arguments.

    Raises:
        PlanError: no layer says how it may be split, or tp does not divide one.
    """
    plan, place = given.plan, given.place
    shapes = trace_shapes(model, given.example)
    check_regions(shapes, plan)
    sums = output_sums(model, given)
    mesh = init_device_mesh(given.device.type, (plan.tp,), mesh_dim_names=("tp",))
    group = Collectives(mesh.get_group(), "comm_tp", given.recorder, given.pace)
    split_dims = split_regions(model, mesh, group)
    given.pace.watch_layers(model)
    all_layers = range(len(shapes.inputs) - 1)
    return ParallelModel(
        module=model,
        place=place,
        device=given.device,
        # All ranks of the group compute the same loss: one of them reports it.
        forward_backward=accumulate(model, given, reports_loss=place.tensor_rank == 0),
        comm_bytes_per_step={
            "comm_tp": tensor_bytes_per_step(shapes, all_layers, plan.num_microbatches, sums)
        },
        split_dims=split_dims,
        split_rank=place.tensor_rank,
    )


def check_regions(shapes: Shapes, plan: Plan) -> None:
    """Raise a PlanError unless some layer says how it may be split."""
    if not shapes.regions:
        raise PlanError(
            f"tp({plan.tp}): no layer of the model carries `tensor_split`; choose tp=1, or name "
            f"the column and row layers of its wide parts"
        )
