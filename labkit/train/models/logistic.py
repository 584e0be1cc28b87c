"""Oranges or watermelons by logistic regression: one linear layer, no hidden units."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.errors import WorkloadError


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """One layer: columns to classes.

    Args:
        input_shape: ``(num_columns,)`` of one sample, from the dataset's manifest.
        num_classes: classes to tell apart.
    Returns:
        A layer that takes x: (batch, num_columns) float32 and gives (batch, num_classes) logits.
    Raises:
        WorkloadError: a sample is not one row of columns.
    """
    if len(input_shape) != 1:
        raise WorkloadError(
            f"the logistic model takes samples of shape (columns,), but the dataset's are "
            f"{tuple(input_shape)}; train it on a dataset of rows"
        )
    return nn.Sequential(nn.Linear(input_shape[0], num_classes))
