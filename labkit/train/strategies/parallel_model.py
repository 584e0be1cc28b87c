"""What a strategy is given and what it returns: one rank's part of the model, and its step."""

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
from torch.distributed.tensor import DTensor

from labkit.emulate.pacer import RealTime
from labkit.plan import Plan
from labkit.train.batches import Batch
from labkit.train.loss import scaled_loss
from labkit.train.optimizer import Optimizer, Owned
from labkit.train.plain_gather import gather_arrays, gather_plain
from labkit.train.point_to_point import carried_by_nccl
from labkit.train.spans import SpanRecorder
from labkit.workload import Workload

ForwardBackward = Callable[[Batch], Tensor]
AfterUpdate = Callable[[int, Optimizer], None]
TakeUp = Callable[[int, Mapping[str, Tensor]], None]


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
class Given:
    """What every strategy is given, besides the model.

    Attributes:
        workload, plan: already validated together.
        place: this rank's.
        example: an input microbatch without data (device ``meta``), for shapes.
        stages: layers of each stage of the pipeline, in order; one stage without a pipeline.
        device: where the rank computes.
        recorder: takes the spans and the bytes.
        pace: declared times of an emulated run, nothing in a measured one.
    """

    workload: Workload
    plan: Plan
    place: Place
    example: Tensor
    stages: tuple[range, ...]
    device: torch.device
    recorder: SpanRecorder
    pace: RealTime


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelModel:
    """One rank's part of a model under a plan.

    Attributes:
        module: the layers, or slices of layers, that this rank holds, by their global names.
        place: this rank's coordinates.
        device: where it computes.
        forward_backward: a step but for the update. Takes this rank's part of the batch, leaves
            the gradients of the *global* mean loss on ``module``, summed over replicas, and
            returns this rank's share of that loss: a scalar without gradient; the shares of all
            ranks add up to the global mean.
        comm_bytes_per_step: by formula, payload that this rank hands to each kind of collective;
            a fraction where it is not the same in every step.
        comm_bytes_after: the same after a number of steps, where it does not grow by as much in
            every step; ``None`` multiplies.
        needs_batch: whether this rank reads inputs or targets at all.
        columns: features of a sample that it reads; ``None`` reads all.
        updated: what its optimiser updates; ``None`` updates the parameters of ``module``.
        after_update: called with the step and the optimiser after each update, to make the
            replicas agree where ``forward_backward`` did not.
        split_dims: dimension along which a parameter is sliced over ranks, by name.
        split_rank: which slice this rank has.
        speaks: whether its parameters are among those that make up the whole model.
        clips_alone: whether replicas clip their own gradients, each for itself.
        staleness: of each update that this rank applied as an asynchronous server.
        owned: the weights that a checkpoint takes from this rank, given its optimiser; ``None``
            takes those that the optimiser updates, where they are the module's parameters.
        agrees_every: after every so many steps the replicas are equal, and can be saved.
        rehearses: whether the first step of a process differs from later ones, as with buckets
            that are rearranged after it; then a resumed training does one for nothing.
        private: what a checkpoint keeps of this rank beside that, for the same plan.
        take_up: called with the steps done and that state, when it goes on from a checkpoint;
            the state is empty under another plan.
        finish: called after the last step, when all ranks have ended it, before anybody looks at
            the weights.
        close: ends what the strategy has started; called whether or not the training failed.
    """

    module: nn.Module
    place: Place
    device: torch.device
    forward_backward: ForwardBackward
    comm_bytes_per_step: Mapping[str, float] = field(default_factory=dict)
    comm_bytes_after: Callable[[int], Mapping[str, int]] | None = None
    needs_batch: bool = True
    columns: slice | None = None
    updated: list[Tensor] | None = None
    after_update: AfterUpdate = lambda step, optimizer: None
    split_dims: Mapping[str, int] = field(default_factory=dict)
    split_rank: int = 0
    speaks: bool = True
    clips_alone: bool = False
    staleness: list[int] = field(default_factory=list)
    owned: Callable[[Optimizer], list[Owned]] | None = None
    agrees_every: int = 1
    rehearses: bool = False
    private: Callable[[], dict[str, Tensor]] = dict
    take_up: TakeUp = lambda step, private: None
    finish: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None

    def comm_bytes(self, num_steps: int, since: int = 0) -> dict[str, int]:
        """By formula, payload that this rank hands to each kind of collective in so many steps.

        Args:
            num_steps: how many.
            since: steps done before them.
        """
        if self.comm_bytes_after is not None:
            before = self.comm_bytes_after(since)
            after = self.comm_bytes_after(since + num_steps).items()
            grown = {kind: size - before.get(kind, 0) for kind, size in after}
            return {kind: size for kind, size in grown.items() if size}
        per_step = self.comm_bytes_per_step.items()
        return {kind: round(num_bytes * num_steps) for kind, num_bytes in per_step}

    def owns(self, optimizer: Optimizer) -> list[Owned]:
        """The weights that a checkpoint takes from this rank, with their momenta."""
        if self.owned is not None:
            return self.owned(optimizer)
        named = self.module.named_parameters() if self.updated is None else ()
        return optimizer.owned([(name, None) for name, _ in named])

    def counts(self, name: str, tensor: Tensor) -> bool:
        """Whether the numbers of a parameter here are counted in a sum over the whole model."""
        if isinstance(tensor, DTensor):
            return True  # each rank has its own shard
        return self.speaks and (name in self.split_dims or self.split_rank == 0)


