"""What the ranks of a plan tell each other, in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from labkit.plan import Plan

_OF_SHARDS: Mapping[str, str] = MappingProxyType(
    {
        "none": "all_reduce of the gradients, in buckets during the backward",
        "optimizer": "all_reduce of the gradients, all_gather of the updated parameters",
        "gradients": "all_gather of the parameters, reduce_scatter of the gradients",
        "parameters": "all_gather of each layer's parameters, reduce_scatter of its gradients",
    }
)


def said_among_replicas(plan: Plan) -> str:
    """What goes over the axis ``dp``; empty where there is one replica."""
    if plan.dp == 1:
        return ""
    if plan.split == "features":
        return "all_reduce of the first layer's partial sums, in the forward"
    if plan.sync == "ring":
        messages = 2 * (plan.dp - 1)
        return f"gradients: {messages} messages of 1/{plan.dp} each to the next rank"
    if plan.sync == "average":
        return f"average of the parameters every {plan.sync_every} steps"
    if plan.sync == "parameter_server":
        return "gradients to the server,\nparameters back"
    if plan.sync == "async_parameter_server":
        steps = "step" if plan.max_staleness == 1 else "steps"
        return (
            "gradients to the server, parameters back,\nwithout waiting for each other:\n"
            f"at most {plan.max_staleness} {steps} ahead"
        )
    if plan.compression != "none":
        return f"all_reduce of the gradients as {plan.compression}, during the backward"
    if plan.pp > 1:
        return "all_reduce of the gradients, across replicas"
    return _OF_SHARDS[plan.shard]


def said_between_stages(plan: Plan) -> str:
    """What goes over the axis ``pp``; empty where the model is in one piece."""
    if plan.pp == 1:
        return ""
    if plan.placement == "branches":
        return "activations to the branches,\nresults back, gradients the other way"
    said = f"activations to the next stage, gradients back (dashed); {plan.microbatches} "
    said += f"microbatches by {plan.schedule}"
    if plan.num_virtual_stages > 1:
        said += f", round and round {plan.virtual_stages} times"
    return said


def said_among_slices(plan: Plan) -> str:
    """What goes over the axis ``tp``; empty where layers are whole."""
    if plan.tp == 1:
        return ""
    if plan.sequence_parallel:
        return "all_gather and reduce_scatter of tokens, around every split layer"
    return "all_reduce of activations, after every split layer"
