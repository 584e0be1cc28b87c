"""Shapes of activations, found by running the model on a few samples of zeros."""

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


def trace_shapes(model: nn.Module, example: Tensor) -> Shapes:
    """Run a copy of the model on two samples and on three: what differs grows with the samples.

    Running it on ``meta`` instead, without data, would take several times as long: there, a layer
    such as ``LayerNorm`` is taken apart in Python.

    Args:
        model: whole and uncut.
        example: an input microbatch on ``meta``.
    Returns:
        Shapes; a tensor requires a gradient where the activation would.
    """
    ghost = copy.deepcopy(model).cpu()
    regions: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in ghost.named_modules():
        if hasattr(type(module), "tensor_split"):
            module.register_forward_hook(
                lambda _, args, output, name=name: regions.update({name: (args[0], output)})
            )
    runs: list[Shapes] = []
    with torch.random.fork_rng(devices=[]):  # dropout must not change what comes after
        for size in (2, 3):
            inputs = [torch.zeros((size, *example.shape[1:]), dtype=example.dtype)]
            for layer in ghost if isinstance(ghost, nn.Sequential) else [ghost]:
                inputs.append(layer(inputs[-1]))
            runs.append(Shapes(tuple(inputs), dict(regions)))
    two, three = runs
    size = example.shape[0]
    return Shapes(
        tuple(_grown(*pair, size) for pair in zip(two.inputs, three.inputs, strict=True)),
        {
            name: (_grown(x, three.regions[name][0], size), _grown(y, three.regions[name][1], size))
            for name, (x, y) in two.regions.items()
        },
    )


def _grown(of_two: Tensor, of_three: Tensor, size: int) -> Tensor:
    """An activation of ``size`` samples, without data."""
    shape = [
        dim + (size - 2) * (next_dim - dim)
        for dim, next_dim in zip(of_two.shape, of_three.shape, strict=True)
    ]
    empty = torch.empty(shape, dtype=of_two.dtype, device="meta")
    return empty.requires_grad_(of_two.requires_grad)


def num_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor's values."""
    return tensor.numel() * tensor.element_size()


def empty_microbatch(
    shape: tuple[int, ...], dtype: str, size: int, precision: torch.dtype = torch.float32
) -> Tensor:
    """An input microbatch on ``meta``.

    Args:
        shape: of one sample.
        dtype: numpy's name, as in a dataset's manifest.
        size: samples.
        precision: that floating-point inputs are turned into.
    """
    empty = torch.empty((size, *shape), dtype=getattr(torch, dtype), device="meta")
    return empty.to(precision) if empty.is_floating_point() else empty
