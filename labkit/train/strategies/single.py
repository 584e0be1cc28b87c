"""One rank does the whole step; the baseline of every other strategy."""

from __future__ import annotations

from torch import nn

from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate


def apply_single(model: nn.Module, given: Given) -> ParallelModel:
    """The whole model on one rank; see ``ApplyStrategy`` for the arguments."""
    given.pace.watch_layers(model)
    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        forward_backward=accumulate(model, given),
    )
