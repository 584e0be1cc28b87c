"""Speedup over device counts: every plan and its baseline measured in the same sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from labkit.emulate.device import Device
from labkit.errors import RunStopped
from labkit.plan import Plan
from labkit.project.forecast import check_emulated
from labkit.project.time_scale import choose_time_scale
from labkit.runs.curve import Curve, CurvePoint, Scaling
from labkit.runs.record import RunRecord
from labkit.runs.restart_policy import REPLACE_S
from labkit.runs.stop_asked import wait_unless_asked
from labkit.runs.sweep_plan import NO_SETTINGS, PlannedPoint, plan_sweep, sweep_length, whole_rounds
from labkit.train.profile import profile_of
from labkit.train.train import bundled_dataset, check_data, find_emulated, train
from labkit.workload import Workload, find_workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset


@dataclass(slots=True)
class _Measurements:
    """Throughputs and runs of one plan, one entry per repeat."""

    throughputs: list[float] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    ideal_speedup: float | None = None
    lateness: float | None = None
    plan: dict[str, Any] = field(default_factory=dict)  # as it ran


def sweep(
    workload: str | Workload = "fruit",
    *,
    cluster: Cluster,
    strategies: Sequence[str] = ("data", "pipeline", "tensor", "hybrid"),
    devices: Sequence[int] = (1, 2, 4),
    steps: int | None = None,
    repeats: int | None = None,
    scaling: Scaling = "strong",
    settings: Mapping[str, Any] = NO_SETTINGS,
    emulate: str | Device | None = None,
    time_scale: float | None = None,
    dataset: Dataset | None = None,
    on_record: Callable[[RunRecord], None] | None = None,
    on_update: Callable[[Curve], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    queue_s: float = 0.0,
) -> Curve:
    """Measure throughput and speedup of strategies over device counts.

    Each repeat measures the single-device baseline and then every plan once, so that a machine
    that slows down slows both; a point's speedup is the median over the repeats of
    ``throughput(N) / throughput(1)`` of the same repeat. Plans that are equal are run once.

    Args:
        workload: a bundled name or a ``Workload``.
        cluster: with at least ``max(devices)`` workers.
        strategies: lines of the curve; variants such as ``data+sync=ring`` are lines too.
        devices: device counts; 1 is always measured, as the baseline.
        steps: optimiser steps of each run; the first 2 are warm-up, or 1 where a device is
            emulated, and one more is needed. ``None`` takes 12, or 4.
        repeats: runs of each plan, >= 1; ``None`` takes 3, or 1 where a device is emulated.
        scaling: ``strong`` or ``weak``.
        settings: further fields of every plan, where they mean something to its strategy.
        emulate, time_scale: as in ``train``; all points and their baseline keep the same device
            and scale, that of the most demanding point, and know their ideal.
        on_record: called in this thread with the record of each run that has ended.
        dataset: from ``labkit.preprocess``; ``None`` takes the workload's bundled one.
        on_update: called in this thread with the curve whenever a point has changed.
        should_stop: asked while runs are live; once true, the curve so far is returned.
        queue_s: seconds that each run may wait in the line for its workers, as in ``train``; runs
            of others then come between those of this sweep. A worker that is lost between two runs
            is waited for in any case.
    Returns:
        The curve, its points with spread.
    Raises:
        SettingError, PlanError: as ``plan_sweep``; nothing was started.
        WorkloadError: too few samples for the largest batch; nothing was started.
        RankFailed: a run failed.
    """
    device = find_emulated(emulate, time_scale)
    steps, repeats = sweep_length(steps, repeats, emulated=device is not None)
    workload = find_workload(workload)
    points = plan_sweep(
        workload,
        strategies,
        devices,
        scaling=scaling,
        num_workers=cluster.num_workers_within(queue_s),
        settings=settings,
    )
    if device is not None:
        for point in points:
            check_emulated(point.plan)
    curve = Curve(
        workload=workload.name,
        kind="measured" if device is None else "emulated",
        device="" if device is None else device.name,
        scaling=scaling,
        num_cores=cluster.num_cores if cluster.kind == "cpu" else None,
        repeats=repeats,
        planned_points=len(points),
    )
    try:
        dataset = dataset or bundled_dataset(workload, cluster, should_stop, queue_s)
    except RunStopped:
        return curve
    for point in points:
        check_data(point.workload, point.plan, dataset)
    if device is not None:
        try:
            profile = profile_of(workload, dataset, cluster, queue_s, should_stop)
        except RunStopped:
            return curve
        planned = [(point.plan, point.workload) for point in points]
        time_scale = time_scale or choose_time_scale(
            profile, device, workload, planned, cluster.num_shared_cores
        )
        curve.time_scale = time_scale
    run_once = partial(
        _run,
        cluster=cluster,
        steps=steps,
        dataset=dataset,
        device=device,
        time_scale=time_scale,
        single_batch=workload.global_batch,
        on_record=on_record,
        should_stop=should_stop,
        queue_s=queue_s,
    )
    _measure(curve, workload, points, run_once, on_update)
    return curve


def _measure(
    curve: Curve,
    workload: Workload,
    points: list[PlannedPoint],
    run_once: Callable[[Workload, Plan], RunRecord | None],
    on_update: Callable[[Curve], None] | None,
) -> None:
    """Repeat by repeat, run the baseline and each distinct plan; fill the curve as they end."""
    pending = {Plan(): workload} | {point.plan: point.workload for point in points}
    measured: dict[Plan, _Measurements] = {}
    for _ in range(curve.repeats):
        for plan, scaled in pending.items():
            record = run_once(scaled, plan)
            if record is None:
                return
            entry = measured.setdefault(plan, _Measurements())
            entry.throughputs.append(record.throughput_samples_per_s)
            entry.runs.append(record.run)
            entry.ideal_speedup = record.ideal.get("speedup")
            if record.emulation:
                entry.lateness = max(entry.lateness or 0.0, record.emulation["lateness"])
            entry.plan = record.plan
            _update(curve, [p for p in points if p.plan == plan], measured)
            if on_update is not None:
                on_update(curve)


def _run(
    workload: Workload,
    plan: Plan,
    *,
    cluster: Cluster,
    steps: int,
    dataset: Dataset,
    device: Device | None,
    time_scale: float | None,
    single_batch: int,
    on_record: Callable[[RunRecord], None] | None,
    should_stop: Callable[[], bool] | None,
    queue_s: float,
) -> RunRecord | None:
    """One run to its end; None when the user stopped it."""
    if should_stop is not None and should_stop():
        return None
    if plan.world_size > cluster.num_workers:  # one was lost since the sweep began, and comes back
        queue_s = max(queue_s, REPLACE_S)
    run = train(
        workload,
        plan,
        cluster,
        steps=whole_rounds(steps, plan, emulated=device is not None),
        dataset=dataset,
        evaluate=False,
        emulate=device,
        time_scale=time_scale,
        single_batch=single_batch,
        checkpoint_every=0,  # they would be measured as well
        queue_s=queue_s,
    )
    record = wait_unless_asked(run, should_stop)
    if record is not None and on_record is not None:
        on_record(record)
    return record


def _update(curve: Curve, points: list[PlannedPoint], measured: dict[Plan, _Measurements]) -> None:
    """Put the points of a plan that was just measured into the curve."""
    kind = curve.kind
    baseline = measured[Plan()]
    curve.baseline_throughputs = list(baseline.throughputs)
    curve.baseline_runs = list(baseline.runs)
    for point in points:
        entry = measured[point.plan]
        speedups = [
            n / one for n, one in zip(entry.throughputs, baseline.throughputs, strict=False)
        ]
        curve.put(
            CurvePoint(
                strategy=point.strategy,
                devices=point.devices,
                plan=entry.plan,
                throughput_samples_per_s=median(entry.throughputs),
                speedup=median(speedups),
                speedup_low=min(speedups),
                speedup_high=max(speedups),
                kind=kind,
                runs=tuple(entry.runs),
                ideal_speedup=entry.ideal_speedup,
                lateness=entry.lateness,
            )
        )
