"""A model's parameters, or its gradients, as one flat tensor: what travels in one message."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def flatten_parameters(model: nn.Module, multiple_of: int = 1) -> Tensor:
    """Lay a model's parameters one after the other; they become views of the result.

    So whatever is written into the flat tensor, such as a message, is written into the model.

    Args:
        model: its parameters have one dtype.
        multiple_of: the length is padded with zeros to a multiple of it.
    Returns:
        (numbers of the model, padded) in the order of ``model.parameters()``.
    """
    parameters = list(model.parameters())
    flat = torch.cat([p.detach().flatten() for p in parameters])
    flat = F.pad(flat, (0, -flat.numel() % multiple_of))
    for parameter, piece in zip(parameters, split_flat(flat, parameters), strict=True):
        parameter.data = piece
    return flat


def flatten_gradients(model: nn.Module) -> Tensor:
    """Lay a model's gradients one after the other; they become views of the result.

    A parameter that the loss does not depend on has a gradient of zero.
    """
    parameters = list(model.parameters())
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([grad.flatten() for grad in grads])
    for parameter, piece in zip(parameters, split_flat(flat, parameters), strict=True):
        parameter.grad = piece
    return flat


def split_flat(flat: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    """The stretch of each parameter, in its shape; views of the flat tensor."""
    sizes = [p.numel() for p in parameters]
    stretches = torch.split(flat[: sum(sizes)], sizes)
    return [piece.view_as(p) for piece, p in zip(stretches, parameters, strict=True)]
