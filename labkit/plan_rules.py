"""Which plans cannot be: each rule says what is wrong, with the numbers, and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.plan import Plan
    from labkit.workload import Workload


def problems(plan: Plan) -> Iterator[str]:
    """What is wrong with the plan, whatever it is used for."""
    yield from _bad_counts(plan)
    yield from _bad_pipeline(plan)
    yield from _bad_data(plan)
    yield from _bad_tensor(plan)


def _bad_counts(plan: Plan) -> Iterator[str]:
    for name in ("microbatches", "virtual_stages", "sync_every"):
        value = getattr(plan, name)
        if type(value) is not int or value < 1:
            yield f"{name}={value!r} is not a count; choose a whole number >= 1"
    if type(plan.max_staleness) is not int or plan.max_staleness < 0:
        yield f"max_staleness={plan.max_staleness!r}; choose a whole number >= 0"
    size = plan.bucket_mb
    if size is not None and not (isinstance(size, int | float) and 0 < size < inf):
        yield f"bucket_mb={size!r} holds no gradient, or more than any; choose a size above 0"


def _bad_pipeline(plan: Plan) -> Iterator[str]:
    if plan.placement == "branches":
        if plan.dp > 1 or plan.tp > 1:
            yield (
                f"placement=branches uses pp alone, but dp={plan.dp} tp={plan.tp}; choose "
                "dp=1 and tp=1, or placement=layers"
            )
        if plan.cuts is not None:
            yield f"cuts={plan.cuts} are for stages; leave them out, or placement=layers"
        return
    if plan.pp == 1:
        return
    if plan.schedule == "interleaved1f1b":
        if plan.num_virtual_stages < 2:
            yield "interleaved1f1b with virtual_stages=1 is 1f1b; choose 2 or more, or 1f1b"
        if plan.num_microbatches % plan.pp:
            yield (
                f"interleaved1f1b needs microbatches that pp({plan.pp}) divides, but "
                f"microbatches={plan.microbatches}; choose a multiple of {plan.pp}"
            )
    elif plan.num_virtual_stages > 1:
        yield (
            f"schedule={plan.schedule} runs one stage a rank, but virtual_stages="
            f"{plan.virtual_stages}; choose 1, or schedule interleaved1f1b"
        )
    if plan.schedule != "gpipe" and plan.num_microbatches < plan.pp:
        yield (
            f"{plan.schedule} needs at least as many microbatches as stages, but microbatches="
            f"{plan.microbatches} < pp({plan.pp}); use {plan.pp} or more, or schedule gpipe"
        )
    if plan.cuts is not None and len(plan.cuts) != plan.num_stages - 1:
        yield (
            f"cuts={plan.cuts} make {len(plan.cuts) + 1} stages but pp({plan.pp}) * "
            f"virtual_stages({plan.virtual_stages}) = {plan.num_stages}; give "
            f"{plan.num_stages - 1} cuts"
        )
    if plan.cuts is not None and list(plan.cuts) != sorted(set(plan.cuts)):
        yield f"cuts={plan.cuts} must rise; give the first layer of each stage but the first"
    if plan.schedule == "zero_bubble" and plan.checkpoint_activations:
        yield (
            "schedule=zero_bubble splits the backward in two, so checkpoint_activations would "
            "compute every layer 3 times; choose another schedule, or keep the activations"
        )


def _bad_data(plan: Plan) -> Iterator[str]:
    if plan.dp == 1:
        return
    alone = plan.pp == 1 and plan.tp == 1
    special = {
        "sync": plan.sync != "all_reduce",
        "compression": plan.compression != "none",
        "shard": plan.shard != "none",
        "split": plan.split != "samples",
    }
    chosen = [f"{name}={getattr(plan, name)}" for name, is_on in special.items() if is_on]
    if chosen and not alone:
        yield (
            f"{chosen[0]} is for data parallelism alone, but pp={plan.pp} tp={plan.tp}; choose "
            f"pp=1 and tp=1, or {_plain(chosen[0])}"
        )
    if len(chosen) > 1:
        yield f"{' and '.join(chosen)} exclude each other; choose {_plain(chosen[-1])}"
    if plan.bucket_mb is not None and not (
        alone and plan.sync == "all_reduce" and plan.shard in ("none", "optimizer")
        and plan.split == "samples"
    ):  # fmt: skip
        yield (
            f"bucket_mb={plan.bucket_mb:g} is for gradients that are all_reduced during the "
            f"backward, but pp={plan.pp} tp={plan.tp} sync={plan.sync} shard={plan.shard} "
            f"split={plan.split}; leave bucket_mb out"
        )
    if plan.split == "features" and plan.num_microbatches > 1:
        yield (
            f"split=features exchanges one sum a step, but microbatches={plan.microbatches}; "
            "choose 1"
        )


def _bad_tensor(plan: Plan) -> Iterator[str]:
    if plan.tp == 1:
        return
    if plan.tensor_style == "dtensor" and (plan.dp > 1 or plan.pp > 1):
        yield (
            f"tensor_style=dtensor is shown alone, but dp={plan.dp} pp={plan.pp}; choose dp=1 "
            "and pp=1, or tensor_style=plain"
        )
    if plan.sequence_parallel and plan.tensor_style == "dtensor":
        yield (
            "sequence_parallel is done by hand, but tensor_style=dtensor; choose "
            "tensor_style=plain, or no sequence_parallel"
        )
    if plan.sequence_parallel and plan.pp > 1:
        yield (
            f"sequence_parallel keeps tokens sharded from layer to layer, but pp={plan.pp} "
            "hands whole activations on; choose pp=1, or no sequence_parallel"
        )
    if plan.sequence_parallel and plan.checkpoint_activations:
        yield (
            "sequence_parallel=True with checkpoint_activations=True is not available; choose one"
        )


def misfits(plan: Plan, workload: Workload) -> Iterator[str]:
    """What does not fit the workload."""
    yield from _model_misfits(plan, workload)
    if workload.global_batch % plan.num_replicas:
        yield (
            f"dp({plan.dp}) does not divide the global batch of {workload.global_batch}; "
            f"choose a divisor of {workload.global_batch} or another global batch"
        )
    replica_batch = workload.global_batch // plan.num_replicas
    if replica_batch % plan.num_microbatches:
        yield (
            f"microbatches({plan.microbatches}) does not divide the batch of {replica_batch} "
            f"that each of dp({plan.dp}) replicas gets; choose a divisor of {replica_batch}"
        )
    if plan.sync == "async_parameter_server" and workload.clip_norm is not None and plan.dp > 1:
        yield (
            f"clip_norm={workload.clip_norm} needs the gradient of the whole batch, which an "
            "async_parameter_server never has; leave it out, or sync=parameter_server"
        )


def _model_misfits(plan: Plan, workload: Workload) -> Iterator[str]:
    name = workload.name
    if plan.placement == "branches" and plan.pp > 1:
        if workload.num_branches < 2:
            yield (
                f"placement=branches, but the model of workload {name!r} does not fork; choose "
                "placement=layers, or workload branches"
            )
        elif plan.pp > workload.num_branches + 1:
            yield (
                f"pp({plan.pp}) ranks but workload {name!r} has {workload.num_branches} "
                f"branches and one trunk; choose pp at most {workload.num_branches + 1}"
            )
    if plan.num_stages > workload.num_layers:
        stages = f"pp({plan.pp})"
        if plan.num_virtual_stages > 1:
            stages += f" * virtual_stages({plan.virtual_stages}) = {plan.num_stages}"
        if workload.num_layers == 1 and not isinstance(workload.model, str):
            yield (
                f"{stages} stages, but the model of workload {name!r} is one layer: its forward is "
                "not its children in order; build it as an nn.Sequential of layers, or choose pp=1"
            )
        yield (
            f"{stages} stages but workload {name!r} has {workload.num_layers} layers; choose pp at "
            f"most {workload.num_layers // plan.num_virtual_stages}"
        )
    if plan.cuts and plan.num_stages > 1 and not 1 <= plan.cuts[0] <= plan.cuts[-1] < (
        workload.num_layers
    ):  # fmt: skip
        yield (
            f"cuts={plan.cuts} leave the {workload.num_layers} layers of workload {name!r}; "
            f"choose cuts from 1 to {workload.num_layers - 1}"
        )
    if plan.tp > 1 and workload.tensor_units % plan.tp:
        yield (
            f"tp({plan.tp}) does not divide the {workload.tensor_units} slices that the widest "
            f"layers of workload {name!r} can be cut into; choose a divisor of "
            f"{workload.tensor_units}"
        )
    if plan.tp > 1 and plan.tensor_style == "dtensor" and not workload.linear_regions:
        yield (
            f"tensor_style=dtensor shards linear layers, but tp({plan.tp}) would cut convolutions "
            f"of workload {name!r}; choose tensor_style=plain"
        )
    if plan.tp > 1 and plan.sequence_parallel and (
        not workload.num_tokens or workload.num_tokens % plan.tp
    ):  # fmt: skip
        yield (
            f"sequence_parallel shards tokens over tp({plan.tp}), but a sample of workload "
            f"{name!r} has {workload.num_tokens} tokens; choose a workload of text and a "
            "divisor of its tokens"
        )
    if plan.split == "features" and plan.dp > 1 and plan.dp > workload.num_features:
        yield (
            f"split=features over dp({plan.dp}) ranks, but workload {name!r} has "
            f"{workload.num_features} columns that its first layer can be cut along; choose dp "
            f"at most {max(workload.num_features, 1)}, or split=samples"
        )


def _plain(chosen: str) -> str:
    """The setting that always works, in the place of a chosen one such as ``sync=ring``."""
    plain = {"sync": "all_reduce", "compression": "none", "shard": "none", "split": "samples"}
    name = chosen.partition("=")[0]
    return f"{name}={plain[name]}"
