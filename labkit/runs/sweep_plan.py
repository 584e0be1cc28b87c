"""What a sweep is going to run: every point checked, its length chosen, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

from labkit.errors import PlanError, SettingError
from labkit.plan import Plan
from labkit.plan_for import plan_for
from labkit.runs.complete_record import warmup_steps
from labkit.runs.curve import Scaling
from labkit.workload import Workload, find_workload

DEFAULT_STEPS = 12
DEFAULT_REPEATS = 3
EMULATED_STEPS = 4  # paced steps hardly differ: one to warm up, three to measure
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPoint:
    """A point that a sweep is going to measure, checked."""

    strategy: str
    devices: int
    plan: Plan
    workload: Workload


def plan_sweep(
    workload: str | Workload,
    strategies: Sequence[str],
    devices: Sequence[int],
    *,
    scaling: Scaling = "strong",
    num_workers: int | None = None,
    settings: Mapping[str, Any] = NO_SETTINGS,
) -> list[PlannedPoint]:
    """Every point of a sweep, checked before anything starts.

    Args:
        workload: a bundled name or a ``Workload``.
        strategies: of ``labkit.plan.STRATEGIES``, or variants such as ``data+sync=ring``.
        devices: device counts.
        scaling: ``strong`` keeps the global batch, ``weak`` the batch per device.
        num_workers: workers of the cluster; ``None`` leaves them unchecked.
        settings: further fields of every plan, where they mean something to its strategy.
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
            scaled = workload
            if scaling == "weak":
                scaled = workload.with_settings(global_batch=workload.global_batch * count)
            try:
                plan = plan_for(strategy, count, **settings)
                plan.validate(scaled, num_workers)
            except PlanError as error:
                raise PlanError(f"{strategy} on {count} devices: {error}") from error
            points.append(
                PlannedPoint(strategy=strategy, devices=count, plan=plan, workload=scaled)
            )
    return points


def sweep_length(
    steps: int | None, repeats: int | None, *, emulated: bool = False
) -> tuple[int, int]:
    """Steps and repeats of a sweep, chosen where they are ``None``.

    Raises:
        SettingError: runs too short to measure, or no repeat at all.
    """
    steps = (EMULATED_STEPS if emulated else DEFAULT_STEPS) if steps is None else steps
    repeats = (1 if emulated else DEFAULT_REPEATS) if repeats is None else repeats
    warmup = warmup_steps(emulated=emulated)
    if steps <= warmup:
        raise SettingError(
            f"steps={steps} leaves nothing after {warmup} warm-up step{'s' if warmup > 1 else ''}; "
            f"choose >= {warmup + 1}"
        )
    if repeats < 1:
        raise SettingError(f"repeats={repeats} is not a count; choose a number >= 1")
    return steps, repeats


def whole_rounds(steps: int, plan: Plan, *, emulated: bool) -> int:
    """Steps of a run, rounded up so that every average of the parameters is counted whole."""
    if plan.dp == 1 or plan.sync != "average":
        return steps
    assert plan.sync_every is not None
    warmup = warmup_steps(emulated=emulated)
    rounds = -(-(steps - warmup) // plan.sync_every)
    return warmup + rounds * plan.sync_every
