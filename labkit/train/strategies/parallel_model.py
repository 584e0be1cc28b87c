"""What every strategy returns: one rank's part of the model, and how to do a step with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from labkit.plan import Plan
from labkit.train.loss import mean_loss
from labkit.train.spans import SpanRecorder

ForwardBackward = Callable[[Tensor | None, Tensor | None], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rank stands on the mesh ``(dp, pp, tp)``, laid out row-major."""

    replica: int
    stage: int
    tensor_rank: int

    @classmethod
    def of(cls, rank: int, plan: Plan) -> Place:
        """The place of a rank under a plan."""
        rest, tensor_rank = divmod(rank, plan.tp)
        replica, stage = divmod(rest, plan.pp)
        return cls(replica=replica, stage=stage, tensor_rank=tensor_rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelModel:
    """One rank's part of a model under a plan.

    Attributes:
        module: the layers, or slices of layers, that this rank holds, by their global names.
        place: this rank's coordinates.
        forward_backward: a step but for the update. Takes this replica's inputs and targets
            (``None`` on a stage that needs neither), leaves the gradients of the *global* mean
            loss on ``module``, summed over replicas, and returns this rank's share of that loss:
            a scalar without gradient; the shares of all ranks add up to the global mean.
        comm_bytes_per_step: by formula, payload that this rank hands to each kind of collective.
        needs_batch: whether this rank reads inputs or targets at all.
        split_dims: dimension along which a parameter is sliced over the tensor group, by name.
        tensor_mesh: that group; ``None`` without tensor parallelism.
    """

    module: nn.Module
    place: Place
    forward_backward: ForwardBackward
    comm_bytes_per_step: Mapping[str, int] = field(default_factory=dict)
    needs_batch: bool = True
    split_dims: Mapping[str, int] = field(default_factory=dict)
    tensor_mesh: DeviceMesh | None = None


class ApplyStrategy(Protocol):
    """A strategy: turns a whole model into this rank's part of it.

    Args:
        model: the whole model, the same on every rank, on the CPU; the strategy may cut it up.
        plan: validated against the workload.
        place: this rank's.
        example: an input microbatch without data (device ``meta``), for shapes.
        device: where the rank computes.
        recorder: takes the spans and the bytes.
    """

    def __call__(
        self,
        *,
        model: nn.Sequential,
        plan: Plan,
        place: Place,
        example: Tensor,
        device: torch.device,
        recorder: SpanRecorder,
    ) -> ParallelModel: ...


def plain_backward(loss: Tensor, microbatch: int, recorder: SpanRecorder) -> None:
    """Backward of one microbatch, recorded."""
    with recorder.span("backward", "backward", microbatch):
        loss.backward()  # type: ignore[no-untyped-call]


def accumulate(
    module: nn.Module,
    plan: Plan,
    recorder: SpanRecorder,
    *,
    reports_loss: bool = True,
    around: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
    backward: Callable[[Tensor, int, SpanRecorder], None] = plain_backward,
) -> ForwardBackward:
    """A step without a pipeline: forward and backward of each microbatch, gradients adding up.

    Every microbatch's mean loss is scaled by ``1 / (dp * microbatches)``, so that gradients
    summed over microbatches and replicas are those of the global mean.

    Args:
        module: what this rank computes with.
        plan: says how many replicas and microbatches there are.
        recorder: takes the spans.
        reports_loss: whether this rank's loss counts; one rank of a tensor group reports it.
        around: context that a microbatch's forward and backward run in.
        backward: runs and records the backward of one microbatch.
    Returns:
        ``ParallelModel.forward_backward``.
    """
    num_microbatches = plan.num_microbatches
    scale = 1 / (plan.dp * num_microbatches)

    def forward_backward(inputs: Tensor | None, targets: Tensor | None) -> Tensor:
        assert inputs is not None, "every rank without a pipeline reads the batch"
        assert targets is not None
        total = torch.zeros((), device=inputs.device)
        pieces = zip(inputs.chunk(num_microbatches), targets.chunk(num_microbatches), strict=True)
        for microbatch, (x, y) in enumerate(pieces):
            with around(microbatch):
                with recorder.span("forward", "forward", microbatch):
                    loss = mean_loss(module(x), y) * scale
                backward(loss, microbatch, recorder)
            total += loss.detach()
        return total if reports_loss else torch.zeros_like(total)

    return forward_backward


def num_parameter_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters, and so of its gradients."""
    return sum(p.numel() * p.element_size() for p in module.parameters())


def gather_full(part: ParallelModel, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Put parameters or gradients of all ranks together on rank 0. A collective of all ranks.

    Args:
        part: this rank's part of the model.
        tensors: this rank's tensors by global name, one per parameter.
    Returns:
        On rank 0 every array of the whole model by name, unsharded; elsewhere an empty dict.
    """
    whole: dict[str, np.ndarray] = {}
    for name, local in tensors.items():
        tensor = local.detach()
        if part.tensor_mesh is not None and name in part.split_dims:
            sliced = DTensor.from_local(
                tensor, part.tensor_mesh, [Shard(part.split_dims[name])], run_check=False
            )
            tensor = sliced.full_tensor()
        whole[name] = tensor.cpu().numpy().copy()
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return whole
    rank = dist.get_rank()
    mine = whole if part.place.replica == 0 and part.place.tensor_rank == 0 else {}
    parts: list[dict[str, np.ndarray]] | None = [{}] * dist.get_world_size() if not rank else None
    dist.gather_object(mine, parts, dst=0)
    return {name: array for found in parts or [] for name, array in found.items()}
