"""Training data on disk: memory-mapped ``.npy`` shards and one ``manifest.json`` beside them.

A shard holds the samples that one task wrote: ``inputs`` and ``targets`` of one split. The manifest
names every shard with its size and checksum and is written last, by a rename, so a folder
with a manifest is complete and a folder without one is not a dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SourceError

Split = Literal["train", "test"]

MANIFEST_FILE = "manifest.json"
SHARD_FOLDER = "shards"
VERSION = 1
REQUIRED_KEYS = ("version", "name", "inputs", "targets", "num_classes", "shards")


def write_shard(
    folder: str | Path,
    split: Split,
    number: int,
    inputs: NDArray[Any],
    targets: NDArray[Any],
) -> dict[str, Any]:
    """Write one shard of a split; ``folder/shards`` must exist.

    Args:
        folder: the dataset's folder.
        split: ``"train"`` or ``"test"``.
        number: place of the shard in its split; readers keep this order.
        inputs: (rows, ...) any fixed-size dtype.
        targets: (rows, ...) with the same number of rows.
    Returns:
        The shard's entry for the manifest.
    """
    assert len(inputs) == len(targets), f"{len(inputs)} inputs but {len(targets)} targets"
    entry: dict[str, Any] = {"split": split, "number": number, "rows": len(inputs)}
    for part, values in (("inputs", inputs), ("targets", targets)):
        name = f"{SHARD_FOLDER}/{split}-{number:05d}-{part}.npy"
        path = Path(folder) / name
        np.save(path, np.ascontiguousarray(values))
        entry[part] = name
        entry[f"{part}_bytes"] = path.stat().st_size
        entry[f"{part}_sha256"] = _checksum(path)
    return entry


def write_manifest(folder: str | Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest last and in one move: the dataset is whole, or is not there."""
    target = Path(folder) / MANIFEST_FILE
    draft = target.with_name(f".{MANIFEST_FILE}.{os.getpid()}")
    draft.write_text(json.dumps(manifest, indent=1, allow_nan=False), encoding="utf-8")
    draft.replace(target)


