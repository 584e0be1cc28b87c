"""Shapes of activations, found by running the model without data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shapes:
    """Activations of one microbatch, as tensors on the device ``meta``.

    Attributes:
        inputs: input of each layer of the model, in order; the last entry is the model's output.
        regions: input and output of each tensor region, by the region's name.
    """

    inputs: tuple[Tensor, ...]
    regions: Mapping[str, tuple[Tensor, Tensor]]


def trace_shapes(model: nn.Sequential, example: Tensor) -> Shapes:
    """Run a copy of the model on the device ``meta``, where tensors have shapes but no data.

    Args:
        model: whole and uncut.
        example: an input microbatch on ``meta``.
    Returns:
        Shapes; a tensor requires a gradient where the activation would.
    """
    ghost = copy.deepcopy(model).to("meta")
    regions: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in ghost.named_modules():
        if hasattr(type(module), "tensor_split"):
            module.register_forward_hook(
                lambda _, args, output, name=name: regions.update({name: (args[0], output)})
            )
    inputs = [example]
    for layer in ghost:
        inputs.append(layer(inputs[-1]))
    return Shapes(tuple(x.detach().requires_grad_(x.requires_grad) for x in inputs), regions)


def num_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor's values."""
    return tensor.numel() * tensor.element_size()


def empty_microbatch(shape: tuple[int, ...], dtype: str, size: int) -> Tensor:
    """An input microbatch on ``meta``.

    Args:
        shape: of one sample.
        dtype: numpy's name, as in a dataset's manifest.
        size: samples.
    """
    return torch.empty((size, *shape), dtype=getattr(torch, dtype), device="meta")
