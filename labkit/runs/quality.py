"""Time to quality: what it takes to reach a loss, and where larger batches stop helping.

With n times the batch on n times the devices a step takes as long as before, but a run is only
faster if it needs fewer steps. Up to some batch it needs half the steps with twice the samples;
beyond it, more devices compute gradients that are more exact than is of use.

Source: Shallue et al. 2018, arXiv:1811.03600; McCandlish et al. 2018, arXiv:1812.06162.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from labkit.errors import RunStopped, SettingError
from labkit.plan import Plan
from labkit.runs.record import RunRecord
from labkit.runs.stop_asked import wait_unless_asked
from labkit.workload import Workload, find_workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.emulate.device import Device
    from labkit.preprocess.dataset import Dataset

SMOOTH = 5  # losses that the running mean takes
WARMUP_STEPS = 5  # of batches larger than the reference, over which their higher rate rises


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What it took to reach a loss.

    Attributes:
        steps: optimiser steps.
        samples: that these steps took.
        seconds: from the start of the first step to the end of the last of them.
    """

    steps: int
    samples: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPoint:
    """What one global batch took to reach the target.

    Attributes:
        global_batch: samples of a step.
        learning_rate: after the warm-up.
        steps, samples, seconds: to the target; of all that was done where it was not reached.
        reached: whether the running mean of the loss reached the target.
        kind: whose seconds: measured or emulated.
        run: identifier of the run.
    """

    global_batch: int
    learning_rate: float
    steps: int
    samples: int
    seconds: float
    reached: bool
    kind: str
    run: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def time_to_loss(record: RunRecord, target: float, smooth: int = SMOOTH) -> Quality | None:
    """What a run took until the running mean of its loss was at most a target.

    Args:
        record: of a run, also of one that is live.
        target: the loss to reach.
        smooth: losses that the running mean takes, >= 1; the first steps have fewer.
    Returns:
        Steps, samples and seconds; ``None`` when it never was.
    Raises:
        SettingError: ``smooth`` is below 1.
    """
    if smooth < 1:
        raise SettingError(f"smooth={smooth} is not a count; choose a number >= 1")
    losses = record.losses
    for i in range(len(losses)):
        last = losses[max(0, i + 1 - smooth) : i + 1]
        if sum(last) / len(last) <= target:
            done = record.steps[: i + 1]
            return Quality(
                steps=len(done),
                samples=sum(step.samples for step in done),
                seconds=sum(step.seconds for step in done),
            )
    return None


