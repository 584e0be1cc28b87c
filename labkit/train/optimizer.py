"""SGD with momentum on a rank's own parameters, and clipping by the norm of the whole gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from labkit.workload import Workload

if TYPE_CHECKING:
    from labkit.train.strategies.parallel_model import ParallelModel


class Owned(NamedTuple):
    """A weight that this rank updates.

    Attributes:
        name: of its parameter.
        weight: as it is updated: in float32 where the parameter is coarser.
        momentum: as ``weight``; ``None`` without momentum.
        stretch: its place in what this rank has of the parameter, flattened; ``None`` is all of it.
    """

    name: str
    weight: Tensor
    momentum: Tensor | None
    stretch: slice | None = None


class Optimizer:
    """SGD (``torch.optim.SGD``) over the parameters that this rank updates.

    Weights coarser than float32 would lose small updates to rounding, so for those it keeps
    float32 copies, updates the copies and rounds them (Micikevicius et al. 2018,
    arXiv:1710.03740).

    Args:
        parameters: plain ones or ``DTensor`` shards; may be empty.
        workload: momentum.
    """

    def __init__(self, parameters: Iterable[Tensor], workload: Workload) -> None:
        self._parameters = list(parameters)
        self._momentum = workload.momentum
        self._coarse = any(p.dtype == torch.bfloat16 for p in self._parameters)
        self.weights = (
            [nn.Parameter(p.detach().float()) for p in self._parameters]
            if self._coarse
            else self._parameters
        )
        self._sgd = (
            torch.optim.SGD(
                self.weights,
                lr=workload.learning_rate,
                momentum=workload.momentum,
                foreach=_all_at_once(self.weights),
            )
            if self.weights
            else None
        )

    @property
    def num_bytes(self) -> int:
        """Bytes of the weights that are updated, as this rank holds them."""
        return sum(_local(w).numel() * w.element_size() for w in self.weights)

    def zero_grad(self) -> None:
        """Forget the gradients of the step before."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self, learning_rate: float) -> None:
        """Update the parameters by their gradients."""
        if self._sgd is None:
            return
        self._sgd.param_groups[0]["lr"] = learning_rate
        if self._coarse:
            for weight, parameter in zip(self.weights, self._parameters, strict=True):
                weight.grad = None if parameter.grad is None else parameter.grad.float()
        self._sgd.step()
        self.round_weights()

    def momenta(self) -> list[Tensor]:
        """The momentum of each weight, in their order; empty before the first step."""
        if self._sgd is None:
            return []
        states = (self._sgd.state[weight] for weight in self.weights)
        return [s["momentum_buffer"] for s in states if s.get("momentum_buffer") is not None]

    def begin_momenta(self) -> None:
        """Give every weight the momentum that it has before its first step: zeros."""
        if self._sgd is not None and self._momentum:
            for weight in self.weights:
                self._sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    def owned(self, places: Iterable[tuple[str, slice | None]]) -> list[Owned]:
        """The weights with their momenta.

        Args:
            places: parameter and stretch of each, in their order; see ``Owned``.
        """
        return [
            Owned(name, weight, self._momentum_of(weight), stretch)
            for (name, stretch), weight in zip(places, self.weights, strict=True)
        ]

    def _momentum_of(self, weight: Tensor) -> Tensor | None:
        if self._sgd is None or not self._momentum:
            return None
        buffer: Tensor | None = self._sgd.state[weight].get("momentum_buffer")
        return torch.zeros_like(weight) if buffer is None else buffer  # its gradient never came

    @torch.no_grad()
    def round_weights(self) -> None:
        """Write the float32 copies back into coarser parameters."""
        if self._coarse:
            for weight, parameter in zip(self.weights, self._parameters, strict=True):
                parameter.copy_(weight)


def clip_gradients(part: ParallelModel, max_norm: float) -> float:
    """Scale the gradients so that the norm of the whole model's gradient is at most ``max_norm``.

    Every number of the whole gradient is counted once: sliced ones where they are, whole ones on
    the first rank that has them. A collective of all ranks.

    Args:
        part: this rank's part; its gradients are those of the global batch.
        max_norm: > 0.
    Returns:
        The norm before clipping.
    Source: Pascanu et al. 2013, arXiv:1211.5063.
    """
    named = [(n, p.grad) for n, p in part.module.named_parameters() if p.grad is not None]
    counted = [_local(grad) for name, grad in named if part.counts(name, grad)]
    squares = torch.zeros((), dtype=torch.float64, device=part.device)
    for grad in counted:
        squares += grad.double().square().sum()
    if dist.is_initialized() and dist.get_world_size() > 1 and not part.clips_alone:
        dist.all_reduce(squares)
    norm = float(squares.sqrt())
    factor = min(1.0, max_norm / (norm + 1e-6))
    if factor < 1:
        for _, grad in named:
            _local(grad).mul_(factor)
    return norm


def _all_at_once(weights: Sequence[Tensor]) -> bool | None:
    """PyTorch's choice, on a GPU one kernel for all; that refuses plain weights beside shards."""
    return None if len({isinstance(weight, DTensor) for weight in weights}) == 1 else False


def _local(tensor: Tensor) -> Tensor:
    """The numbers of a tensor that this rank holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
