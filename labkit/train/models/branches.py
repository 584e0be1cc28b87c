"""Handwritten digits by a model that forks: one stem, four different branches, one head.

Each branch sees the image at another scale, as in an Inception block (Szegedy et al. 2015,
arXiv:1409.4842); their outputs are summed. Branches need nothing from each other, so each may
stand on a rank of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from labkit.errors import WorkloadError

CHANNELS = 16
HIDDEN = 32


class Branches(nn.Module):
    """Parallel modules that get the same input; their outputs, of one shape, are summed."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self.branches]).sum(dim=0)


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Three layers: a convolution, four branches, a classifier.

    Args:
        input_shape: ``(channels, height, width)`` of one sample, at least 2 pixels high and wide.
        num_classes: classes to tell apart.
    Returns:
        Layers that take x: (batch, channels, height, width) float32 and give
        (batch, num_classes) logits.
    Raises:
        WorkloadError: a sample is not an image.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < 2:
        raise WorkloadError(
            f"the branches model takes images of shape (channels, height, width), but the "
            f"dataset's samples are {tuple(input_shape)}; train it on a dataset of images"
        )
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, CHANNELS, 3, padding=1), nn.GELU()),
        Branches([_branch(1), _branch(3), _branch(5), _branch(3, dilation=2)]),
        nn.Sequential(
            nn.GroupNorm(1, CHANNELS),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(CHANNELS * (height // 2) * (width // 2), num_classes),
        ),
    )


def _branch(size: int, dilation: int = 1) -> nn.Sequential:
    """Two convolutions of some size that keep the image's shape."""
    padding = dilation * (size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(CHANNELS, HIDDEN, size, padding=padding, dilation=dilation),
        nn.GELU(),
        nn.Conv2d(HIDDEN, CHANNELS, size, padding=padding, dilation=dilation),
    )
