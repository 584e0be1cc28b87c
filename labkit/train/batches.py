"""Which samples a step uses: decided by the seed and the step alone, never by the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labkit.preprocess.shard_reader import ShardReader
from labkit.train.loss import IGNORED
from labkit.train.order import BlockShuffle, make_order
from labkit.workload import Workload

MAX_WINDOW_BYTES = 64_000_000  # a window is read as a whole; with larger samples, one by one


class Batch(NamedTuple):
    """One rank's part of a step's global batch.

    ``loss_scale`` is one over the predictions of the whole global batch: losses that are summed
    and scaled by it add up, over microbatches and replicas, to the mean over the global batch.
    """

    inputs: Tensor | None  # None on a stage that needs neither
    targets: Tensor | None
    loss_scale: float


Arrays = tuple[NDArray[Any], NDArray[Any]]


class Window(NamedTuple):
    """The samples of one window of blocks, in the order in which they are given away."""

    epoch: int
    number: int
    arrays: Arrays


class Batches:
    """One replica's part of each step's global batch.

    Every epoch visits the training samples in a fresh order, drawn from (seed, epoch), see
    ``order.py``. Step s takes the next ``global_batch`` of it; a replica takes its contiguous slice
    of those, so that the replicas together always see what a single process would. How many steps
    there are follows from the manifest, so ranks agree on it however unequal the shards are.
    Samples left over at the end of an epoch wait for another one, or make a last, smaller batch.
    That one is filled up with samples that count for nothing, so that every rank, stage and
    microbatch keeps its shape.

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
        self.reader = ShardReader(folder, "train", columns)
        self.workload = workload
        self.dtype = dtype
        workload.check_samples(self.reader.num_samples)
        assert workload.global_batch % num_replicas == 0, "the plan was not validated"
        self.steps_per_epoch = workload.steps_per_epoch(self.reader.num_samples)
        self._per_sample = int(np.prod(self.reader.manifest["targets"]["shape"], dtype=np.int64))
        self._size = workload.global_batch // num_replicas
        self._offset = replica * self._size
        self._order = make_order(self.reader.num_samples, workload.seed)
        self._window = Window(-1, -1, (np.empty(0), np.empty(0)))

    @property
    def columns(self) -> slice | None:
        """Features of a sample that the rank reads; ``None`` for all."""
        return self.reader.columns

    @columns.setter
    def columns(self, columns: slice | None) -> None:
        self.reader.columns = columns
        self._window = Window(-1, -1, (np.empty(0), np.empty(0)))

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
        return self._order.indices(*self._places(step))

    def take(self, step: int, device: torch.device) -> Batch:
        """A step's inputs and targets on the device, (global_batch / num_replicas, ...) each."""
        inputs, targets = self._read(*self._places(step))
        num_missing = self._size - len(inputs)
        if num_missing:
            filler = self.reader.take(np.zeros(num_missing, dtype=np.int64))
            inputs = np.concatenate([inputs, filler[0]])
            targets = np.concatenate([targets, np.full_like(filler[1], IGNORED)])
        x = torch.from_numpy(inputs).to(device)
        return Batch(
            x.to(self.dtype) if x.is_floating_point() else x,
            torch.from_numpy(targets).to(device),
            self.loss_scale(step),
        )

    def _places(self, step: int) -> tuple[int, int, int]:
        """This replica's places of a step: epoch, start, stop."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        start = step_of_epoch * self.workload.global_batch + self._offset
        return epoch, start, start + self._size

    def _read(self, epoch: int, start: int, stop: int) -> Arrays:
        order = self._order
        if not isinstance(order, BlockShuffle) or not self._fits(order):
            return self.reader.take(order.indices(epoch, start, stop))
        found = []
        for number, first, last in order.pieces(epoch, start, stop):
            inputs, targets = self._load(order, epoch, number)
            found.append((inputs[first:last], targets[first:last]))
        if len(found) == 1:
            return found[0]
        if not found:
            return self.reader.read([])
        return np.concatenate([each[0] for each in found]), np.concatenate(
            [each[1] for each in found]
        )

    def _fits(self, order: BlockShuffle) -> bool:
        return order.window_samples * self.reader.num_bytes_a_sample <= MAX_WINDOW_BYTES

    def _load(self, order: BlockShuffle, epoch: int, number: int) -> Arrays:
        """A window's samples in their order; each is given away once an epoch, so not copied."""
        if self._window[:2] != (epoch, number):
            inputs, targets = self.reader.read(order.ranges(epoch, number))
            shuffled = order.shuffled(epoch, number, len(inputs))
            arrays = inputs.take(shuffled, axis=0), targets.take(shuffled, axis=0)
            self._window = Window(epoch, number, arrays)
        return self._window.arrays
