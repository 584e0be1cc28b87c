"""What a plan will need and could reach, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labkit.emulate.device import Device
from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.project.ideal import IdealStep, ideal_step, why_no_ideal
from labkit.project.memory import memory_by_rank
from labkit.project.profile import ModelProfile
from labkit.project.stage_cuts import balance, stage_ranges
from labkit.workload import Workload

NUM_BUCKETS = 8  # of the gradients of an emulated model: it stands for one of many buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is known of a run before it starts.

    Attributes:
        stages: the layers of each stage of the pipeline, in order.
        memory: bytes of each rank by part, in the order of the ranks; ``None`` where no formula
            covers the plan.
        ideal: the step on the declared device; ``None`` without one, or where no formula or
            simulation covers the plan.
        ideal_speedup: over one such device, with the batch that one device would take.
    """

    stages: tuple[range, ...]
    memory: tuple[Mapping[str, int], ...] | None
    ideal: IdealStep | None = None
    ideal_speedup: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The ``ideal`` entry of a record; empty without one."""
        if self.ideal is None:
            return {}
        return {
            "step_time_s": self.ideal.step_s,
            "speedup": self.ideal_speedup,
            "breakdown_s": dict(self.ideal.breakdown_s),
        }


def forecast(
    plan: Plan,
    profile: ModelProfile,
    workload: Workload,
    *,
    device: Device | None = None,
    single_batch: int | None = None,
) -> Forecast:
    """Stages, memory and, on a declared device, the ideal step of a plan.

    Args:
        plan: valid for the workload.
        profile: of the workload's model.
        workload: names the global batch.
        device: the declared device, if any.
        single_batch: global batch of the one device that the speedup is counted from; ``None``
            takes the workload's (strong scaling).
    """
    stages = stages_of(plan, profile, device, workload)
    memory = memory_by_rank(plan, profile, workload, stages)
    if device is None or why_no_ideal(plan):
        return Forecast(stages=stages, memory=memory)
    ideal = ideal_step(plan, profile, device, workload, stages)
    assert ideal is not None, "why_no_ideal gave no reason"
    batch = single_batch or workload.global_batch
    single_s = single_step_s(profile, device, workload.with_settings(global_batch=batch))
    speedup = (workload.global_batch / ideal.step_s) / (batch / single_s)
    return Forecast(stages=stages, memory=memory, ideal=ideal, ideal_speedup=speedup)


def stages_of(
    plan: Plan, profile: ModelProfile, device: Device | None, workload: Workload
) -> tuple[range, ...]:
    """The layers of each stage: as the plan cuts them, else balanced by cost.

    The cost of a layer is what it was measured to take on this machine, or what it takes on the
    declared device.
    """
    num_layers = len(profile.layers)
    if plan.num_stages == 1:
        return (range(num_layers),)
    cuts = plan.cuts
    if cuts is None:
        cuts = balance(layer_costs_s(profile, device, workload, plan), plan.num_stages)
    return stage_ranges(num_layers, plan.num_stages, cuts)


def layer_costs_s(
    profile: ModelProfile, device: Device | None, workload: Workload, plan: Plan
) -> list[float]:
    """Seconds of each layer's forward and backward on one microbatch."""
    from labkit.project.compute import backward_s, forward_s

    num_samples = workload.global_batch // plan.num_replicas // plan.num_microbatches
    if device is None:
        return [layer.measured_s * num_samples for layer in profile.layers]
    return [
        forward_s(layer, num_samples, device, plan.tp)
        + backward_s(layer, num_samples, device, plan.tp)
        for layer in profile.layers
    ]


def single_step_s(profile: ModelProfile, device: Device, workload: Workload) -> float:
    """Seconds that one declared device needs for a step of the workload."""
    ideal = ideal_step(Plan(), profile, device, workload)
    assert ideal is not None, "one device has an ideal step"
    return ideal.step_s


def check_emulated(plan: Plan) -> None:
    """Raise a PlanError, which says why, unless the plan can be emulated."""
    why = why_no_ideal(plan)
    if why:
        raise PlanError(f"this plan cannot be emulated: {why}; leave emulate out to measure it")


def emulated_plan(plan: Plan, profile: ModelProfile) -> Plan:
    """The plan as it is emulated: the small model's gradients go in several buckets.

    A model of the size that the device is made for fills many buckets of 25 MB, and so hides
    their all_reduces behind the backward; a teaching model would fit into one.

    Raises:
        PlanError: the plan cannot be emulated.
    """
    check_emulated(plan)
    has_buckets = plan.strategy == "data" and plan.sync == "all_reduce"
    has_buckets = has_buckets and plan.split == "samples" and plan.shard in ("none", "optimizer")
    if not has_buckets or plan.bucket_mb is not None:
        return plan
    num_bytes = sum(layer.num_parameter_bytes for layer in profile.layers)
    return replace(plan, bucket_mb=float(f"{num_bytes / NUM_BUCKETS / 2**20:.2g}"))