def sweep_batches(
    workload: str | Workload,
    cluster: Cluster,
    batches: Sequence[int],
    target: float,
    *,
    plan: Plan | None = None,
    max_steps: int = 400,
    smooth: int = SMOOTH,
    warmup_steps: int = WARMUP_STEPS,
    dataset: Dataset | None = None,
    emulate: str | Device | None = None,
    on_record: Callable[[RunRecord], None] | None = None,
    on_update: Callable[[list[BatchPoint]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[BatchPoint]:
    """Train with one global batch after the other until each has reached the same loss.

    The learning rate grows with the batch, from the workload's own at its ``reference_batch``, or
    at its global batch where it names none; larger batches warm up to it (Goyal et al. 2017,
    arXiv:1706.02677). A run ends soon after it has reached the target.

    Args:
        workload: a bundled name or a ``Workload``.
        cluster: with at least ``plan.world_size`` workers.
        batches: global batches, samples.
        target: loss to reach, by the running mean of ``smooth`` steps.
        plan: how each run is split; ``None`` trains on one device.
        max_steps: after which a run that has not reached the target is given up.
        warmup_steps: of batches larger than the reference; smaller ones keep the workload's.
        dataset: from ``labkit.preprocess``; ``None`` takes the workload's bundled one.
        emulate: a declared device; ``None`` measures.
        on_record: called in this thread with the record of each run that has ended.
        on_update: called in this thread with the points so far, whenever there is one more.
        should_stop: asked while runs are live; once true, the points so far are returned.
    Returns:
        One point for each batch, in the order given.
    Raises:
        SettingError: no batch, no step, a target that is not above 0; nothing was started.
        PlanError, WorkloadError: the plan or the data do not fit a batch; nothing was started.
        RankFailed: a run failed.
    """
    from labkit.train.train import bundled_dataset, check_data

    plan = plan or Plan()
    scaled = plan_batches(workload, batches, target, warmup_steps=warmup_steps)
    if max_steps < 1:
        raise SettingError(f"max_steps={max_steps} is not a length; choose a number >= 1")
    for task in scaled:
        plan.validate(task, cluster.num_workers)
    points: list[BatchPoint] = []
    try:
        dataset = dataset or bundled_dataset(scaled[0], cluster, should_stop)
    except RunStopped:
        return points
    for task in scaled:
        check_data(task, plan, dataset)
    run_once = partial(
        _run_to_target,
        plan=plan,
        cluster=cluster,
        max_steps=max_steps,
        dataset=dataset,
        emulate=emulate,
        target=target,
        smooth=smooth,
        should_stop=should_stop,
    )
    for task in scaled:
        record = run_once(task)
        if record is None:
            return points
        points.append(_point(task, record, target, smooth))
        if on_record is not None:
            on_record(record)
        if on_update is not None:
            on_update(list(points))
    return points


def plan_batches(
    workload: str | Workload,
    batches: Sequence[int],
    target: float,
    *,
    warmup_steps: int = WARMUP_STEPS,
) -> list[Workload]:
    """The workload at each global batch, with the learning rate that goes with it.

    Raises:
        SettingError: no batch, or a target that is not above 0.
        WorkloadError: a batch below 1.
    """
    workload = find_workload(workload)
    if not batches:
        raise SettingError("no batch to train with; give at least one global batch")
    if not target > 0:
        raise SettingError(f"target={target} cannot be reached; choose a loss above 0")
    reference = workload.reference_batch or workload.global_batch
    return [
        workload.with_settings(
            global_batch=batch,
            reference_batch=reference,
            warmup_steps=max(warmup_steps, workload.warmup_steps)
            if batch > reference
            else workload.warmup_steps,
        )
        for batch in dict.fromkeys(batches)
    ]


def _run_to_target(
    workload: Workload,
    *,
    plan: Plan,
    cluster: Cluster,
    max_steps: int,
    dataset: Dataset,
    emulate: str | Device | None,
    target: float,
    smooth: int,
    should_stop: Callable[[], bool] | None,
) -> RunRecord | None:
    """One run until it has reached the target, or cannot; None when the user stopped it."""
    from labkit.train.train import train

    if should_stop is not None and should_stop():
        return None
    run = train(
        workload,
        plan,
        cluster,
        steps=max_steps,
        dataset=dataset,
        evaluate=False,
        emulate=emulate,
        checkpoint_every=0,  # they would be measured as well
    )
    ending = False

    def end_once_decided() -> None:
        nonlocal ending
        if not ending and _is_decided(run.view(), target, smooth):
            run.stop()
            ending = True

    try:
        return wait_unless_asked(run, should_stop, on_look=end_once_decided)
    except RunStopped:
        if not ending:
            raise
        return run.view()  # its last step was too long to wait for


def _is_decided(record: RunRecord, target: float, smooth: int) -> bool:
    """Whether a live run has reached the target, or diverged and never will."""
    diverged = bool(record.steps) and not math.isfinite(record.losses[-1])
    return diverged or time_to_loss(record, target, smooth) is not None


def _point(workload: Workload, record: RunRecord, target: float, smooth: int) -> BatchPoint:
    reached = time_to_loss(record, target, smooth)
    spent = reached or Quality(
        steps=len(record.steps),
        samples=sum(step.samples for step in record.steps),
        seconds=sum(step.seconds for step in record.steps),
    )
    return BatchPoint(
        global_batch=workload.global_batch,
        learning_rate=workload.learning_rate_at(workload.warmup_steps),
        steps=spent.steps,
        samples=spent.samples,
        seconds=spent.seconds,
        reached=reached is not None,
        kind=record.kind,
        run=record.run,
    )