def make_manifest(
    *,
    name: str,
    shards: Sequence[Mapping[str, Any]],
    inputs: NDArray[Any],
    targets: NDArray[Any],
    class_names: Sequence[str],
    columns: Sequence[str],
    fitted: Mapping[str, Any],
    source: Any,
) -> dict[str, Any]:
    """The manifest of shards that are already written.

    Args:
        name: of the dataset.
        shards: entries that ``write_shard`` returned, in any order.
        inputs, targets: example arrays, (rows, ...); only dtype and per-sample shape are used.
        class_names: names of the classes (of the characters, for text), in the order of targets.
        columns: names of the input's columns; empty where columns have no names.
        fitted: parameters found from the training rows, enough to treat new data alike.
        source: where the data came from, plain values.
    """
    ordered = sorted(shards, key=lambda entry: (entry["split"] != "train", entry["number"]))
    return {
        "name": name,
        "version": VERSION,
        "inputs": {"dtype": inputs.dtype.name, "shape": list(inputs.shape[1:])},
        "targets": {"dtype": targets.dtype.name, "shape": list(targets.shape[1:])},
        "num_classes": len(class_names),
        "class_names": list(class_names),
        "columns": list(columns),
        "shards": [dict(entry) for entry in ordered],
        "fitted": dict(fitted),
        "source": source,
    }


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a dataset's folder.

    Raises:
        SourceError: there is none, it is not JSON, or keys are missing.
    """
    path = Path(folder) / MANIFEST_FILE
    if not path.is_file():
        raise SourceError(
            f"{folder} holds no {MANIFEST_FILE}, so it is no complete dataset; preprocess again"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SourceError(f"{path} is not readable ({error}); preprocess again") from error
    if not isinstance(manifest, dict):
        raise SourceError(f"{path} is not a manifest; preprocess again")
    missing = [key for key in REQUIRED_KEYS if key not in manifest]
    if missing:
        raise SourceError(f"{path} lacks {', '.join(missing)}; preprocess again")
    if manifest["version"] != VERSION:
        raise SourceError(
            f"{path} has version {manifest['version']} but this lab reads version {VERSION}; "
            "preprocess again"
        )
    return manifest


def verify_shards(folder: str | Path) -> int:
    """Read every shard and compare its checksum with the manifest's.

    Returns:
        Bytes read.
    Raises:
        SourceError: the first file that is missing or differs.
    """
    num_bytes = 0
    for entry in read_manifest(folder)["shards"]:
        for part in ("inputs", "targets"):
            path = Path(folder) / entry[part]
            _check_size(path, entry[f"{part}_bytes"])
            if _checksum(path) != entry[f"{part}_sha256"]:
                raise SourceError(f"{path} was changed after it was written; preprocess again")
            num_bytes += entry[f"{part}_bytes"]
    return num_bytes


class ShardReader:
    """Samples of one split by index, memory-mapped: only what is taken is read.

    Args:
        folder: the dataset's folder.
        split: ``"train"`` or ``"test"``.
    Raises:
        SourceError: the manifest or a shard is missing, cut short or of another shape.
        ValueError: an unknown split.
    """

    def __init__(self, folder: str | Path, split: Split) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"split {split!r} is unknown; choose train or test")
        self.manifest: dict[str, Any] = read_manifest(folder)
        entries = [entry for entry in self.manifest["shards"] if entry["split"] == split]
        self._inputs = [self._open(Path(folder), entry, "inputs") for entry in entries]
        self._targets = [self._open(Path(folder), entry, "targets") for entry in entries]
        # _starts[i] is the index of shard i's first sample; the last entry is the sample count.
        self._starts = np.cumsum([0] + [entry["rows"] for entry in entries], dtype=np.int64)

    @property
    def num_samples(self) -> int:
        """Samples in the split."""
        return int(self._starts[-1])

    def take(self, indices: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copies of the samples at these places, in this order.

        Args:
            indices: (n,) whole numbers in [0, num_samples); repeats are allowed.
        Returns:
            inputs (n, ...) and targets (n, ...), contiguous.
        Raises:
            IndexError: an index outside the split.
        """
        wanted = np.asarray(indices)
        if wanted.size and wanted.dtype.kind not in "iu":
            raise IndexError(f"indices are {wanted.dtype}; whole numbers are needed")
        wanted = wanted.astype(np.int64, copy=False)
        outside = wanted[(wanted < 0) | (wanted >= self.num_samples)]
        if outside.size:
            raise IndexError(f"index {outside[0]} is outside the {self.num_samples} samples")
        return self._gather(self._inputs, "inputs", wanted), self._gather(
            self._targets, "targets", wanted
        )

    def _gather(
        self, shards: list[NDArray[Any]], part: str, wanted: NDArray[np.int64]
    ) -> NDArray[Any]:
        described = self.manifest[part]
        taken = np.empty((len(wanted), *described["shape"]), dtype=described["dtype"])
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(shard_of):
            here = shard_of == number
            taken[here] = shards[number][wanted[here] - self._starts[number]]
        return taken

    def _open(self, folder: Path, entry: Mapping[str, Any], part: str) -> NDArray[Any]:
        path = folder / entry[part]
        _check_size(path, entry[f"{part}_bytes"])
        try:
            values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise SourceError(f"{path} is no shard ({error}); preprocess again") from error
        described = self.manifest[part]
        expected = (entry["rows"], *described["shape"])
        if values.shape != expected or values.dtype != np.dtype(described["dtype"]):
            raise SourceError(
                f"{path} holds {values.dtype} {values.shape} but the manifest says "
                f"{described['dtype']} {expected}; preprocess again"
            )
        return values


def _check_size(path: Path, num_bytes: int) -> None:
    if not path.is_file():
        raise SourceError(f"{path} is named in the manifest but missing; preprocess again")
    found = path.stat().st_size
    if found != num_bytes:
        raise SourceError(
            f"{path} has {found} bytes but the manifest says {num_bytes}; preprocess again"
        )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
