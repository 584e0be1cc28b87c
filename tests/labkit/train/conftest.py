"""Datasets for the training tests, written once a session without a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labkit.cluster.rank_context import RankContext
from labkit.preprocess.bundled import prepare_once
from labkit.preprocess.shards import SHARD_FOLDER, make_manifest, write_manifest, write_shard


def write_rows(folder: Path, num_train: int, num_test: int) -> Path:
    """A two-class dataset of four columns, in two training shards of unequal size."""
    (folder / SHARD_FOLDER).mkdir(parents=True)
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((num_train + num_test, 4), dtype=np.float32)
    targets = (inputs @ np.array([1.0, -2.0, 0.5, 0.0]) > 0).astype(np.int64)
    cut = num_train // 3
    bounds = (("train", 0, 0, cut), ("train", 1, cut, num_train), ("test", 0, num_train, None))
    shards = [write_shard(folder, s, n, inputs[a:b], targets[a:b]) for s, n, a, b in bounds]
    manifest = make_manifest(
        name="fruit", shards=shards, inputs=inputs, targets=targets, columns=list("abcd"),
        class_names=["orange", "watermelon"], fitted={}, source="made for the tests",
    )  # fmt: skip
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="session")
def dataset_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of small datasets by name: fruit, digits, text."""
    root = tmp_path_factory.mktemp("datasets")
    for name in ("digits", "text"):
        prepare_once(name, str(root / name))
    write_rows(root / "fruit", num_train=700, num_test=90)
    return {name: str(root / name) for name in ("fruit", "digits", "text")}


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """What the rank of ``alone`` has sent to the client."""
    return []


@pytest.fixture
def alone(events: list[dict[str, Any]]) -> Iterator[RankContext]:
    """The only rank of a gang, in this process with one thread: it needs no process group."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield RankContext(
        run="test",
        rank=0,
        world_size=1,
        local_rank=0,
        device="cpu",
        backend="gloo",
        origin_s=time.time(),
        send=events.append,
    )
    torch.set_num_threads(num_threads)
