"""The manifest of a dataset: what its shards hold, where they lie, and how new data is treated.

It is written last, by a rename, so a folder with a manifest is complete and a folder without one is
not a dataset. Version 2 holds:

- ``inputs``, ``targets``: dtype and shape of one sample; ``columns``: names of the inputs;
- ``num_classes``, ``class_names``, ``schema`` (the common columns), ``fitted`` (every step's
  parameters), ``source`` (where the data came from);
- ``layout``: ``samples`` or ``features``, see ``shards.py``;
- ``shards``: for each ``split``, ``number``, ``rows`` and its files, ``inputs`` (a list) and
  ``targets``, each with ``path``, ``bytes``, ``sha256`` and, for inputs, ``columns`` [start, stop);
- ``places``: folders with copies of shards, see ``placement.py``; empty while all lie here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.schema import Schema

Layout = Literal["samples", "features"]
LAYOUTS: tuple[Layout, ...] = ("samples", "features")

MANIFEST_FILE = "manifest.json"
VERSION = 2
REQUIRED_KEYS = (
    "version", "name", "inputs", "targets", "num_classes", "layout", "shards", "places",
)  # fmt: skip


def make_manifest(
    *,
    name: str,
    shards: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    columns: Sequence[str],
    fitted: Mapping[str, Any],
    source: Any,
    inputs: NDArray[Any] | None = None,
    targets: NDArray[Any] | None = None,
    num_columns: int = 0,
    schema: Schema | None = None,
    layout: Layout = "samples",
) -> dict[str, Any]:
    """The manifest of shards that are already written.

    Args:
        name: of the dataset.
        shards: entries that ``write_shard`` or ``write_part`` returned, in any order.
        class_names: names of the classes (of the characters, for text), in the order of targets.
        columns: names of the input's columns; empty where columns have no names.
        fitted: parameters found from the training rows, enough to treat new data alike.
        source: where the data came from, plain values.
        inputs, targets: example arrays, (rows, ...); only dtype and per-sample shape are used.
            Without them a sample is ``num_columns`` float32 and its target one int64.
        num_columns: of a sample, where no example is given.
        schema: the common columns that the inputs were made of.
        layout: of the shards.
    """
    if inputs is None:
        inputs = np.empty((0, num_columns), dtype=np.float32)
    if targets is None:
        targets = np.empty(0, dtype=np.int64)
    ordered = sorted(shards, key=lambda entry: (entry["split"] != "train", entry["number"]))
    return {
        "name": name,
        "version": VERSION,
        "inputs": {"dtype": inputs.dtype.name, "shape": list(inputs.shape[1:])},
        "targets": {"dtype": targets.dtype.name, "shape": list(targets.shape[1:])},
        "num_classes": len(class_names),
        "class_names": list(class_names),
        "columns": list(columns),
        "layout": layout,
        "shards": [dict(entry) for entry in ordered],
        "places": [],
        "schema": json.loads(json.dumps(schema.to_dict())) if schema is not None else None,
        "fitted": dict(fitted),
        "source": source,
    }


def write_manifest(folder: str | Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest last and in one move: the dataset is whole, or is not there."""
    target = Path(folder) / MANIFEST_FILE
    draft = target.with_name(f".{MANIFEST_FILE}.{os.getpid()}")
    draft.write_text(json.dumps(manifest, indent=1, allow_nan=False), encoding="utf-8")
    draft.replace(target)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a dataset's folder.

    Raises:
        SourceError: there is none, it is not JSON, it is of another version, or keys are missing.
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
    if manifest.get("version", VERSION) != VERSION:
        raise SourceError(
            f"{path} has version {manifest['version']} but this lab reads version {VERSION}; "
            "preprocess again"
        )
    missing = [key for key in REQUIRED_KEYS if key not in manifest]
    if missing:
        raise SourceError(f"{path} lacks {', '.join(missing)}; preprocess again")
    return manifest


def files_of(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The files of one shard: the inputs', in the order of their columns, then the targets'."""
    yield from entry["inputs"]
    yield entry["targets"]


def what_is_wrong(path: Path, file: Mapping[str, Any], *, deep: bool = False) -> str:
    """Why a copy of a shard's file cannot be used, or an empty text.

    Args:
        path: of the copy.
        file: its entry in the manifest.
        deep: read all of it and compare the checksum; else only the size is looked at.
    """
    try:
        found = path.stat().st_size
    except OSError:
        return f"{path} is named in the manifest but missing"
    if found != file["bytes"]:
        return f"{path} has {found} bytes but the manifest says {file['bytes']}"
    if deep and checksum(path) != file["sha256"]:
        return f"{path} was changed after it was written"
    return ""


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
