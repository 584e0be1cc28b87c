"""Handwritten digits of 8 x 8 pixels: a small convolutional network without batch norm.

It normalises each sample by itself (Wu & He 2018, arXiv:1803.08494): batch norm would make the
loss depend on how a batch is cut, and so on the plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.errors import WorkloadError
from labkit.train.models.layers import ConvPair, FeedForward, Residual


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Six layers: convolve, refine, halve, refine, flatten and mix, classify.

    Args:
        input_shape: ``(channels, height, width)`` of one sample; height and width even.
        num_classes: classes to tell apart.
    Returns:
        Layers that take x: (batch, channels, height, width) float32 and give
        (batch, num_classes) logits.
    Raises:
        WorkloadError: a sample is not an image of even height and width.
    """
    if len(input_shape) != 3 or input_shape[1] % 2 or input_shape[2] % 2:
        raise WorkloadError(
            f"the digits model takes images of shape (channels, even height, even width), but "
            f"the dataset's samples are {tuple(input_shape)}; train it on a dataset of images"
        )
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.GELU()),
        Residual(ConvPair(16, 32), nn.GroupNorm(1, 16)),
        nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GELU()),
        Residual(ConvPair(32, 64), nn.GroupNorm(1, 32)),
        nn.Sequential(
            nn.GroupNorm(1, 32),
            nn.Flatten(),
            nn.Linear(32 * (height // 2) * (width // 2), 128),
            nn.GELU(),
            Residual(FeedForward(128, 256), nn.LayerNorm(128)),
        ),
        nn.Linear(128, num_classes),
    )
