"""Step 5, transformation: every component gets mean 0 and standard deviation 1, then shards.

The mean and the deviation are the training rows'; test rows and new data are shifted and scaled by
the same numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.moments import Moments, moments_of
from labkit.preprocess.schema import KEY, LABEL, Partition
from labkit.preprocess.shards import Split, write_shard
from labkit.preprocess.split import is_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What transformation found in the training rows: (components,) mean and sample deviation."""

    mean: Sequence[float]
    std: Sequence[float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Standard:
        """The values that ``to_dict`` wrote."""
        return cls(**values)


def summarise(partition: Partition, *, names: Sequence[str]) -> dict[Hashable, Moments]:
    """One partition's moments of every component, over its training rows."""
    train = ~is_test(partition.frame[KEY].to_numpy())
    return {name: moments_of(partition.frame[name].to_numpy()[train]) for name in names}


def fit(moments: Mapping[Hashable, Moments], names: Sequence[str]) -> Standard:
    """Mean and deviation of every component; a constant one is only shifted."""
    return Standard(
        mean=[moments[name].mean for name in names],
        std=[moments[name].std or 1.0 for name in names],
    )


def standardise(values: NDArray[np.float64], standard: Standard) -> NDArray[np.float32]:
    """(rows, components) to mean 0 and deviation 1, float32 as the ranks train on it."""
    scaled = (values - np.array(standard.mean)) / np.array(standard.std)
    single: NDArray[np.float32] = scaled.astype(np.float32)
    return single


def scale(partition: Partition, *, names: Sequence[str], standard: Standard) -> Partition:
    """The partition with its components standardised."""
    frame = partition.frame.copy()
    values = standardise(frame[list(names)].to_numpy(), standard)
    for place, name in enumerate(names):
        frame[name] = values[:, place]
    return Partition(frame=frame)


def write_part(
    partition: Partition, number: int, *, names: Sequence[str], folder: str
) -> list[dict[str, Any]]:
    """Write one partition's samples as a train and a test shard.

    Args:
        partition: with the components ``names``, standardised.
        number: of the partition, and so of its shards.
        names: the components, in the order of the inputs' columns.
        folder: the dataset's folder.
    Returns:
        The shards' entries for the manifest: none for a split without rows.
    """
    inputs = partition.frame[list(names)].to_numpy(dtype=np.float32)
    targets = partition.frame[LABEL].to_numpy().astype(np.int64)
    test = is_test(partition.frame[KEY].to_numpy())
    entries = []
    splits: tuple[tuple[Split, NDArray[np.bool_]], ...] = (
        ("train", ~test),
        ("test", test),
    )
    for split, chosen in splits:
        if chosen.any():
            entries.append(write_shard(folder, split, number, inputs[chosen], targets[chosen]))
    return entries
