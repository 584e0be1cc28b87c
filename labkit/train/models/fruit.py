"""Oranges or watermelons: a multilayer perceptron on the preprocessed columns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.errors import WorkloadError
from labkit.train.models.layers import FeedForward, Residual

WIDTH = 192
NUM_BLOCKS = 6


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Eight layers: columns to width, six residual blocks, width to classes.

    Args:
        input_shape: ``(num_columns,)`` of one sample, from the dataset's manifest.
        num_classes: classes to tell apart.
    Returns:
        Layers that take x: (batch, num_columns) float32 and give (batch, num_classes) logits.
    Raises:
        WorkloadError: a sample is not one row of columns.
    """
    return perceptron("fruit", input_shape, num_classes, width=WIDTH, num_blocks=NUM_BLOCKS)


def perceptron(
    name: str, input_shape: Sequence[int], num_classes: int, *, width: int, num_blocks: int
) -> nn.Sequential:
    """Columns to width, equal residual blocks, width to classes; see ``build``.

    Args:
        name: of the model, for the error.
        input_shape, num_classes: as of ``build``.
        width: of every block.
        num_blocks: residual blocks between the first and the last layer.
    Raises:
        WorkloadError: a sample is not one row of columns.
    """
    if len(input_shape) != 1:
        raise WorkloadError(
            f"the {name} model takes samples of shape (columns,), but the dataset's are "
            f"{tuple(input_shape)}; train it on a dataset of rows"
        )
    blocks = [Residual(FeedForward(width, width)) for _ in range(num_blocks)]
    return nn.Sequential(nn.Linear(input_shape[0], width), *blocks, nn.Linear(width, num_classes))
