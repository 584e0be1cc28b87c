"""How fast batches come: rows a second, and the time to the first.

    python tests/benchmarks/bench_feeding.py [ROWS] [COLUMNS] [BATCH] [REPEATS]

The same memory-mapped shards are read in four ways, alternating, in one process without training:
windows of shuffled blocks, as from a million samples on (``labkit/train/order.py``); a permutation
of all samples, gathered from the shards, as below; torch's ``DataLoader``, which asks for one
sample at a time; and its rows in blocks laid out by features, of which half of the columns are
read. Rates are medians over the repeats, shown beside their ratio to the per-sample loader.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from labkit.preprocess.shards import (
    SHARD_FOLDER,
    Layout,
    ShardReader,
    make_manifest,
    write_manifest,
    write_shard,
)
from labkit.train.batches import Batches
from labkit.train.order import FullShuffle
from labkit.workload import WORKLOADS

NUM_SHARDS = 32
SECONDS = 1.0  # a repeat of one way
CPU = torch.device("cpu")


class PerSample(Dataset):
    """One sample at a time, as torch's loader asks for."""

    def __init__(self, folder: str) -> None:
        reader = ShardReader(folder, "train")
        self._shards = [
            (np.load(Path(folder) / entry["inputs"][0]["path"], mmap_mode="r"),
             np.load(Path(folder) / entry["targets"]["path"], mmap_mode="r"))
            for entry in reader.manifest["shards"]
        ]  # fmt: skip
        self._starts = np.cumsum([0] + [len(inputs) for inputs, _ in self._shards])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        inputs, targets = self._shards[number]
        row = index - self._starts[number]
        return torch.from_numpy(inputs[row].copy()), int(targets[row])


def make_dataset(folder: Path, rows: int, columns: int, layout: Layout) -> str:
    """Random shards of unequal sizes."""
    (folder / SHARD_FOLDER).mkdir(parents=True)
    random = np.random.default_rng(0)
    cuts = np.linspace(0, rows, NUM_SHARDS + 1).astype(int)
    shards = []
    for number, size in enumerate(np.diff(cuts)):
        inputs = random.random((size, columns), dtype=np.float32)
        targets = random.integers(0, 2, size)
        shards.append(write_shard(folder, "train", number, inputs, targets, layout=layout))
    manifest = make_manifest(
        name="made", shards=shards, class_names=["a", "b"], columns=[], fitted={}, source=None,
        num_columns=columns, layout=layout,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return str(folder)


def steps_of(batches: Batches) -> Iterator[int]:
    """Rows of one batch after the other, over and over."""
    step = 0
    while True:
        yield len(batches.take(step, CPU).targets)
        step += 1


def ways(folders: dict[str, str], columns: int, batch: int) -> dict[str, Callable[[], Iterator]]:
    """By name, what opens the data and gives the rows of each batch."""
    workload = WORKLOADS["fruit"].with_settings(global_batch=batch)

    def blocks(layout: str, part: slice | None = None) -> Iterator[int]:
        return steps_of(Batches(folders[layout], workload, replica=0, num_replicas=1, columns=part))

    def gather() -> Iterator[int]:
        batches = Batches(folders["samples"], workload, replica=0, num_replicas=1)
        batches._order = FullShuffle(batches.reader.num_samples, workload.seed)
        return steps_of(batches)

    def per_sample() -> Iterator[int]:
        loader = DataLoader(PerSample(folders["samples"]), batch_size=batch, shuffle=True)
        return (len(targets) for _, targets in loader)

    return {
        "shuffled blocks": lambda: blocks("samples"),
        "gathered permutation": gather,
        "by features, half the columns": lambda: blocks("features", slice(0, columns // 2)),
        "DataLoader, per sample": per_sample,
    }


def measure(start: Callable[[], Iterator[int]]) -> tuple[float, float]:
    """Rows a second after the first batch, and seconds to the first."""
    began_s = time.perf_counter()
    batches = start()
    next(batches)
    first_s = time.perf_counter() - began_s
    began_s, rows = time.perf_counter(), 0
    while time.perf_counter() - began_s < SECONDS:
        rows += sum(islice(batches, 8))
    return rows / (time.perf_counter() - began_s), first_s


def main() -> None:
    """Print one line per way."""
    given = [int(value) for value in sys.argv[1:]]
    rows, columns, batch, repeats = (given + [4_000_000, 10, 4096, 3][len(given) :])[:4]
    with tempfile.TemporaryDirectory() as folder:
        folders = {
            layout: make_dataset(Path(folder) / layout, rows, columns, layout)
            for layout in ("samples", "features")
        }
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(repeats):
            for name, start in ways(folders, columns, batch).items():
                found.setdefault(name, []).append(measure(start))
    base = median(rate for rate, _ in found["DataLoader, per sample"])
    print(f"{rows:,} rows x {columns} float32, batches of {batch}, {NUM_SHARDS} shards")
    print(f"{'':<32}{'million rows/s':>16}{'ratio':>9}{'first batch':>14}")
    for name, measured in found.items():
        rate = median(each for each, _ in measured)
        first_s = median(each for _, each in measured)
        print(f"{name:<32}{rate / 1e6:>16.3f}{rate / base:>9.1f}{first_s * 1e3:>11.1f} ms")


if __name__ == "__main__":
    main()
