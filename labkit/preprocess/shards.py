"""Training data on disk: memory-mapped ``.npy`` shards and one ``manifest.json`` beside them.

A shard holds the samples that one task wrote: inputs and targets of one split. There are two
layouts. By **samples** a shard is one file of inputs, (rows, ...): a rank that takes some rows
reads those. By **features** it is several files, each with some columns of all its rows, (columns,
rows): a rank that takes some columns, as ``split="features"`` does, opens the files of those only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.manifest import (
    LAYOUTS,
    MANIFEST_FILE,
    VERSION,
    Layout,
    checksum,
    files_of,
    make_manifest,
    read_manifest,
    what_is_wrong,
    write_manifest,
)
from labkit.preprocess.schema import KEY, Schema, label_codes
from labkit.preprocess.shard_reader import ShardReader
from labkit.preprocess.split import is_test

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LAYOUTS", "MANIFEST_FILE", "SHARD_FOLDER", "VERSION", "Layout", "ShardReader", "Split",
    "make_manifest", "read_manifest", "verify_shards", "write_manifest", "write_part",
    "write_shard",
]  # fmt: skip

Split = Literal["train", "test"]

SHARD_FOLDER = "shards"
MAX_FEATURE_FILES = 64  # of one shard; with more columns a file holds several


def write_part(
    frame: pd.DataFrame,
    number: int,
    *,
    names: Sequence[str],
    schema: Schema,
    folder: str,
    layout: Layout = "samples",
) -> list[dict[str, Any]]:
    """Write one part's samples as a train and a test shard.

    Rows whose class is not known are left out: there is nothing to learn from or to test by.

    Args:
        frame: rows with the inputs ``names``, the key and the label.
        number: of the part, and so of its shards.
        names: the inputs, in order.
        schema: says which column is the label; without one all targets are 0.
        folder: the dataset's folder; ``folder/shards`` must exist.
        layout: of the files.
    Returns:
        The shards' entries for the manifest: none for a split without rows.
    """
    inputs = frame[list(names)].to_numpy(dtype=np.float32)
    known = np.ones(len(frame), dtype=np.bool_)
    targets = np.zeros(len(frame), dtype=np.int64)
    if schema.label:
        targets = label_codes(frame, schema).astype(np.int64)
        known = targets >= 0
    test = is_test(frame[KEY].to_numpy())
    entries = []
    splits: tuple[tuple[Split, NDArray[np.bool_]], ...] = (("train", ~test), ("test", test))
    for split, side in splits:
        chosen = side & known
        if chosen.any():
            entries.append(
                write_shard(folder, split, number, inputs[chosen], targets[chosen], layout=layout)
            )
    return entries


def write_shard(
    folder: str | Path,
    split: Split,
    number: int,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    layout: Layout = "samples",
) -> dict[str, Any]:
    """Write one shard of a split; ``folder/shards`` must exist.

    Args:
        folder: the dataset's folder.
        split: ``"train"`` or ``"test"``.
        number: place of the shard in its split; readers keep this order.
        inputs: (rows, ...) any fixed-size dtype; (rows, columns) for the layout by features.
        targets: (rows, ...) with the same number of rows.
        layout: by samples or by features.
    Returns:
        The shard's entry for the manifest.
    """
    assert len(inputs) == len(targets), f"{len(inputs)} inputs but {len(targets)} targets"
    assert layout == "samples" or inputs.ndim == 2, f"inputs {inputs.shape} have no columns"
    stem = f"{SHARD_FOLDER}/{split}-{number:05d}"
    if layout == "samples":
        files = [_save(folder, f"{stem}-inputs.npy", inputs)]
    else:
        files = []
        for start, stop in _column_groups(inputs.shape[1]):
            name = f"{stem}-inputs-{start:05d}.npy"
            file = _save(folder, name, inputs[:, start:stop].T)
            files.append({**file, "columns": [start, stop]})
    return {
        "split": split,
        "number": number,
        "rows": len(inputs),
        "inputs": files,
        "targets": _save(folder, f"{stem}-targets.npy", targets),
    }


def verify_shards(folder: str | Path) -> int:
    """Read every shard and compare its checksum with the manifest's; copies elsewhere are not read.

    Returns:
        Bytes read.
    Raises:
        SourceError: the first file that is missing or differs.
    """
    num_bytes = 0
    for entry in read_manifest(folder)["shards"]:
        for file in files_of(entry):
            wrong = what_is_wrong(Path(folder) / file["path"], file, deep=True)
            if wrong:
                raise SourceError(f"{wrong}; preprocess again")
            num_bytes += file["bytes"]
    return num_bytes


def _save(folder: str | Path, name: str, values: NDArray[Any]) -> dict[str, Any]:
    path = Path(folder) / name
    np.save(path, np.ascontiguousarray(values))
    return {"path": name, "bytes": path.stat().st_size, "sha256": checksum(path)}


def _column_groups(num_columns: int) -> list[tuple[int, int]]:
    size = max(1, -(-num_columns // MAX_FEATURE_FILES))
    return [(start, min(start + size, num_columns)) for start in range(0, num_columns, size)]
