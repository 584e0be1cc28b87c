"""How a step is split over ranks, one file per strategy; ``find_strategy`` chooses by the plan."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from labkit.plan import Plan
from labkit.train.strategies.async_parameter_server import apply_async_parameter_server
from labkit.train.strategies.averaging import apply_averaging
from labkit.train.strategies.branches import apply_branches
from labkit.train.strategies.compression import apply_compression
from labkit.train.strategies.data import apply_data
from labkit.train.strategies.features import apply_features
from labkit.train.strategies.fully_sharded import apply_fully_sharded
from labkit.train.strategies.hybrid import apply_hybrid
from labkit.train.strategies.parallel_model import ApplyStrategy
from labkit.train.strategies.parameter_server import apply_parameter_server
from labkit.train.strategies.pipeline import apply_pipeline
from labkit.train.strategies.ring import apply_ring
from labkit.train.strategies.sequence import apply_sequence
from labkit.train.strategies.sharded_optimizer import apply_sharded_optimizer
from labkit.train.strategies.single import apply_single
from labkit.train.strategies.tensor import apply_tensor
from labkit.train.strategies.tensor_dtensor import apply_dtensor

STRATEGIES: Mapping[str, ApplyStrategy] = MappingProxyType(
    {
        "single": apply_single,
        "data": apply_data,
        "ring": apply_ring,
        "compression": apply_compression,
        "average": apply_averaging,
        "parameter_server": apply_parameter_server,
        "async_parameter_server": apply_async_parameter_server,
        "shard_optimizer": apply_sharded_optimizer,
        "shard_gradients": apply_fully_sharded,
        "shard_parameters": apply_fully_sharded,
        "features": apply_features,
        "pipeline": apply_pipeline,
        "branches": apply_branches,
        "tensor": apply_tensor,
        "dtensor": apply_dtensor,
        "sequence": apply_sequence,
        "hybrid": apply_hybrid,
    }
)


def find_strategy(plan: Plan) -> ApplyStrategy:
    """The function that splits a model as a plan says."""
    return STRATEGIES[variant_of(plan)]


def variant_of(plan: Plan) -> str:
    """The name in ``STRATEGIES`` of what a plan does: its strategy, or a variant of that."""
    if plan.placement == "branches" and plan.pp > 1:
        return "branches"
    if plan.strategy == "data":
        return _variant_of_data(plan)
    if plan.tensor_style == "dtensor" and plan.tp > 1:
        return "dtensor"
    if plan.sequence_parallel and plan.tp > 1:
        return "sequence"
    return plan.strategy


def _variant_of_data(plan: Plan) -> str:
    """At most one of these settings is not the usual one."""
    if plan.split == "features":
        return "features"
    if plan.shard != "none":
        return f"shard_{plan.shard}"
    if plan.compression != "none":
        return "compression"
    return "data" if plan.sync == "all_reduce" else plan.sync
