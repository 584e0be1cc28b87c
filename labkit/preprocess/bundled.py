"""Datasets that need no download: digits that ship with scikit-learn, text that ships with Python.

Each is prepared by one function that runs as one task on a worker.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.folders import discard, make_draft, name_draft, publish
from labkit.preprocess.shards import (
    MANIFEST_FILE,
    make_manifest,
    read_manifest,
    write_manifest,
    write_shard,
)
from labkit.preprocess.split import is_test

DIGITS_SIDE = 8
DIGITS_MAX = 16.0  # each pixel counts the dark points in a 4 x 4 square of the scanned form
TEXT_TOKENS = 64


def prepare_digits(folder: str) -> dict[str, Any]:
    """Handwritten digits: inputs float32 (1, 8, 8) in [0, 1], targets int64 () in 0..9.

    Args:
        folder: an empty dataset folder, as ``make_draft`` makes it.
    Returns:
        The manifest, already written.
    Raises:
        SourceError: scikit-learn is not installed, or its digits are not where they were.
    Source: Alpaydin & Kaynak 1998, UCI, doi:10.24432/C50P49.
    """
    # Importing sklearn.datasets takes longer than all the rest, so its file is read directly.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("the digits ship with scikit-learn; install it: pip install scikit-learn")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise SourceError(f"{path} is missing; install scikit-learn again")
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",")
    images = (table[:, :-1] / DIGITS_MAX).astype(np.float32)
    return _write(
        folder,
        name="digits",
        inputs=images.reshape(-1, 1, DIGITS_SIDE, DIGITS_SIDE),
        targets=table[:, -1].astype(np.int64),
        class_names=[str(digit) for digit in range(10)],
        source="scikit-learn: digits.csv.gz",
    )


def prepare_text(folder: str) -> dict[str, Any]:
    """Python's documentation of itself: inputs and targets int64 (64,), one token a character.

    The target of each character is the one after it. Samples do not overlap.

    Args:
        folder: an empty dataset folder, as ``make_draft`` makes it.
    Returns:
        The manifest, already written; ``class_names`` are the characters.
    """
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    characters = sorted(set(text))
    code_points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    tokens = np.searchsorted([ord(character) for character in characters], code_points)
    num_samples = (len(tokens) - 1) // TEXT_TOKENS
    used = num_samples * TEXT_TOKENS
    return _write(
        folder,
        name="text",
        inputs=tokens[:used].reshape(num_samples, TEXT_TOKENS).astype(np.int64),
        targets=tokens[1 : used + 1].reshape(num_samples, TEXT_TOKENS).astype(np.int64),
        class_names=characters,
        source="Python: pydoc_data.topics",
    )


PREPARERS: Mapping[str, Callable[[str], dict[str, Any]]] = MappingProxyType(
    {"digits": prepare_digits, "text": prepare_text}
)


def prepare_once(name: str, target: str) -> dict[str, Any]:
    """The manifest of a bundled dataset, prepared at ``target`` unless it is there already."""
    if not (Path(target) / MANIFEST_FILE).is_file():
        draft = name_draft(target)
        try:
            make_draft(draft, target)
            PREPARERS[name](draft)
            publish(draft, target)
        except BaseException:
            discard(draft)
            raise
    return read_manifest(target)


def _write(
    folder: str,
    *,
    name: str,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    class_names: list[str],
    source: str,
) -> dict[str, Any]:
    test = is_test(np.arange(len(inputs)))
    shards = [
        write_shard(folder, "train", 0, inputs[~test], targets[~test]),
        write_shard(folder, "test", 0, inputs[test], targets[test]),
    ]
    manifest = make_manifest(
        name=name,
        shards=shards,
        inputs=inputs,
        targets=targets,
        class_names=class_names,
        columns=[],
        fitted={},
        source=source,
    )
    write_manifest(folder, manifest)
    return manifest
