"""Datasets for the training tests, written once a session without a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.plan import Plan
from labkit.preprocess.bundled import prepare_once
from labkit.preprocess.shards import SHARD_FOLDER, make_manifest, write_manifest, write_shard
from labkit.runs.parity import greatest_difference
from labkit.train.job import RankResult, TrainJob
from labkit.train.program import train_rank
from labkit.workload import WORKLOADS, Workload

GLOBAL_BATCH = 8
NUM_STEPS = 20
TIMEOUT_S = 60.0


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


@dataclass(frozen=True)
class Comparison:
    """A training that was split over ranks, and the same in one process."""

    results: list[RankResult]
    single: RankResult

    @property
    def loss(self) -> float:
        """Greatest relative difference of a step's loss."""
        found, wanted = self.losses, np.array([step.loss for step in self.single.steps])
        assert len(found) == len(wanted)
        return float((np.abs(found - wanted) / np.abs(wanted)).max())

    @property
    def losses(self) -> np.ndarray:
        """Of the split training, (steps,)."""
        return np.array([step.loss for step in self.results[0].steps])

    @property
    def weights(self) -> float:
        """Greatest difference of a final weight, relative to the greatest of its array."""
        return self._difference("weights")

    @property
    def gradients(self) -> float:
        """Greatest difference of a gradient of the last step, relative as ``weights``."""
        return self._difference("gradients")

    def _difference(self, name: str) -> float:
        found, wanted = getattr(self.results[0], name), getattr(self.single, name)
        assert found
        assert wanted
        return greatest_difference(found, wanted)


Train = Callable[..., list[RankResult]]
Compare = Callable[..., Comparison]


@pytest.fixture(scope="session")
def train_small(cluster4: Cluster, dataset_folders: dict[str, str]) -> Train:
    """Train a workload, by value or by name with a small batch, under a plan for a few steps."""

    def train(
        workload: str | Workload, plan: Plan, *, num_steps: int = NUM_STEPS, **settings: Any
    ) -> list[RankResult]:
        if isinstance(workload, str):
            workload = WORKLOADS[workload].with_settings(global_batch=GLOBAL_BATCH)
        workload = workload.with_settings(**settings)
        plan.validate(workload, cluster4.num_workers)
        job = TrainJob(
            workload=workload,
            plan=plan,
            dataset_folder=dataset_folders[workload.dataset],
            num_steps=num_steps,
            evaluate=False,
            keep_weights=True,
        )
        return cluster4.run_ranks(train_rank, plan.world_size, job, timeout_s=TIMEOUT_S)

    return train


@pytest.fixture(scope="session")
def compare(train_small: Train) -> Compare:
    """Train as ``train_small`` does, and in one process; each training only once a session."""
    done: dict[Any, list[RankResult]] = {}

    def train_once(workload: str, plan: Plan, **settings: Any) -> list[RankResult]:
        key = (workload, plan, *sorted(settings.items()))
        if key not in done:
            done[key] = train_small(workload, plan, **settings)
        return done[key]

    def both(workload: str, plan: Plan, **settings: Any) -> Comparison:
        single = train_once(workload, Plan(), **settings)[0]
        return Comparison(train_once(workload, plan, **settings), single)

    return both
