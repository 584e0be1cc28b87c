"""Does a tensor region mean the same when it is cut? Tried out, slice by slice, in one process.

A class says by ``tensor_split`` which of its children may be cut, and nothing but running it can
tell whether that is true: a residual inside the region, or a norm behind its entrance, would give
losses that look right and gradients that are not.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import WorkloadError
from labkit.train.custom_layers import UNFIT
from labkit.train.strategies.tensor import cut_dims

MAX_SLICES = 64
TOLERANCE = 1e-4  # of the largest number, in float32


def count_slices(regions: Mapping[str, tuple[nn.Module, Tensor]]) -> int:
    """Slices that all of a model's regions can be cut into evenly.

    Args:
        regions: each tensor region with an input, by its name in the model.
    Returns:
        The largest number that gives the same outputs and gradients as the whole; 1 if there is
        no region, or nothing divides its layers.
    Raises:
        WorkloadError: a region whose layers could be cut gives something else when they are.
    """
    sizes = [size for region, _ in regions.values() for size in _cut_sizes(region)]
    limit = gcd(*sizes) if sizes else 1
    candidates = [n for n in range(min(limit, MAX_SLICES), 1, -1) if limit % n == 0]
    tried: dict[object, str] = {}
    for num_slices in candidates:
        if not any(_difference(*regions[name], num_slices, tried) for name in regions):
            return num_slices
    for name, (region, x) in regions.items():
        why = _difference(region, x, candidates[-1], tried) if candidates else ""
        if why:
            raise WorkloadError(
                f"layer {name!r}: {type(region).__name__}.tensor_split={dict(_split_of(region))} "
                f"cut in {candidates[-1]} is not the whole: {why}; correct it, or leave it out"
            )
    return 1


def _split_of(region: nn.Module) -> Mapping[str, str]:
    split: Mapping[str, str] = getattr(type(region), "tensor_split", {})
    return split


def _cut_sizes(region: nn.Module) -> list[int]:
    """Sizes that a number of slices has to divide."""
    check_children(region)
    parameters = dict(region.named_parameters())
    return [parameters[name].shape[dim] for name, dim in cut_dims(region).items()]


def check_children(region: nn.Module) -> None:
    """Raise a WorkloadError unless ``tensor_split`` names layers of the kinds that can be cut."""
    name = type(region).__name__
    for child, way in _split_of(region).items():
        layer = getattr(region, child, None)
        if way not in ("column", "row") or not isinstance(layer, nn.Linear | nn.Conv2d):
            raise WorkloadError(
                f"{name}.tensor_split says {child!r} is {way!r}, but it is "
                f"{type(layer).__name__}; name nn.Linear or nn.Conv2d children as column or row"
            )
    rows = [child for child, way in _split_of(region).items() if way == "row"]
    if len(rows) != 1:
        raise WorkloadError(
            f"{name}.tensor_split has {len(rows)} row layers; name the one that joins the slices"
        )


def _difference(region: nn.Module, x: Tensor, num_slices: int, tried: dict[object, str]) -> str:
    """What differs, empty if nothing does; regions that are built alike are tried once."""
    shapes = tuple((name, p.shape) for name, p in region.named_parameters())
    key = (type(region), str(region), shapes, x.shape, num_slices)
    if key not in tried:
        try:
            tried[key] = compare_slices(region, x, num_slices)
        except UNFIT as error:
            tried[key] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return tried[key]


def compare_slices(region: nn.Module, x: Tensor, num_slices: int) -> str:
    """Run a region whole and in slices, forward and backward.

    The slices run one after the other. What each row layer gives is replaced by the sum over all
    slices, known from the whole, so that a slice goes on as it would beside the others.

    Args:
        region: whole.
        x: its input, (batch, ...).
        num_slices: divides its cut layers.
    Returns:
        What differs, empty if nothing does.
    """
    whole, (row,) = copy.deepcopy(region), [c for c, w in _split_of(region).items() if w == "row"]
    joined: list[Tensor] = []
    whole.get_submodule(row).register_forward_hook(lambda _, __, y: joined.append(y.detach()))
    y, x_grad = _run(whole, x)
    gradients = {name: p.grad for name, p in whole.named_parameters()}
    partial_sums, x_grads = torch.zeros_like(joined[0]), torch.zeros_like(x_grad)
    for number in range(num_slices):
        part = cut(copy.deepcopy(region), number, num_slices)
        layer: Any = part.get_submodule(row)
        layer.forward = partial(_join, layer, joined[0], partial_sums)
        y_part, x_grad_part = _run(part, x)
        x_grads += x_grad_part
        if not close(y_part, y):
            return "its output differs"
        dims = cut_dims(region)
        for name, parameter in part.named_parameters():
            wanted = gradients[name]
            if wanted is not None and name in dims:
                wanted = wanted.chunk(num_slices, dims[name])[number]
            if not close(parameter.grad, wanted):
                return f"the gradient of {name!r} differs"
    bias = getattr(region.get_submodule(row), "bias", None)
    if bias is not None:
        shape = (-1, 1, 1) if isinstance(region.get_submodule(row), nn.Conv2d) else (-1,)
        partial_sums = partial_sums + bias.detach().view(shape)
    if not close(partial_sums, joined[0]):
        return "its partial sums do not add up"
    return "" if close(x_grads, x_grad) else "the gradient of its input differs"


def cut(region: nn.Module, number: int, num_slices: int) -> nn.Module:
    """Keep one slice of each cut parameter of a region, in place."""
    for name, dim in cut_dims(region).items():
        child, _, parameter = name.rpartition(".")
        whole = getattr(region.get_submodule(child), parameter).detach()
        piece = whole.chunk(num_slices, dim)[number].clone()
        setattr(region.get_submodule(child), parameter, nn.Parameter(piece))
    return region


def _run(region: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Output, and the gradient of the input, for the same gradient of the output every time."""
    x = x.detach().clone().requires_grad_()
    y: Tensor = region(x)
    generator = torch.Generator().manual_seed(0)
    y.backward(torch.randn(y.shape, generator=generator))  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return y.detach(), x.grad


def _join(layer: nn.Linear | nn.Conv2d, joined: Tensor, partial_sums: Tensor, x: Tensor) -> Tensor:
    """A row layer among slices: adds its part to the sum, and goes on with the whole sum."""
    if isinstance(layer, nn.Linear):
        part = F.linear(x, layer.weight)
        bias: Tensor | None = layer.bias
    else:
        part = layer._conv_forward(x, layer.weight, None)
        bias = None if layer.bias is None else layer.bias.view(-1, 1, 1)
    partial_sums += part.detach()
    part = part if bias is None else part + bias
    return part + (joined - part).detach()


def close(found: Tensor | None, wanted: Tensor | None) -> bool:
    """Whether two tensors agree but for rounding; two that are missing do."""
    if found is None or wanted is None:
        return found is wanted
    if found.shape != wanted.shape:
        return False
    scale = float(wanted.abs().max()) if wanted.numel() else 0.0
    return bool(torch.allclose(found, wanted, rtol=0.0, atol=TOLERANCE * scale + 1e-7))
