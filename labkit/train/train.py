"""The public ``train``: check everything, then start the ranks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.dataset_on_hosts import reach_all_hosts
from labkit.cluster.supervision import OnFailure
from labkit.emulate.device import Device, find_device
from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.project.forecast import check_emulated, emulated_plan, forecast
from labkit.project.time_scale import choose_time_scale
from labkit.runs.record import RunRecord
from labkit.runs.restart_policy import MAX_RESTARTS, RestartPolicy
from labkit.train.resume_check import (
    check_goes_on,
    emulation_of,
    find_resumed,
    plan_checkpoints,
    saved_workload,
)
from labkit.workload import Workload, find_workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset
    from labkit.runs.posting import Posting
    from labkit.runs.run import Run

MOST_QUEUE_S = 7 * 86_400.0  # a week; no lock can wait for ever


def train(
    workload: str | Workload | None,
    plan: Plan | None,
    cluster: Cluster,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    dataset: Dataset | None = None,
    evaluate: bool = True,
    keep_weights: bool = False,
    emulate: str | Device | None = None,
    time_scale: float | None = None,
    single_batch: int | None = None,
    should_stop: Callable[[], bool] | None = None,
    queue_s: float = 0.0,
    checkpoint_every: int | None = None,
    resume: str | RunRecord | None = None,
    runs: str | Path | None = None,
    max_restarts: int = MAX_RESTARTS,
    on_failure: OnFailure = "replace",
) -> Run:
    """Train a workload under a plan on a cluster; returns a live handle.

    It returns once the data, and for an emulated run the costs of the layers, are prepared; the run
    then goes on in the background.

    The ranks read their samples from the shards on the workers' side; this process carries no
    data. Same workload, seed and global batch give the same losses whatever the plan.

    Args:
        workload: a bundled name (``fruit``, ``digits``, ``text``, ...) or a ``Workload``.
        plan: how to split it; ``None`` trains on one device.
        cluster: from ``labkit.launch``, with at least ``plan.world_size`` workers.
        steps: optimiser steps, >= 1, from the beginning of the training; 100 when neither steps nor
            epochs are given.
        epochs: passes over the training samples, instead of steps.
        dataset: from ``labkit.preprocess``; ``None`` prepares the workload's bundled dataset,
            once per cluster.
        evaluate: measure the accuracy on held-out samples before and after.
        keep_weights: bring the trained weights and the last gradients back to this process.
        emulate: a declared device by name or value: ranks and messages stay real, but take the
            time that they would take there; ``None`` measures.
        time_scale: seconds on the wall for a second of that device; ``None`` chooses what the
            plan's real work on this host needs.
        single_batch: global batch of the one device that an ideal speedup is counted from;
            ``None`` takes the workload's.
        should_stop: asked while a bundled dataset or the model's profile is prepared; once true,
            that ends.
        queue_s: seconds that the run may wait in the line for its workers, also for those that
            were lost and come back; meanwhile ``view().queue_position`` is its place, and
            ``stop()`` takes it out. What a first run of a workload prepares waits here, not in the
            run. 0 refuses a run whose workers are busy, or not there.
        checkpoint_every: steps from one checkpoint to the next, and one more at the end; ``None``
            goes by time, at most 2 % of it, and not before 5 s; 0 writes none. The newest two stay.
        resume: go on from the newest checkpoint of this run, by name or record, or in this folder.
            Its workload, plan, steps and emulated device hold where those here are ``None``; the
            plan may be another one. The record's steps are those since the checkpoint.
        runs: folder of the kept runs, where this one leaves its checkpoints and ``resume`` looks;
            ``None`` leaves them in the cluster's folder, gone with it, and looks in ``runs``; those
            by time are then gone as soon as the run is done.
        max_restarts: how often the run goes on by itself, from its last checkpoint, after a rank
            has died, was lost with its worker, or hangs. A rank that raises fails it at once.
        on_failure: go on with as many ranks (``replace``), or with the replicas that the ranks
            which are left make up (``shrink``).
    Returns:
        The run: ``view()``, ``stop()``, ``wait()``, ``record``.
    Raises:
        WorkloadError: an unknown workload, or too few samples for its global batch.
        PlanError: the plan does not fit the workload, or asks for more workers than there are, or
            than there ever were of a run that may wait; nothing was started.
        SettingError: steps and epochs both given, or below 1; an unknown device; no checkpoint to
            go on from, or one of another training, or damaged, or not the user's own.
        BusyError: other runs hold the workers; a run that waited for too long raises it at its end.
        ClusterError: a host that ranks may be on cannot read the dataset.
        RunStopped: ``should_stop`` said so.
    """
    from labkit.runs.posting import posted
    from labkit.runs.run import Run
    from labkit.train.job import Emulation, TrainJob
    from labkit.train.profile import profile_of

    origin_s = time.time()
    check_length(steps, epochs)
    policy = RestartPolicy(max_restarts=max_restarts, on_failure=on_failure)
    checkpoints, run = plan_checkpoints(checkpoint_every, runs, cluster)
    saved = find_resumed(resume, runs, cluster)
    if saved is not None:
        workload, plan = workload or saved_workload(saved), plan or Plan.from_dict(saved.plan)
        steps = saved.num_steps if steps is None and epochs is None else steps
        if emulate is None:
            emulate, time_scale = emulation_of(saved)
    workload, plan = find_workload(workload), plan or Plan()
    check_queue(queue_s)
    device = find_emulated(emulate, time_scale)
    plan.validate(workload, cluster.num_workers_within(queue_s))
    if device is not None:
        check_emulated(plan)
    about = RunRecord(
        run=run,
        workload=workload.to_dict(),
        plan=plan.to_dict(),
        strategy=plan.strategy,
        world_size=plan.world_size,
        planned_steps=steps or 0,
        kind="measured" if device is None else "emulated",
    )
    with posted(cluster, about, origin_s) as posting:
        stops = partial(_asked, posting, should_stop)
        if dataset is None:
            dataset = bundled_dataset(workload, cluster, stops, queue_s)
        check_data(workload, plan, dataset)
        num_steps = count_steps(workload, dataset.num_samples, steps, epochs)
        if saved is not None:
            check_goes_on(saved, workload, dataset.num_samples, num_steps)
        reach_all_hosts(dataset, cluster)
        profile = profile_of(workload, dataset, cluster, queue_s, stops)
        emulation = None
        if device is not None:
            plan = emulated_plan(plan, profile)
            scale = time_scale or choose_time_scale(
                profile, device, workload, [(plan, workload)], cluster.num_shared_cores
            )
            emulation = Emulation(device=device, profile=profile, time_scale=scale)
        expect = partial(
            forecast, profile=profile, workload=workload, device=device, single_batch=single_batch
        )
        job = TrainJob(
            workload=workload,
            plan=plan,
            dataset_folder=str(dataset.folder),
            num_steps=num_steps,
            evaluate=evaluate,
            keep_weights=keep_weights,
            stages=tuple((stage.start, stage.stop) for stage in expect(plan).stages),
            emulation=emulation,
            checkpoints=checkpoints,
            resume_from="" if saved is None else saved.folder,
            start_step=0 if saved is None else saved.step,
        )
        return Run(
            cluster,
            job,
            origin_s=origin_s,
            dataset=dataset,
            expect=expect,
            policy=policy,
            posting=posting,
            queue_s=queue_s,
        )


def _asked(posting: Posting, should_stop: Callable[[], bool] | None) -> bool:
    """Whether a run that is being prepared is to stop, by its owner or by another client."""
    return posting.stop_asked.is_set() or (should_stop is not None and should_stop())


def find_emulated(emulate: str | Device | None, time_scale: float | None) -> Device | None:
    """The declared device of an emulated run, ``None`` of a measured one.

    Raises:
        SettingError: no device has that name, or the time scale is not above 0 or without device.
    """
    if time_scale is not None and not time_scale > 0:
        raise SettingError(f"time_scale={time_scale} stops the clock; choose a value above 0")
    if emulate is None:
        if time_scale is not None:
            raise SettingError(f"time_scale={time_scale} is for emulated runs; name a device")
        return None
    return find_device(emulate) if isinstance(emulate, str) else emulate


def check_data(workload: Workload, plan: Plan, dataset: Dataset) -> None:
    """Raise a LabError unless a dataset fits what will be trained on it, and how."""
    workload.check_samples(dataset.num_samples)
    shape = tuple(dataset.manifest["inputs"]["shape"])
    if plan.split == "features" and plan.dp > 1 and (len(shape) != 1 or shape[0] < plan.dp):
        raise PlanError(
            f"split=features over dp({plan.dp}) ranks, but a sample of dataset {dataset.name!r} "
            f"has the shape {shape}; choose dp at most its number of columns, or split=samples"
        )
    if not isinstance(workload.model, str):
        from labkit.train.custom import check_custom

        check_custom(workload, plan, dataset)


def bundled_dataset(
    workload: Workload,
    cluster: Cluster,
    should_stop: Callable[[], bool] | None = None,
    queue_s: float = 0.0,
) -> Dataset:
    """The dataset that feeds a bundled workload, prepared at its first use on a cluster.

    Args:
        workload: names it.
        cluster: keeps it.
        should_stop, queue_s: as in ``train``.
    """
    from labkit.preprocess.preprocess import dataset_for

    if workload.dataset not in cluster.datasets:
        cluster.datasets[workload.dataset] = dataset_for(
            workload.dataset, cluster=cluster, should_stop=should_stop, queue_s=queue_s
        )
    return cluster.datasets[workload.dataset]


def check_length(steps: int | None, epochs: int | None) -> None:
    """Raise a SettingError unless at most one of steps and epochs is given, and >= 1."""
    if steps is not None and epochs is not None:
        raise SettingError(f"steps={steps} and epochs={epochs} are both given; choose one")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and value < 1:
            raise SettingError(f"{name}={value} is not a length; choose a number >= 1")


def check_queue(queue_s: float) -> None:
    """Raise a SettingError unless a run may wait so many seconds in the line."""
    if not 0 <= queue_s <= MOST_QUEUE_S:
        raise SettingError(
            f"queue_s={queue_s} is no time to wait; choose 0 to {MOST_QUEUE_S:.0f} seconds"
        )


def count_steps(workload: Workload, num_samples: int, steps: int | None, epochs: int | None) -> int:
    """Optimiser steps of a run; see ``Workload.steps_per_epoch``."""
    if epochs is not None:
        return epochs * workload.steps_per_epoch(num_samples)
    return 100 if steps is None else steps
