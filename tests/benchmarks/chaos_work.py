"""The work that is disturbed: short trainings under several plans, and a preprocessing."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

import labkit
from labkit.cluster.cluster import Cluster
from labkit.runs.run import Run
from labkit.workload import find_workload

PLANS = (
    labkit.Plan(dp=2),
    labkit.Plan(dp=2, shard="parameters"),
    labkit.Plan(pp=2, microbatches=4),
    labkit.Plan(tp=2),
    labkit.Plan(dp=2, pp=2, microbatches=4),
)
STEPS, EVERY = 200, 20
ROWS = 20_000
PATIENCE_S = 120.0  # for what takes seconds; after that it hangs


def start_run(cluster: Cluster, plan: labkit.Plan) -> Run:
    """A training of some seconds that writes a checkpoint now and then."""
    workload = find_workload("fruit").with_settings(global_batch=256)
    return labkit.train(
        workload, plan, cluster, steps=STEPS, checkpoint_every=EVERY, evaluate=False,
        queue_s=PATIENCE_S,
    )  # fmt: skip


def preprocess(cluster: Cluster) -> str:
    """Preprocess the fruit, and remove the result; the hash of its shards."""
    deadline = time.monotonic() + PATIENCE_S
    dataset = labkit.preprocess(
        cluster=cluster, rows=ROWS, should_stop=lambda: time.monotonic() > deadline
    )
    shards = sorted(Path(dataset.folder).rglob("*.npy"))
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(shard.name.encode() + shard.read_bytes())
    shutil.rmtree(dataset.folder, ignore_errors=True)
    if not shards:
        raise ValueError(f"the dataset in {dataset.folder} has no shards to compare")
    return digest.hexdigest()
