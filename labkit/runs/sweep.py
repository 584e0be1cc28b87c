"""Speedup over device counts: every plan and its baseline measured in the same sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, get_args

from labkit.errors import PlanError, RunStopped, SettingError
from labkit.plan import Plan, plan_for
from labkit.runs.curve import Curve, CurvePoint, Scaling
from labkit.runs.record import RunRecord
from labkit.train.train import bundled_dataset, train
from labkit.workload import Workload, find_workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset

DEFAULT_STEPS = 12
STOP_POLL_S = 0.05
STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPoint:
    """A point that a sweep is going to measure, checked."""

    strategy: str
    devices: int
    plan: Plan
    workload: Workload


@dataclass(slots=True)
class _Measurements:
    """Throughputs and runs of one plan, one entry per repeat."""

    throughputs: list[float] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def plan_sweep(
    workload: str | Workload,
    strategies: Sequence[str],
    devices: Sequence[int],
    *,
    scaling: Scaling = "strong",
    num_workers: int | None = None,
) -> list[PlannedPoint]:
    """Every point of a sweep, checked before anything starts.

    Args:
        workload: a bundled name or a ``Workload``.
        strategies: of ``labkit.plan.STRATEGIES``.
        devices: device counts.
        scaling: ``strong`` keeps the global batch, ``weak`` the batch per device.
        num_workers: workers of the cluster; ``None`` leaves them unchecked.
    Returns:
        The points by strategy, then device count.
    Raises:
        SettingError: nothing to sweep, an unknown strategy or scaling, a count below 1.
        PlanError: a point whose plan does not fit, naming the strategy and device count.
    """
    workload = find_workload(workload)
    if scaling not in get_args(Scaling):
        raise SettingError(f"scaling={scaling!r} is unknown; choose strong or weak")
    if not strategies or not devices:
        raise SettingError("nothing to sweep; give at least one strategy and one device count")
    points = []
    for strategy in dict.fromkeys(strategies):
        for count in sorted(set(devices)):
            plan = plan_for(strategy, count)
            scaled = workload
            if scaling == "weak":
                scaled = workload.with_settings(global_batch=workload.global_batch * count)
            try:
                plan.validate(scaled, num_workers)
            except PlanError as error:
                raise PlanError(f"{strategy} on {count} devices: {error}") from error
            points.append(
                PlannedPoint(strategy=strategy, devices=count, plan=plan, workload=scaled)
            )
    return points


def sweep(
    workload: str | Workload = "fruit",
    *,
    cluster: Cluster,
    strategies: Sequence[str] = ("data", "pipeline", "tensor", "hybrid"),
    devices: Sequence[int] = (1, 2, 4),
    steps: int = DEFAULT_STEPS,
    repeats: int = 3,
    scaling: Scaling = "strong",
    dataset: Dataset | None = None,
    on_update: Callable[[Curve], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Curve:
    """Measure throughput and speedup of strategies over device counts.

    Each repeat measures the single-device baseline and then every plan once, so that a machine
    that slows down slows both; a point's speedup is the median over the repeats of
    ``throughput(N) / throughput(1)`` of the same repeat. Plans that are equal are run once.

    Args:
        workload: a bundled name or a ``Workload``.
        cluster: with at least ``max(devices)`` workers.
        strategies: lines of the curve.
        devices: device counts; 1 is always measured, as the baseline.
        steps: optimiser steps of each run, >= 3: the first two are warm-up.
        repeats: runs of each plan, >= 1.
        scaling: ``strong`` or ``weak``.
        dataset: from ``labkit.preprocess``; ``None`` takes the workload's bundled one.
        on_update: called in this thread with the curve whenever a point has changed.
        should_stop: asked while runs are live; once true, the curve so far is returned.
    Returns:
        The curve, its points with spread.
    Raises:
        SettingError, PlanError: as ``plan_sweep``; nothing was started.
        WorkloadError: too few samples for the largest batch; nothing was started.
        RankFailed: a run failed.
    """
    check_sweep(steps, repeats)
    workload = find_workload(workload)
    points = plan_sweep(
        workload, strategies, devices, scaling=scaling, num_workers=cluster.num_workers
    )
    curve = Curve(
        workload=workload.name,
        kind="measured",
        scaling=scaling,
        num_cores=cluster.num_cores if cluster.kind == "cpu" else None,
        repeats=repeats,
        planned_points=len(points),
    )
    try:
        dataset = dataset or bundled_dataset(workload, cluster, should_stop)
    except RunStopped:
        return curve
    for point in points:
        point.workload.check_samples(dataset.num_samples)
    run_once = partial(_run, cluster=cluster, steps=steps, dataset=dataset, should_stop=should_stop)
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
            _update(curve, [p for p in points if p.plan == plan], measured)
            if on_update is not None:
                on_update(curve)


def check_sweep(steps: int, repeats: int) -> None:
    """Raise a SettingError for runs too short to measure, or no repeat at all."""
    if steps < 3:
        raise SettingError(f"steps={steps} leaves nothing after 2 warm-up steps; choose >= 3")
    if repeats < 1:
        raise SettingError(f"repeats={repeats} is not a count; choose a number >= 1")


def _run(
    workload: Workload,
    plan: Plan,
    *,
    cluster: Cluster,
    steps: int,
    dataset: Dataset,
    should_stop: Callable[[], bool] | None,
) -> RunRecord | None:
    """One run to its end; None when the user stopped it."""
    if should_stop is not None and should_stop():
        return None
    run = train(workload, plan, cluster, steps=steps, dataset=dataset, evaluate=False)
    while True:
        try:
            return run.wait(STOP_POLL_S if should_stop is not None else None)
        except TimeoutError:
            if should_stop is not None and should_stop():
                run.stop()
                with contextlib.suppress(RunStopped):
                    run.wait(STOP_S)
                return None


def _update(curve: Curve, points: list[PlannedPoint], measured: dict[Plan, _Measurements]) -> None:
    """Put the points of a plan that was just measured into the curve."""
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
                plan=point.plan.to_dict(),
                throughput_samples_per_s=median(entry.throughputs),
                speedup=median(speedups),
                speedup_low=min(speedups),
                speedup_high=max(speedups),
                kind="measured",
                runs=tuple(entry.runs),
            )
        )
