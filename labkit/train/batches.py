"""Which samples a step uses: decided by the seed and the step alone, never by the plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.preprocess.shards import ShardReader
from labkit.workload import Workload


class Batches:
    """One replica's part of each step's global batch.

    Every epoch is a fresh permutation of the training samples, drawn from (seed, epoch). Step s
    takes the next ``global_batch`` of it; a replica takes its contiguous slice of those, so that
    the replicas together always see what a single process would. Samples left over at the end of
    an epoch wait for another permutation.

    Args:
        folder: the dataset's folder.
        workload: names the global batch and the seed.
        replica, num_replicas: whose slice; ``num_replicas`` divides the global batch.
    Raises:
        WorkloadError: fewer training samples than one global batch.
    """

    def __init__(
        self, folder: str | Path, workload: Workload, *, replica: int, num_replicas: int
    ) -> None:
        self.reader = ShardReader(folder, "train")
        self.workload = workload
        num_samples = self.reader.num_samples
        self.steps_per_epoch = num_samples // workload.global_batch
        workload.check_samples(num_samples)
        assert workload.global_batch % num_replicas == 0, "the plan was not validated"
        self._size = workload.global_batch // num_replicas
        self._offset = replica * self._size
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> np.ndarray:
        """Places of this replica's samples of a step, (global_batch / num_replicas,) int64."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = np.random.default_rng((self.workload.seed, epoch))
            self._order = generator.permutation(self.reader.num_samples)
            self._epoch = epoch
        start = step_of_epoch * self.workload.global_batch + self._offset
        return self._order[start : start + self._size]

    def take(self, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, on the device."""
        inputs, targets = self.reader.take(self.indices(step))
        return torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
