"""The record of a run at its beginning, and completed from what its ranks returned."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from labkit.runs.attribution import attribute
from labkit.runs.lateness import describe_emulation, judge_lateness
from labkit.runs.live_record import later
from labkit.runs.record import RunRecord

if TYPE_CHECKING:
    from labkit.preprocess.dataset import Dataset
    from labkit.project.forecast import Forecast
    from labkit.train.job import RankResult, TrainJob

WARMUP_STEPS = 2
EMULATED_WARMUP_STEPS = 1  # the declared device needs none; the first step meets cold caches
PACKAGES = ("labkit", "torch", "dask", "distributed", "numpy")


def warmup_steps(*, emulated: bool) -> int:
    """First steps of a run that are not measured."""
    return EMULATED_WARMUP_STEPS if emulated else WARMUP_STEPS


def first_record(run: str, job: TrainJob, dataset: Dataset, expected: Forecast) -> RunRecord:
    """What is known of a run before its ranks start.

    Args:
        run: its identifier.
        job: of its first attempt.
        dataset: that it trains on.
        expected: of the job's plan.
    """
    num_steps = job.num_steps - job.start_step
    emulated = job.emulation is not None
    return RunRecord(
        run=run,
        workload=job.workload.to_dict(),
        plan=job.plan.to_dict(),
        strategy=job.plan.strategy,
        world_size=job.plan.world_size,
        planned_steps=num_steps,
        kind="emulated" if emulated else "measured",
        warmup_steps=min(warmup_steps(emulated=emulated), num_steps - 1),
        stages=[list(stage) for stage in expected.stages] if job.plan.num_stages > 1 else [],
        memory_bytes={"formula": [dict(parts) for parts in expected.memory or ()]},
        emulation=describe_emulation(job),
        ideal=expected.to_dict(),
        dataset=dataset.name,
        num_samples=dataset.num_samples,
        resumed={"folder": job.resume_from, "step": job.start_step} if job.resume_from else {},
        host={
            "name": socket.gethostname(),
            "system": platform.platform(),
            "num_cores": os.cpu_count(),
        },
        versions={"python": platform.python_version()} | {n: version(n) for n in PACKAGES},
    )


def complete(
    record: RunRecord, job: TrainJob, results: Sequence[RankResult], device_s: float
) -> None:
    """Take what only the ranks' results tell: all spans, bytes, memory, where the time went.

    Args:
        record: of the run, as its events have left it.
        job: of the first attempt.
        results: of the last attempt, by rank.
        device_s: see ``live_record.later``.
    """
    from labkit.train.job import merge_steps

    first = results[0]
    begun = first.steps[0].step if first.steps else job.num_steps
    kept = [step for step in record.steps if step.step < begun]
    record.steps = kept + later(merge_steps(results), device_s)
    record.spans = sorted(
        (span for result in results for span in result.spans), key=lambda s: s.start_s
    )
    for name, per_rank in (
        ("measured", [result.comm_bytes for result in results]),
        ("formula", [result.comm_bytes_formula for result in results]),
    ):
        kinds = sorted({kind for counts in per_rank for kind in counts})
        record.comm_bytes[name] = {k: sum(c.get(k, 0) for c in per_rank) for k in kinds}
    record.memory_bytes_per_rank = [result.memory_bytes for result in results]
    record.memory_bytes["measured"] = [result.memory_growth_bytes for result in results]
    record.staleness = [late for result in results for late in result.staleness]
    record.accuracy = first.accuracy
    record.checkpoints += [c for c in first.checkpoints if c not in record.checkpoints]
    measured = job.emulation is None
    record.attribution_s, record.wall_s = attribute(results, with_startup=measured)
    if record.steps and not record.restarts:
        record.startup_s["first_step"] = max(r.first_step_wall_s for r in results)
    if not measured and first.step_ends_s:
        record.emulation |= judge_lateness(results, record)
