"""Oranges or watermelons by a deep and narrow perceptron: 32 layers, to cut as one likes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.errors import WorkloadError
from labkit.train.models.layers import FeedForward, Residual

WIDTH = 64
NUM_BLOCKS = 30


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Thirty-two layers: columns to width, thirty equal residual blocks, width to classes.

    Args:
        input_shape: ``(num_columns,)`` of one sample, from the dataset's manifest.
        num_classes: classes to tell apart.
    Returns:
        Layers that take x: (batch, num_columns) float32 and give (batch, num_classes) logits.
    Raises:
        WorkloadError: a sample is not one row of columns.
    """
    if len(input_shape) != 1:
        raise WorkloadError(
            f"the deep model takes samples of shape (columns,), but the dataset's are "
            f"{tuple(input_shape)}; train it on a dataset of rows"
        )
    blocks = [Residual(FeedForward(WIDTH, WIDTH)) for _ in range(NUM_BLOCKS)]
    return nn.Sequential(nn.Linear(input_shape[0], WIDTH), *blocks, nn.Linear(WIDTH, num_classes))
