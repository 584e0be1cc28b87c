"""What each layer of a model costs, found once by one rank; importing this loads no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from labkit.cluster.rank_context import RankContext
from labkit.errors import LabError
from labkit.project.profile import ModelProfile
from labkit.workload import Workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.cluster.gang import Gang
    from labkit.preprocess.dataset import Dataset

PROFILE_S = 120.0  # after which the rank is ended; the bundled models take half a second
LOOK_S = 0.1


def profile_of(
    workload: Workload,
    dataset: Dataset,
    cluster: Cluster,
    queue_s: float = 0.0,
    should_stop: Callable[[], bool] | None = None,
) -> ModelProfile:
    """The profile of a workload's model, made at its first use on a cluster by one of its ranks.

    What a layer costs depends neither on the plan nor on the rates of learning, so all runs of a
    model on a dataset share one profile.

    Args:
        workload: names the model, its precision, and the batch that layers are timed with.
        dataset: whose samples it takes.
        cluster: lends one free worker.
        queue_s: seconds that it may wait for one.
        should_stop: asked while there has to be a rank; once true, it is stopped.
    Returns:
        One entry per layer; the cluster keeps it.
    Raises:
        WorkloadError: the model does not fit the dataset.
        BusyError: no worker is free.
        RunStopped: ``should_stop`` said so.
        RankFailed: the model raised something of its own.
    """
    key = (workload.model, workload.precision, str(dataset.folder))
    if key not in cluster.profiles:
        (found,) = cluster.run_ranks(
            profile_rank,
            1,
            workload,
            str(dataset.folder),
            timeout_s=PROFILE_S + queue_s,
            queue_s=queue_s,
            on_start=partial(_wait, should_stop, PROFILE_S + queue_s),
        )
        if isinstance(found, LabError):
            raise found
        cluster.profiles[key] = found
    return cluster.profiles[key]


def _wait(should_stop: Callable[[], bool] | None, timeout_s: float, gang: Gang) -> None:
    """Wait for a gang as long as nobody asks it to stop."""
    until_s = time.monotonic() + timeout_s
    while should_stop is not None and time.monotonic() < until_s and not gang.done:
        if should_stop():
            gang.stop()
            return
        with gang.changed:
            gang.changed.wait_for(lambda: gang.done, LOOK_S)


def profile_rank(
    ctx: RankContext, workload: Workload, dataset_folder: str
) -> ModelProfile | LabError:
    """Run a workload's model layer by layer on this rank's device.

    Args:
        ctx: the only rank of its gang.
        workload: names the model.
        dataset_folder: shards and manifest, on this rank's host.
    Returns:
        The profile, or the user's mistake that kept it from being made: so the client can raise
        that mistake as it is.
    """
    from labkit.train.measure_layers import profile_model

    try:
        return profile_model(workload, dataset_folder, ctx.device)
    except LabError as error:
        return error
