"""Reading shards: samples of one split by index, memory-mapped, from the nearest good copy."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.manifest import read_manifest, what_is_wrong
from labkit.preprocess.places import folders_of

logger = logging.getLogger(__name__)


class ShardReader:
    """Samples of one split by index, memory-mapped: only what is taken is read.

    Args:
        folder: the dataset's folder.
        split: ``"train"`` or ``"test"``.
        columns: of a sample that are read, without a step; ``None`` reads all.
    Attributes:
        manifest: of the dataset.
        columns: as given; may be changed at any time. Laid out by features, files are opened when
            their columns are first taken, so files of other columns need not be there.
        lost: copies that could not be used, and why; another one was read in their place.
    Raises:
        SourceError: the manifest or a shard is missing, cut short or of another shape.
        ValueError: an unknown split.
    """

    def __init__(self, folder: str | Path, split: str, columns: slice | None = None) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"split {split!r} is unknown; choose train or test")
        self.manifest: dict[str, Any] = read_manifest(folder)
        self.columns = columns
        self.lost: list[str] = []
        self._folder = Path(folder)
        self._entries = [entry for entry in self.manifest["shards"] if entry["split"] == split]
        # _starts[i] is the index of shard i's first sample; the last entry is the sample count.
        self._starts = np.cumsum([0] + [entry["rows"] for entry in self._entries], dtype=np.int64)
        self._targets = [self._open(entry, entry["targets"], "targets") for entry in self._entries]
        self._by_features = self.manifest["layout"] == "features"
        self._opened: dict[str, NDArray[Any]] = {}
        if not self._by_features:
            for number in range(len(self._entries)):
                self._inputs(number, 0)

    @property
    def num_samples(self) -> int:
        """Samples in the split."""
        return int(self._starts[-1])

    def take(self, indices: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copies of the samples at these places, in this order.

        Args:
            indices: (n,) whole numbers in [0, num_samples); repeats are allowed.
        Returns:
            inputs (n, ...), of the columns that are read, and targets (n, ...), contiguous.
        Raises:
            IndexError: an index outside the split.
            SourceError: laid out by features: a file is missing, cut short or of another shape.
        """
        wanted = np.asarray(indices)
        if wanted.size and wanted.dtype.kind not in "iu":
            raise IndexError(f"indices are {wanted.dtype}; whole numbers are needed")
        wanted = wanted.astype(np.int64, copy=False)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.num_samples):
            outside = wanted[(wanted < 0) | (wanted >= self.num_samples)]
            raise IndexError(f"index {outside[0]} is outside the {self.num_samples} samples")
        inputs, targets = self._empty(len(wanted))
        # Samples of one shard are taken together, and put where they were asked for.
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        if len(self._entries) <= np.iinfo(np.int16).max:
            shard_of = shard_of.astype(np.int16)  # which numpy sorts ten times faster
        order = np.argsort(shard_of, kind="stable")
        cuts = np.flatnonzero(np.diff(shard_of[order])) + 1
        for places in np.split(order, cuts) if len(order) else ():
            number = int(shard_of[places[0]])
            rows = wanted[places] - self._starts[number]
            targets[places] = self._targets[number][rows]
            self._take_inputs(number, rows, places, inputs)
        return inputs, targets

    def read(self, ranges: Sequence[tuple[int, int]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copies of stretches of consecutive samples, one after the other: faster than ``take``.

        Args:
            ranges: ``[start, stop)`` each, in [0, num_samples].
        Returns:
            As ``take``.
        Raises:
            IndexError: a stretch that leaves the split.
            SourceError: as in ``take``.
        """
        for start, stop in ranges:
            if not 0 <= start <= stop <= self.num_samples:
                raise IndexError(f"[{start}, {stop}) leaves the {self.num_samples} samples")
        inputs, targets = self._empty(sum(stop - start for start, stop in ranges))
        at = 0
        for start, stop in ranges:
            number = int(np.searchsorted(self._starts, start, side="right")) - 1
            while start < stop:
                first, end = int(self._starts[number]), int(self._starts[number + 1])
                rows = slice(start - first, min(stop, end) - first)
                places = slice(at, at + rows.stop - rows.start)
                targets[places] = self._targets[number][rows]
                self._take_inputs(number, rows, places, inputs)
                at, start, number = places.stop, end, number + 1
        return inputs, targets

    @property
    def num_bytes_a_sample(self) -> int:
        """Bytes of the columns that are read, and of the target."""
        inputs, targets = self._empty(1)
        return inputs.nbytes + targets.nbytes

    def _empty(self, num_samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
        described = self.manifest["inputs"], self.manifest["targets"]
        shape = list(described[0]["shape"])
        if self.columns is not None:
            shape[0] = len(range(shape[0])[self.columns])
        return (
            np.empty((num_samples, *shape), dtype=described[0]["dtype"]),
            np.empty((num_samples, *described[1]["shape"]), dtype=described[1]["dtype"]),
        )

    def _take_inputs(
        self,
        number: int,
        rows: NDArray[np.int64] | slice,
        places: NDArray[np.int64] | slice,
        inputs: NDArray[Any],
    ) -> None:
        """Fill ``inputs[places]`` with these rows of one shard."""
        if not self._by_features:
            shard = self._inputs(number, 0)
            inputs[places] = (shard if self.columns is None else shard[:, self.columns])[rows]
            return
        wanted = range(self.manifest["inputs"]["shape"][0])[self.columns or slice(None)]
        for place, file in enumerate(self._entries[number]["inputs"]):
            start, stop = file["columns"]
            first, last = max(start, wanted.start), min(stop, wanted.stop)
            if first < last:
                block = self._inputs(number, place)[first - start : last - start]
                inputs[places, first - wanted.start : last - wanted.start] = block[:, rows].T

    def _inputs(self, number: int, place: int) -> NDArray[Any]:
        """One file of a shard's inputs, opened when it is first needed."""
        entry = self._entries[number]
        file = entry["inputs"][place]
        if file["path"] not in self._opened:
            self._opened[file["path"]] = self._open(entry, file, "inputs")
        return self._opened[file["path"]]

    def _open(self, entry: Mapping[str, Any], file: Mapping[str, Any], part: str) -> NDArray[Any]:
        """Memory-map the nearest copy of a file that is whole."""
        wrong: list[str] = []
        for folder in folders_of(self.manifest, entry, self._folder):
            path = folder / file["path"]
            why = what_is_wrong(path, file)
            if not why:
                self._remember_lost(wrong)
                return self._map(path, entry, file, part)
            wrong.append(why)
        raise SourceError(f"{'; '.join(wrong)}; preprocess again")

    def _remember_lost(self, wrong: list[str]) -> None:
        for why in wrong:
            logger.warning("%s; another copy is read", why)
        self.lost += wrong

    def _map(
        self, path: Path, entry: Mapping[str, Any], file: Mapping[str, Any], part: str
    ) -> NDArray[Any]:
        try:
            values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise SourceError(f"{path} is no shard ({error}); preprocess again") from error
        described = self.manifest[part]
        expected = (entry["rows"], *described["shape"])
        if "columns" in file:
            start, stop = file["columns"]
            expected = (stop - start, entry["rows"])
        if values.shape != expected or values.dtype != np.dtype(described["dtype"]):
            raise SourceError(
                f"{path} holds {values.dtype} {values.shape} but the manifest says "
                f"{described['dtype']} {expected}; preprocess again"
            )
        return values.view(np.ndarray)  # indexing a memmap itself costs a Python object each time
