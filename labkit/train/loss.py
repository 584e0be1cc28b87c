"""The loss of every workload, and the fraction that a model gets right."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100  # target of a sample that only fills up a batch


def scaled_loss(logits: Tensor, targets: Tensor, scale: float) -> Tensor:
    """Cross-entropy summed over all predictions, times a scale.

    With one over the predictions of the global batch as the scale, the losses of all slices of
    that batch add up to its mean, whatever their sizes; so do their gradients. That is what makes
    a split step equal to an unsplit one.

    Args:
        logits: (..., num_classes) float, one row of scores per prediction.
        targets: (...) int64, the right class of each; ``IGNORED`` ones count for nothing.
        scale: see above.
    Returns:
        A scalar, float32, or float64 for float64 logits.
    """
    if logits.dtype == torch.bfloat16:
        logits = logits.float()
    summed = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return summed * scale


def count_correct(logits: Tensor, targets: Tensor) -> int:
    """How many predictions are right; shapes as in ``scaled_loss``."""
    return int((logits.argmax(dim=-1) == targets).sum())
