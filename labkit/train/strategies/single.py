"""One rank does the whole step; the baseline of every other strategy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import ParallelModel, Place, accumulate


def apply_single(
    *,
    model: nn.Sequential,
    plan: Plan,
    place: Place,
    example: Tensor,
    device: torch.device,
    recorder: SpanRecorder,
) -> ParallelModel:
    """The whole model on one rank; see ``ApplyStrategy`` for the arguments."""
    module = model.to(device)
    return ParallelModel(
        module=module, place=place, forward_backward=accumulate(module, plan, recorder)
    )
