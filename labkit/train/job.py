"""What goes to a rank and what comes back: plain values, so the client needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.profile import ModelProfile
from labkit.project.stage_cuts import stage_ranges
from labkit.runs.record import Span, Step
from labkit.train.checkpoint_files import Checkpoints
from labkit.workload import Workload

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulation:
    """The device whose speed the ranks keep.

    Attributes:
        device: its declared figures.
        profile: what each layer computes, for the declared time of each operation.
        time_scale: seconds on the wall for a second of the device, > 0; the same for all runs of
            a sweep.
    """

    device: Device
    profile: ModelProfile
    time_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """One training run, the same for every rank.

    Attributes:
        workload, plan: what is trained and how it is split; already validated together.
        dataset_folder: shards and manifest, on the ranks' host.
        num_steps: optimiser steps, >= 1, from the very beginning of the training.
        evaluate: whether to measure accuracy on held-out samples, outside the timed steps.
        keep_weights: whether rank 0 returns the final weights and the last gradients.
        stages: ``(start, stop)`` of the layers of each stage, in order; empty takes the plan's
            cuts, else equal counts.
        emulation: the device to emulate; ``None`` measures.
        checkpoints: when to write which, and where; ``None`` writes none.
        resume_from: folder of a complete checkpoint to go on from; empty begins anew.
        start_step: steps that it has done; 0 without one.
    """

    workload: Workload
    plan: Plan
    dataset_folder: str
    num_steps: int
    evaluate: bool = True
    keep_weights: bool = False
    stages: tuple[tuple[int, int], ...] = ()
    emulation: Emulation | None = None
    checkpoints: Checkpoints | None = None
    resume_from: str = ""
    start_step: int = 0

    def stage_ranges(self) -> tuple[range, ...]:
        """The layers of each stage of the pipeline, by index."""
        if self.stages:
            return tuple(range(start, stop) for start, stop in self.stages)
        return stage_ranges(self.workload.num_layers, self.plan.num_stages, self.plan.cuts)


@dataclass(slots=True, kw_only=True)
class RankResult:
    """What one rank measured. Times are ``RankContext.now`` seconds.

    Attributes:
        rank, replica, stage, tensor_rank: place on the mesh (dp, pp, tp).
        steps: one entry a step with the global loss, on rank 0's clock; empty on other ranks.
        step_ends_s: end of each step on this rank.
        loop_start_s: start of the first step, after all ranks were ready.
        spans: where the time went; only the newest ``SpanRecorder.capacity`` of a long run.
        num_dropped_spans: older spans that are not in ``spans``.
        comm_bytes: payload this rank handed to each kind of collective, counted as it went.
        comm_bytes_formula: the same by formula.
        memory_bytes: peak memory: of the process on a CPU, of the allocator on a GPU.
        memory_growth_bytes: by how much the rank grew while it trained.
        staleness: of each update that this rank applied as an asynchronous server.
        nominal_ends_s: of an emulated run, when each step should have ended on this rank.
        first_step_wall_s: end of the first step on the wall, seconds since the call of train.
        accuracy: on rank 0, if evaluated: ``samples``, ``correct`` and ``before`` (fractions).
        weights, gradients: on rank 0, if kept: full arrays by global layer name, whatever the
            plan; gradients are those of the last step.
        stopped: whether the ranks agreed to stop early.
        checkpoints: on rank 0, that were written; see ``RunRecord``.
    """

    rank: int
    replica: int
    stage: int
    tensor_rank: int
    steps: list[Step]
    step_ends_s: list[float]
    loop_start_s: float
    spans: list[Span]
    num_dropped_spans: int
    comm_bytes: dict[str, int]
    comm_bytes_formula: dict[str, int]
    memory_bytes: int
    memory_growth_bytes: int = 0
    staleness: list[int] = field(default_factory=list)
    nominal_ends_s: list[float] = field(default_factory=list)
    first_step_wall_s: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    weights: dict[str, np.ndarray] | None = None
    gradients: dict[str, np.ndarray] | None = None
    stopped: bool = False
    checkpoints: list[dict[str, Any]] = field(default_factory=list)


def merge_steps(results: Sequence[RankResult]) -> list[Step]:
    """Steps as the whole gang saw them: rank 0's losses, the slowest rank's times.

    Args:
        results: of all ranks, by rank.
    Returns:
        One step each; its seconds run from the end of the step before on the slowest rank.
    """
    previous_s = min(result.loop_start_s for result in results)
    merged: list[Step] = []
    ends_by_step = zip(*(result.step_ends_s for result in results), strict=True)
    for step, ends_s in zip(results[0].steps, ends_by_step, strict=True):
        end_s = max(ends_s)
        merged.append(step._replace(seconds=end_s - previous_s, end_s=end_s))
        previous_s = end_s
    return merged
