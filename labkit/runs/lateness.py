"""How far an emulated run was behind the declared device, and what that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from labkit.runs.record import RunRecord

if TYPE_CHECKING:
    from labkit.train.job import RankResult, TrainJob

MOST_LATE = 0.05  # fraction beyond which the times of a run are not trusted


def describe_emulation(job: TrainJob) -> dict[str, Any]:
    """The ``emulation`` entry of a record that starts; empty when it is measured."""
    if job.emulation is None:
        return {}
    return {
        "device": job.emulation.device.name,
        "declared": asdict(job.emulation.device),
        "time_scale": job.emulation.time_scale,
        "lateness": None,
        "declared_step_s": None,
        "trustworthy": None,
        "advice": "",
    }


def lateness_of(results: Sequence[RankResult], warmup_steps: int) -> float:
    """The fraction by which the ranks were late after the warm-up, on the worst of them.

    Every rank knows when each of its steps should have ended. What counts is how late it was at
    the end, or when the warm-up ended (steps that catch up would look too fast), relative to the
    declared time between the two.

    Args:
        results: of all ranks; one without a step counts as not late.
        warmup_steps: steps that are left out.
    """
    worst = 0.0
    for result in results:
        if not result.step_ends_s:
            continue
        since_s, late_s = result.loop_start_s, 0.0
        if 0 < warmup_steps < len(result.nominal_ends_s):
            since_s = result.nominal_ends_s[warmup_steps - 1]
            late_s = result.step_ends_s[warmup_steps - 1] - since_s
        late_s = max(late_s, result.step_ends_s[-1] - result.nominal_ends_s[-1])
        declared_s = result.nominal_ends_s[-1] - since_s
        if declared_s > 0:
            worst = max(worst, late_s / declared_s)
    return worst


def judge_lateness(results: Sequence[RankResult], record: RunRecord) -> dict[str, Any]:
    """What is added to the ``emulation`` entry of a record that has ended."""
    late = lateness_of(results, record.warmup_steps)
    ends_s = [max(times) for times in zip(*(r.nominal_ends_s for r in results), strict=True)]
    since_s = ends_s[record.warmup_steps - 1] if record.warmup_steps else results[0].loop_start_s
    num_steps = len(ends_s) - record.warmup_steps
    declared_s = (ends_s[-1] - since_s) / num_steps if num_steps > 0 else None
    trustworthy = late <= MOST_LATE
    scale = record.emulation["time_scale"]
    enough = max(2, 1.5 * (1 + late)) * scale
    advice = (
        ""
        if trustworthy
        else f"the ranks were {late:.0%} late, since {record.world_size} of them share "
        f"{record.host['num_cores']} cores; choose a time scale above {scale:.3g} (such as "
        f"{enough:.3g}), fewer devices, fewer microbatches or a smaller workload"
    )
    return {
        "lateness": late,
        "declared_step_s": declared_s,
        "trustworthy": trustworthy,
        "advice": advice,
    }
