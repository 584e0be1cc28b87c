"""Which samples a step uses: decided by the seed and the step alone, never by the plan."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from labkit.preprocess.shards import ShardReader
from labkit.train.loss import IGNORED
from labkit.workload import Workload


class Batch(NamedTuple):
    """One rank's part of a step's global batch.

    ``loss_scale`` is one over the predictions of the whole global batch: losses that are summed
    and scaled by it add up, over microbatches and replicas, to the mean over the global batch.
    """

    inputs: Tensor | None  # None on a stage that needs neither
    targets: Tensor | None
    loss_scale: float


class Batches:
    """One replica's part of each step's global batch.

    Every epoch is a fresh permutation of the training samples, drawn from (seed, epoch). Step s
    takes the next ``global_batch`` of it; a replica takes its contiguous slice of those, so that
    the replicas together always see what a single process would. Samples left over at the end of
    an epoch wait for another permutation, or make a last, smaller batch. That one is filled up
    with samples that count for nothing, so that every rank, stage and microbatch keeps its shape.

    Args:
        folder: the dataset's folder.
        workload: names the global batch and the seed.
        replica, num_replicas: whose slice; ``num_replicas`` divides the global batch.
        columns: features of a sample that the rank reads; ``None`` reads all.
        dtype: of floating-point inputs.
    Raises:
        WorkloadError: fewer training samples than one global batch.
    """

    def __init__(
        self,
        folder: str | Path,
        workload: Workload,
        *,
        replica: int,
        num_replicas: int,
        columns: slice | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.reader = ShardReader(folder, "train")
        self.workload = workload
        self.columns = columns
        self.dtype = dtype
        workload.check_samples(self.reader.num_samples)
        assert workload.global_batch % num_replicas == 0, "the plan was not validated"
        self.steps_per_epoch = workload.steps_per_epoch(self.reader.num_samples)
        self._per_sample = int(np.prod(self.reader.manifest["targets"]["shape"], dtype=np.int64))
        self._size = workload.global_batch // num_replicas
        self._offset = replica * self._size
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def num_samples(self, step: int) -> int:
        """Samples of a step's global batch that count; fewer in the last batch of an epoch."""
        before = step % self.steps_per_epoch * self.workload.global_batch
        return min(self.workload.global_batch, self.reader.num_samples - before)

    def loss_scale(self, step: int) -> float:
        """One over the predictions of a step's global batch."""
        return 1 / (self.num_samples(step) * self._per_sample)

    def indices(self, step: int) -> np.ndarray:
        """Places of this replica's samples of a step, (global_batch / num_replicas,) int64.

        In the last batch of an epoch there may be fewer, or none.
        """
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = np.random.default_rng((self.workload.seed, epoch))
            self._order = generator.permutation(self.reader.num_samples)
            self._epoch = epoch
        start = step_of_epoch * self.workload.global_batch + self._offset
        return self._order[start : start + self._size]

    def take(self, step: int, device: torch.device) -> Batch:
        """A step's inputs and targets on the device, (global_batch / num_replicas, ...) each."""
        indices = self.indices(step)
        num_missing = self._size - len(indices)
        if num_missing:
            indices = np.concatenate([indices, np.zeros(num_missing, dtype=np.int64)])
        inputs, targets = self.reader.take(indices)
        if num_missing:
            targets[self._size - num_missing :] = IGNORED
        if self.columns is not None:
            inputs = np.ascontiguousarray(inputs[:, self.columns])
        x = torch.from_numpy(inputs).to(device)
        return Batch(
            x.to(self.dtype) if x.is_floating_point() else x,
            torch.from_numpy(targets).to(device),
            self.loss_scale(step),
        )
