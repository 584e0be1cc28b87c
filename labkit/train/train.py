"""The public ``train``: check everything, then start the ranks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.workload import Workload, find_workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset
    from labkit.runs.run import Run


def train(
    workload: str | Workload,
    plan: Plan | None,
    cluster: Cluster,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    dataset: Dataset | None = None,
    evaluate: bool = True,
    keep_weights: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Train a workload under a plan on a cluster; returns a live handle at once.

    The ranks read their samples from the shards on the workers' side; this process carries no
    data. Same workload, seed and global batch give the same losses whatever the plan.

    Args:
        workload: a bundled name (``fruit``, ``digits``, ``text``) or a ``Workload``.
        plan: how to split it; ``None`` trains on one device.
        cluster: from ``labkit.launch``, with at least ``plan.world_size`` workers.
        steps: optimiser steps, >= 1; 100 when neither steps nor epochs are given.
        epochs: passes over the training samples, instead of steps.
        dataset: from ``labkit.preprocess``; ``None`` prepares the workload's bundled dataset,
            once per cluster.
        evaluate: measure the accuracy on held-out samples before and after.
        keep_weights: bring the trained weights and the last gradients back to this process.
        should_stop: asked while a bundled dataset is prepared; once true, that ends.
    Returns:
        The run: ``view()``, ``stop()``, ``wait()``, ``record``.
    Raises:
        WorkloadError: an unknown workload, or too few samples for its global batch.
        PlanError: the plan does not fit the workload or the cluster; nothing was started.
        SettingError: steps and epochs both given, or below 1.
        BusyError: other runs hold the workers.
        RunStopped: ``should_stop`` said so.
    """
    from labkit.runs.run import Run
    from labkit.train.job import TrainJob

    origin_s = time.time()
    workload = find_workload(workload)
    plan = plan or Plan()
    check_length(steps, epochs)
    plan.validate(workload, cluster.num_workers)
    if dataset is None:
        dataset = bundled_dataset(workload, cluster, should_stop)
    workload.check_samples(dataset.num_samples)
    job = TrainJob(
        workload=workload,
        plan=plan,
        dataset_folder=str(dataset.folder),
        num_steps=count_steps(workload, dataset.num_samples, steps, epochs),
        evaluate=evaluate,
        keep_weights=keep_weights,
    )
    return Run(cluster, job, origin_s=origin_s)


def bundled_dataset(
    workload: Workload, cluster: Cluster, should_stop: Callable[[], bool] | None = None
) -> Dataset:
    """The dataset that feeds a bundled workload, prepared at its first use on a cluster."""
    from labkit.preprocess.preprocess import dataset_for

    if workload.dataset not in cluster.datasets:
        cluster.datasets[workload.dataset] = dataset_for(
            workload.dataset, cluster=cluster, should_stop=should_stop
        )
    return cluster.datasets[workload.dataset]


def check_length(steps: int | None, epochs: int | None) -> None:
    """Raise a SettingError unless at most one of steps and epochs is given, and >= 1."""
    if steps is not None and epochs is not None:
        raise SettingError(f"steps={steps} and epochs={epochs} are both given; choose one")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and value < 1:
            raise SettingError(f"{name}={value} is not a length; choose a number >= 1")


def count_steps(workload: Workload, num_samples: int, steps: int | None, epochs: int | None) -> int:
    """Optimiser steps of a run; an epoch has ``num_samples // global_batch`` of them."""
    if epochs is not None:
        return max(1, epochs * (num_samples // workload.global_batch))
    return 100 if steps is None else steps
