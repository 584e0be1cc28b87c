"""The loss of every bundled workload, and the fraction that a model gets right."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all predictions.

    Args:
        logits: (..., num_classes) float, one row of scores per prediction.
        targets: (...) int64, the right class of each.
    Returns:
        A scalar; slices of equal size average to the loss of the whole batch, which is what
        makes a split step equal to an unsplit one.
    """
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def count_correct(logits: Tensor, targets: Tensor) -> int:
    """How many predictions are right; shapes as in ``mean_loss``."""
    return int((logits.argmax(dim=-1) == targets).sum())
