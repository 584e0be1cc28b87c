"""In which order an epoch visits the samples: decided by the seed and the epoch alone.

Up to ``BLOCK_SHUFFLE_FROM`` samples every epoch is a permutation of all of them. Beyond, a
permutation would have to be drawn and kept by every rank, and each batch would touch pages all over
the shards. There blocks of consecutive samples are shuffled, and then the samples within each
window of blocks: a batch comes from a few dozen stretches of the files, and only one window's order
is in memory. How well it mixes depends on the window: a sample meets those of its own block and of
127 others, which are others in every epoch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_SHUFFLE_FROM = 1_000_000  # samples
BLOCK = 512  # consecutive samples that stay in one window
WINDOW = 128  # blocks whose samples are shuffled together


class Order(Protocol):
    """The order of every epoch."""

    def indices(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """Samples at these places of an epoch; fewer where the epoch ends before ``stop``."""


class Piece(NamedTuple):
    """Places [start, stop) of one window."""

    window: int
    start: int
    stop: int


def make_order(num_samples: int, seed: int) -> Order:
    """The order for so many samples."""
    if num_samples < BLOCK_SHUFFLE_FROM:
        return FullShuffle(num_samples, seed)
    return BlockShuffle(num_samples, seed)


class FullShuffle:
    """Every epoch a permutation of all samples, drawn from (seed, epoch)."""

    def __init__(self, num_samples: int, seed: int) -> None:
        self._num_samples = num_samples
        self._seed = seed
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def indices(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """See ``Order``."""
        if epoch != self._epoch:
            generator = np.random.default_rng((self._seed, epoch))
            self._order = generator.permutation(self._num_samples)
            self._epoch = epoch
        return self._order[start:stop]


class BlockShuffle:
    """Blocks are permuted, drawn from (seed, epoch), then samples within each window of blocks.

    Args:
        num_samples: of the split.
        seed: of the workload.
        block: consecutive samples in a block; the last one may be shorter.
        window: blocks in a window; the last one may have fewer.
    """

    def __init__(
        self, num_samples: int, seed: int, *, block: int = BLOCK, window: int = WINDOW
    ) -> None:
        self._num_samples = num_samples
        self._seed = seed
        self._block = block
        self._window = window
        self._epoch = -1
        self._blocks = np.empty(0, dtype=np.int64)  # of the epoch, in order
        self._starts = np.empty(0, dtype=np.int64)  # place of each window's first sample, and end

    @property
    def window_samples(self) -> int:
        """Samples of a full window."""
        return self._block * self._window

    def indices(self, epoch: int, start: int, stop: int) -> NDArray[np.int64]:
        """See ``Order``."""
        found = [np.empty(0, dtype=np.int64)]
        for window, first, last in self.pieces(epoch, start, stop):
            samples = np.concatenate([np.arange(*ends) for ends in self.ranges(epoch, window)])
            found.append(samples[self.shuffled(epoch, window, len(samples))[first:last]])
        return np.concatenate(found)

    def pieces(self, epoch: int, start: int, stop: int) -> list[Piece]:
        """The windows that these places of an epoch lie in, in order."""
        self._begin(epoch)
        stop = min(stop, self._num_samples)
        found = []
        while start < stop:
            window = int(np.searchsorted(self._starts, start, side="right")) - 1
            first, end = int(self._starts[window]), int(self._starts[window + 1])
            found.append(Piece(window, start - first, min(stop, end) - first))
            start = end
        return found

    def ranges(self, epoch: int, window: int) -> list[tuple[int, int]]:
        """The blocks of a window as ranges of samples, [start, stop) each."""
        self._begin(epoch)
        blocks = self._blocks[window * self._window : (window + 1) * self._window]
        starts = (blocks * self._block).tolist()
        return [(start, min(start + self._block, self._num_samples)) for start in starts]

    def shuffled(self, epoch: int, window: int, num_samples: int) -> NDArray[np.int64]:
        """The order of a window's samples, as places in its blocks laid one after the other."""
        # Seeds are filled up with zeros, so window 0 would draw what the blocks were drawn by.
        return np.random.default_rng((self._seed, epoch, window + 1)).permutation(num_samples)

    def _begin(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        num_blocks = -(-self._num_samples // self._block)
        self._blocks = np.random.default_rng((self._seed, epoch)).permutation(num_blocks)
        sizes = np.minimum(self._block, self._num_samples - self._blocks * self._block)
        ends = np.concatenate([[0], np.cumsum(sizes)])
        self._starts = np.append(ends[: -1 : self._window], self._num_samples)
        self._epoch = epoch
