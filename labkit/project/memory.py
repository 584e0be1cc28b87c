"""How many bytes each rank of a plan needs: parameters, gradients, optimiser, activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from labkit.plan import Plan
from labkit.project.compute import layers_of_rank, rank_parameter_bytes, updated_bytes
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.project.schedules import Action, schedule_actions
from labkit.workload import Workload


def memory_by_rank(
    plan: Plan, profile: ModelProfile, workload: Workload, stages: Sequence[range]
) -> tuple[dict[str, int], ...] | None:
    """Bytes that each rank holds at its peak, by part.

    Args:
        plan: valid for the workload.
        profile: of the workload's model.
        workload: names the global batch, the momentum and the precision.
        stages: layers of each stage of the pipeline; one stage without a pipeline.
    Returns:
        For each rank in order ``parameters``, ``gradients``, ``optimizer`` and ``activations``;
        ``None`` where branches are placed on ranks: a profile knows layers, not the branches
        inside one.
    Source: Rajbhandari et al. 2020, arXiv:1910.02054, section 3; Narayanan et al. 2021,
        arXiv:2104.04473, section 2.2 (activations in flight).
    """
    if plan.placement == "branches" and plan.pp > 1:
        return None
    if plan.pp == 1:
        stages = [range(len(profile.layers))]
    actions = pipeline_actions(plan)
    return tuple(
        _rank_memory(rank, actions[rank // plan.tp % plan.pp], plan, profile, workload, stages)
        for rank in range(plan.world_size)
    )


def pipeline_actions(plan: Plan) -> tuple[tuple[Action, ...], ...]:
    """What each rank of one replica does in a step, in order.

    Without a pipeline that is one microbatch after the other, as 1F1B on one rank.
    """
    schedule = plan.schedule if plan.pp > 1 else "1f1b"
    return schedule_actions(schedule, plan.pp, plan.num_microbatches, plan.num_virtual_stages)


def _rank_memory(
    rank: int,
    actions: Sequence[Action],
    plan: Plan,
    profile: ModelProfile,
    workload: Workload,
    stages: Sequence[range],
) -> dict[str, int]:
    layers = _layers_of_columns(profile, plan, workload, rank)
    place = rank // plan.tp % plan.pp
    held = [layers[i] for stage in stages[place :: plan.pp] for i in stage]
    parameter_bytes = sum(rank_parameter_bytes(layer, plan.tp) for layer in held)
    sharded = {"none": (), "optimizer": ("optimizer",), "gradients": ("optimizer", "gradients")}
    parts = sharded.get(plan.shard, ("optimizer", "gradients", "parameters"))
    memory = {
        "parameters": parameter_bytes,
        "gradients": parameter_bytes,
        "optimizer": _optimizer_bytes(parameter_bytes, rank, plan, workload),
        "activations": _activation_bytes(actions, layers, plan, profile, workload, stages),
    }
    if plan.dp > 1:
        memory |= {part: -(-memory[part] // plan.dp) for part in parts}
    return memory


def _optimizer_bytes(parameter_bytes: int, rank: int, plan: Plan, workload: Workload) -> int:
    """Momentum, and the float32 weights that bfloat16 ones are rounded from."""
    is_worker = plan.dp > 1 and plan.sync in ("parameter_server", "async_parameter_server")
    if is_worker and rank > 0:
        return 0  # the server updates
    weight_bytes = updated_bytes(parameter_bytes, workload)
    has_copies = workload.precision == "bfloat16"
    return weight_bytes * ((workload.momentum > 0) + has_copies)


def _layers_of_columns(
    profile: ModelProfile, plan: Plan, workload: Workload, rank: int
) -> tuple[LayerProfile, ...]:
    """The layers with the first one cut to the columns that a rank reads, if features are split.

    The first of its parameters is the weight, which has a column a feature; ranks get them as
    ``numpy.array_split`` cuts, the first ones one more.
    """
    layers = layers_of_rank(profile, plan)
    if plan.split != "features" or plan.dp == 1:
        return layers
    share, extra = divmod(workload.num_features, plan.dp)
    weight_bytes, *others = layers[0].parameter_bytes
    cut = weight_bytes // workload.num_features * (share + (rank < extra))
    return (replace(layers[0], parameter_bytes=(cut, *others)), *layers[1:])


def _activation_bytes(
    actions: Sequence[Action],
    layers: Sequence[LayerProfile],
    plan: Plan,
    profile: ModelProfile,
    workload: Workload,
    stages: Sequence[range],
) -> int:
    """Peak of what a rank keeps for its backwards, in the order in which it works.

    A microbatch is kept from its forward until its backward, or the gradient of its weights, is
    done. Layers that forget their activations keep their input, and one at a time all the rest.
    """
    num_samples = workload.global_batch // plan.num_replicas // plan.num_microbatches
    kept_bytes, again_bytes = {}, 0
    for stage, of_stage in enumerate(stages):
        saved = [_saved_bytes(layers[i], plan) for i in of_stage]
        if plan.checkpoint_activations:
            inputs = [layers[i - 1].output_bytes if i else profile.input_bytes for i in of_stage]
            kept_bytes[stage] = sum(inputs)
            if any(action.stage == stage for action in actions):
                again_bytes = max([again_bytes, *saved])
        else:
            kept_bytes[stage] = sum(saved)
    now_bytes = peak_bytes = 0
    for action in actions:
        if action.kind == "F":
            now_bytes += kept_bytes[action.stage]
        elif action.kind in ("B", "W"):
            now_bytes -= kept_bytes[action.stage]
        peak_bytes = max(peak_bytes, now_bytes)
    return num_samples * (peak_bytes + again_bytes)


def _saved_bytes(layer: LayerProfile, plan: Plan) -> int:
    """What a layer keeps of one sample on one rank of a tensor group."""
    return layer.saved_bytes - layer.split_saved_bytes + layer.split_saved_bytes // plan.tp
