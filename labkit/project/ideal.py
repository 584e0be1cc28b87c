"""The step that a plan could reach on a declared device: formulas, and simulation of schedules."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.breakdown import PARTS, IdealStep
from labkit.project.ideal_data import ideal_data
from labkit.project.ideal_replicas import ideal_replicas
from labkit.project.profile import ModelProfile
from labkit.project.stage_cuts import stage_ranges
from labkit.workload import Workload

__all__ = ["PARTS", "IdealStep", "ideal_step", "why_no_ideal"]


def why_no_ideal(plan: Plan) -> str:
    """Why no formula or simulation covers a plan; empty where one does."""
    if plan.dp > 1 and plan.sync == "async_parameter_server":
        return (
            "with sync=async_parameter_server no step is shared by all ranks, and which update "
            "comes first is left to chance"
        )
    if plan.pp > 1 and plan.placement == "branches":
        return "with placement=branches the cost of each branch counts, and a profile knows layers"
    if plan.dp > 1 and plan.compression == "powersgd":
        return "compression=powersgd computes on the gradients, and a profile knows layers"
    if plan.tp > 1 and plan.tensor_style == "dtensor":
        return "with tensor_style=dtensor the library chooses the collectives"
    return ""


def ideal_step(
    plan: Plan,
    profile: ModelProfile,
    device: Device,
    workload: Workload,
    stages: Sequence[range] | None = None,
) -> IdealStep | None:
    """The step of a plan on a declared device where nothing is lost but what must be.

    Computing takes what ``labkit.project.compute`` says, collectives what
    ``labkit.project.collectives`` says; reading data and the loss take no time.

    Args:
        plan: valid for the workload.
        profile: of the workload's model.
        device: the declared one.
        workload: names the global batch, the momentum and the precision.
        stages: layers of each stage of the pipeline; ``None`` takes the plan's cuts, or equal
            counts.
    Returns:
        The steady step; ``None`` where ``why_no_ideal`` says why.
    """
    if why_no_ideal(plan):
        return None
    if plan.strategy == "data":
        return ideal_data(plan, profile, device, workload)
    if plan.pp == 1:
        stages = [range(len(profile.layers))]
    elif stages is None:
        stages = stage_ranges(len(profile.layers), plan.num_stages, plan.cuts)
    return ideal_replicas(plan, profile, device, workload, stages)
