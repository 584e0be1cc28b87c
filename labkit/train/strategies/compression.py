"""Data parallelism with gradients that travel smaller than they are.

Two ways, both approximate. A cast halves the bytes of float32: ``fp16`` keeps 11 bits of every
number but loses what is below 6e-8, ``bf16`` keeps the range and 8 bits. PowerSGD sends instead of
each matrix of gradients (n, m) the factors P (n, 2) and Q (m, 2) of an approximation, and adds what
was lost to the next step's gradient (Vogels et al. 2019, arXiv:1905.13727); vectors, and matrices
that it would hardly shrink, travel whole.

What it costs in accuracy: over 20 steps of the bundled workloads with a batch of 8, losses differ
from those of exact sums by 1e-5 to 3e-4 (fp16), 5e-5 to 8e-3 (bf16) and 3e-2 to 1e-1 (PowerSGD),
relatively.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook

from labkit.train.strategies.data import BucketLog, replicate
from labkit.train.strategies.parallel_model import Given, ParallelModel, num_parameter_bytes
from labkit.train.strategies.shapes import num_bytes

POWERSGD_RANK = 2  # columns of P and Q
POWERSGD_START = 2  # first steps that send whole gradients: DDP still rearranges its buckets
POWERSGD_MIN_RATE = 2  # a matrix is worth it if it shrinks by more than that


@dataclass(slots=True)
class CastLog(BucketLog):
    """Buckets that are cast to a smaller type for the way, and back."""

    wire: torch.dtype = torch.bfloat16

    def reduce(self, bucket: GradBucket) -> torch.futures.Future[Tensor]:
        """Start the all_reduce of a bucket's cast."""
        buffer = bucket.buffer()
        small = buffer.to(self.wire)
        number = self.begin(num_bytes(small))
        future: torch.futures.Future[list[Tensor]] = dist.all_reduce(
            small, async_op=True
        ).get_future()

        def done(finished: torch.futures.Future[list[Tensor]]) -> Tensor:
            buffer.copy_(finished.value()[0])
            self.end(number)
            return buffer

        reduced: torch.futures.Future[Tensor] = future.then(done)
        return reduced


@dataclass(slots=True)
class PowerLog(BucketLog):
    """Buckets that PyTorch's PowerSGD sends; it counts what it hands to its all_reduces.

    One bucket at a time: it starts the all_reduces of Q from where those of P have ended, and with
    gloo the ranks would not do so in the same order for several buckets, and wait for ever.
    """

    state: PowerSGDState | None = None

    def reduce(self, bucket: GradBucket) -> torch.futures.Future[Tensor]:
        """All_reduce what stays whole, then P, then Q; returns when that is done."""
        state = self.state
        assert state is not None
        buffer = bucket.buffer()
        number = self.begin(num_bytes(buffer))
        # It takes the mean over the ranks, where our losses are scaled for a sum.
        buffer.mul_(dist.get_world_size())
        is_whole = state.iter < state.start_powerSGD_iter
        before = state.total_numel_after_compression
        future: torch.futures.Future[Tensor] = powerSGD_hook(state, bucket)
        if not is_whole:
            sent = state.total_numel_after_compression - before
            self.sizes[number] = sent * buffer.element_size()
        future.wait()
        self.end(number)
        return future


def cast_bytes(model: nn.Module, wire: torch.dtype) -> int:
    """Payload of a step whose gradients are cast to a type."""
    return sum(p.numel() for p in model.parameters()) * wire.itemsize


def powersgd_bytes(model: nn.Module, num_steps: int) -> int:
    """Payload of so many steps with PowerSGD: the first ones whole, then factors.

    ``(n + m) * rank`` numbers instead of ``n * m`` where that shrinks a matrix enough.
    """
    whole = num_parameter_bytes(model)
    return whole * min(num_steps, POWERSGD_START) + sum(
        _numbers_sent(p) * p.element_size() for p in model.parameters()
    ) * max(0, num_steps - POWERSGD_START)


def _numbers_sent(parameter: Tensor) -> int:
    n = parameter.shape[0] if parameter.dim() else 1
    m = parameter.numel() // n
    factors = (n + m) * min(n, m, POWERSGD_RANK)
    return factors if factors * POWERSGD_MIN_RATE < n * m else n * m


def apply_compression(model: nn.Module, given: Given) -> ParallelModel:
    """As ``apply_data``, with gradients compressed for the way; see ``ApplyStrategy``."""
    if given.plan.compression == "powersgd":
        return _apply_powersgd(model, given)
    wire = {"fp16": torch.float16, "bf16": torch.bfloat16}[given.plan.compression]
    part = replicate(model, given, CastLog(given.recorder, given.pace, wire=wire))
    return replace(part, comm_bytes_per_step={"comm_dp": cast_bytes(model, wire)})


def _apply_powersgd(model: nn.Module, given: Given) -> ParallelModel:
    state = PowerSGDState(
        None,
        matrix_approximation_rank=POWERSGD_RANK,
        start_powerSGD_iter=POWERSGD_START,
        min_compression_rate=POWERSGD_MIN_RATE,
        orthogonalization_epsilon=1e-8,  # a gradient may have fewer than two directions
    )
    part = replicate(model, given, PowerLog(given.recorder, given.pace, state=state))
    by_kind = {"error": state.error_dict, "p": state.p_memory_dict, "q": state.q_memory_dict}

    def private() -> dict[str, Tensor]:
        return {f"{kind}.{b}": x for kind, of in by_kind.items() for b, x in of.items()}

    def take_up(step: int, kept: Mapping[str, Tensor]) -> None:
        state.iter = step
        for name, x in kept.items():
            kind, _, bucket = name.partition(".")
            by_kind[kind][int(bucket)] = x

    return replace(
        part,
        comm_bytes_after=lambda num_steps: {"comm_dp": powersgd_bytes(model, num_steps)},
        private=private,
        take_up=take_up,
    )
