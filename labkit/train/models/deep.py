"""Oranges or watermelons by a deep and narrow perceptron: 32 layers, to cut as one likes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.train.models.fruit import perceptron

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
    return perceptron("deep", input_shape, num_classes, width=WIDTH, num_blocks=NUM_BLOCKS)