class ApplyStrategy(Protocol):
    """A strategy: turns a whole model into this rank's part of it.

    Args:
        model: the whole model, the same on every rank, on the CPU; the strategy may cut it up.
        given: everything else.
    """

    def __call__(self, model: nn.Module, given: Given) -> ParallelModel: ...


def plain_backward(loss: Tensor, microbatch: int, recorder: SpanRecorder) -> None:
    """Backward of one microbatch, recorded."""
    with recorder.span("backward", "backward", microbatch):
        loss.backward()  # type: ignore[no-untyped-call]


def accumulate(
    module: nn.Module,
    given: Given,
    *,
    reports_loss: bool = True,
    around: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
    backward: Callable[[Tensor, int, SpanRecorder], None] = plain_backward,
    factor: float = 1.0,
) -> ForwardBackward:
    """A step without a pipeline: forward and backward of each microbatch, gradients adding up.

    Args:
        module: what this rank computes with.
        given: says how many microbatches there are, and takes the spans.
        reports_loss: whether this rank's loss counts; one rank of a tensor group reports it.
        around: context that a microbatch's forward and backward run in.
        backward: runs and records the backward of one microbatch.
        factor: of the gradients; ``dp`` makes them those of the replica's own mean loss.
    Returns:
        ``ParallelModel.forward_backward``.
    """
    num_microbatches, recorder = given.plan.num_microbatches, given.recorder

    def forward_backward(batch: Batch) -> Tensor:
        assert batch.inputs is not None, "every rank without a pipeline reads the batch"
        assert batch.targets is not None
        total = torch.zeros((), device=given.device, dtype=torch.float64)
        inputs = batch.inputs.chunk(num_microbatches)
        targets = batch.targets.chunk(num_microbatches)
        for microbatch, (x, y) in enumerate(zip(inputs, targets, strict=True)):
            with around(microbatch):
                with recorder.span("forward", "forward", microbatch):
                    loss = scaled_loss(module(x), y, batch.loss_scale * factor)
                backward(loss, microbatch, recorder)
            total += loss.detach()
        return total / factor if reports_loss else torch.zeros_like(total)

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
    whole = {name: _full(t.detach()) for name, t in tensors.items()}
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return whole
    splits = gather_plain((part.split_rank, dict(part.split_dims)))
    parts = gather_arrays(whole if part.speaks else {})
    if dist.get_rank() != 0:
        return {}
    found: dict[str, dict[int, np.ndarray]] = {}
    dims: dict[str, int] = {}
    for (split_rank, split_dims), arrays in zip(splits, parts, strict=True):
        dims |= split_dims
        for name, array in arrays.items():
            found.setdefault(name, {}).setdefault(split_rank, array)
    return {
        name: np.concatenate([slices[r] for r in sorted(slices)], axis=dims[name])
        if name in dims
        else next(iter(slices.values()))
        for name, slices in found.items()
    }


def _on_the_host(tensor: DTensor) -> DTensor:
    """The same shards in the host's memory, over the same group; of a mesh with one axis."""
    mesh = DeviceMesh.from_group(tensor.device_mesh.get_group(), "cpu")
    return DTensor.from_local(
        tensor.to_local().cpu(),
        mesh,
        tensor.placements,
        run_check=False,
        shape=tensor.shape,
        stride=tensor.stride(),
    )


def _full(tensor: Tensor) -> np.ndarray:
    if isinstance(tensor, DTensor):
        if tensor.is_cuda and not carried_by_nccl(tensor.device_mesh.get_group(0)):
            tensor = _on_the_host(tensor)  # gloo gathers shards in the host's memory only
        tensor = tensor.full_tensor()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    array: np.ndarray = tensor.cpu().numpy().copy()
    return array
