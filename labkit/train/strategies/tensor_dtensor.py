"""Tensor parallelism by torch's own styles: everything inside a region is a ``DTensor``.

The same split as in ``tensor.py``, with nothing by hand: ``ColwiseParallel`` and
``RowwiseParallel`` shard the weights, and ``DTensor`` finds out, operation by operation, how its
operands are sharded and what has to be communicated. That covers far more than our two ways to
split; the price is its bookkeeping before every operation, which outweighs the arithmetic of small
layers. The collectives are the same, so the bytes are those of the styles by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.distributed.tensor.parallel.style import ParallelStyle

from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.train.strategies.shapes import num_bytes, trace_shapes
from labkit.train.strategies.tensor import check_regions, output_sums, tensor_bytes_per_step


@dataclass(frozen=True, slots=True)
class RegionEdges:
    """The two places of a region where ``DTensor`` communicates, with a clock at each.

    Everything else that it does to a region is local. Watching every operation for collectives
    would show the same (a test does), but make a step 15 % longer.
    """

    mesh: DeviceMesh
    recorder: SpanRecorder

    def enter(self, region: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Forward: the input is whole on every rank. Backward: the sum of the ranks' gradients.

        Were it left to the column layers to make a ``DTensor`` of the input, each would sum its
        own part of the input's gradient.
        """
        x: Tensor = args[0].view_as(args[0])
        whole = DTensor.from_local(x, self.mesh, [Replicate()], run_check=False)
        if x.requires_grad:
            begun: list[tuple[float, int]] = []

            def begin(grad: DTensor) -> None:
                is_partial = any(placement.is_partial() for placement in grad.placements)
                size = num_bytes(grad.to_local()) if is_partial else 0
                begun.append((self.recorder.now(), size))

            def end(grad: Tensor) -> Tensor:
                grad = grad.wait() if isinstance(grad, AsyncCollectiveTensor) else grad
                self._note("input gradient", *begun.pop())
                return grad

            whole.register_hook(begin)  # type: ignore[no-untyped-call]
            x.register_hook(end)  # type: ignore[no-untyped-call]
        return (whole, *args[1:])

    def join(self, row: nn.Module, args: Any, partial_sum: DTensor) -> Tensor:
        """Forward: the sum of the ranks' results, as a plain tensor. Backward: nothing."""
        start_s = self.recorder.now()
        y: Tensor = partial_sum.redistribute(placements=[Replicate()]).to_local()
        y = y.wait() if isinstance(y, AsyncCollectiveTensor) else y
        self._note("output", start_s, num_bytes(y))
        return y

    def _note(self, name: str, start_s: float, size: int) -> None:
        self.recorder.add("comm_tp", name, start_s, num_bytes=size)
        self.recorder.count_bytes("comm_tp", size)


@dataclass(frozen=True, slots=True, kw_only=True)
class DTensorModel(ParallelModel):
    """A part of a model whose ``DTensor`` parameters may also be whole on every rank."""

    def counts(self, name: str, tensor: Tensor) -> bool:
        """A row layer's bias is a ``DTensor`` too, but every rank has all of it."""
        if isinstance(tensor, DTensor) and any(p.is_shard() for p in tensor.placements):
            return True
        return self.split_rank == 0


def apply_dtensor(model: nn.Module, given: Given) -> ParallelModel:
    """A slice of every region, the whole batch; see ``ApplyStrategy`` for the arguments.

    Raises:
        PlanError: no layer says how it may be split, one is no ``nn.Linear``, or tp does not
            divide one.
    """
    plan, place = given.plan, given.place
    shapes = trace_shapes(model, given.example)
    check_regions(shapes, plan)
    check_linear(model, plan)
    sums = output_sums(model, given)
    mesh = init_device_mesh(given.device.type, (plan.tp,), mesh_dim_names=("tp",))
    distribute_regions(model, mesh, RegionEdges(mesh, given.recorder))
    return DTensorModel(
        module=model,
        place=place,
        device=given.device,
        forward_backward=accumulate(model, given, reports_loss=place.tensor_rank == 0),
        comm_bytes_per_step={
            "comm_tp": tensor_bytes_per_step(
                shapes, range(len(shapes.inputs) - 1), plan.num_microbatches, sums
            )
        },
        split_rank=place.tensor_rank,
        speaks=place.tensor_rank == 0,  # its tensors are put together by DTensor
    )


def distribute_regions(model: nn.Module, mesh: DeviceMesh, edges: RegionEdges) -> None:
    """Apply torch's styles to every tensor region of a model, in place."""
    for region in list(model.modules()):
        split: Mapping[str, str] = getattr(type(region), "tensor_split", {})
        if not split:
            continue
        region.register_forward_pre_hook(edges.enter)
        for child, way in split.items():
            style: ParallelStyle = ColwiseParallel()
            if way == "row":
                style = RowwiseParallel(output_layouts=Partial(), use_local_output=False)
            # src_data_rank=None: every rank already has the whole weight, nothing needs to be sent.
            parallelize_module(region, mesh, {child: style}, src_data_rank=None)
            if way == "row":
                region.get_submodule(child).register_forward_hook(edges.join)


def check_linear(model: nn.Module, plan: Plan) -> None:
    """Raise a PlanError unless every layer that would be cut is one that DTensor's styles know."""
    for region in model.modules():
        for child in getattr(type(region), "tensor_split", {}):
            layer = region.get_submodule(child)
            if not isinstance(layer, nn.Linear):
                raise PlanError(
                    f"tensor_style=dtensor shards nn.Linear over tp({plan.tp}), but "
                    f"{type(region).__name__}.{child} is {type(layer).__name__}; choose "
                    "tensor_style=plain"
                )
