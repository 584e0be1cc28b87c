"""Accuracy on samples that were held out of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from labkit.preprocess.shards import ShardReader
from labkit.train.loss import count_correct

MAX_SAMPLES = 2_048
MAX_PREDICTIONS = 4_096  # a sample of text holds a prediction per character


class HeldOut:
    """The samples that accuracy is measured on: the first of the split "test"."""

    def __init__(self, folder: str | Path) -> None:
        reader = ShardReader(folder, "test")
        per_sample = int(np.prod(reader.manifest["targets"]["shape"], dtype=np.int64))
        limit = max(1, min(MAX_SAMPLES, MAX_PREDICTIONS // max(1, per_sample)))
        self.num_samples = min(reader.num_samples, limit)
        self._inputs, self._targets = reader.take(np.arange(self.num_samples))

    def accuracy(self, model: nn.Module, device: torch.device) -> float:
        """Fraction of the predictions that are right; 0.0 when nothing was held out."""
        if not self.num_samples:
            return 0.0
        model.to(device).eval()
        with torch.no_grad():
            inputs = torch.from_numpy(self._inputs).to(device)
            precision = next(model.parameters()).dtype
            logits = model(inputs.to(precision) if inputs.is_floating_point() else inputs)
        targets = torch.from_numpy(self._targets).to(device)
        return count_correct(logits, targets) / targets.numel()


def load_weights(model: nn.Module, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Put full arrays by global name into a whole model; every name must match."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model
