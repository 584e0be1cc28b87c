"""What each rank of a plan holds, in words: for its box in the picture of the mesh, and aloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

from labkit.figures.mesh_shapes import MOST_ON_A_LINE
from labkit.figures.rank_place import Place, counted, place_of, stages_on
from labkit.plan import Plan

# What each way of sharding leaves on a rank as a part instead of a copy.
SHARDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "none": (),
        "optimizer": ("optimizer",),
        "gradients": ("gradients", "optimizer"),
        "parameters": ("parameters", "gradients", "optimizer"),
    }
)


class Holding(NamedTuple):
    """What one rank holds.

    Attributes:
        rank: its number.
        lines: what stands in its box below the number.
        spoken: everything, for the alternative text.
        is_hub: whether the others all talk to this rank.
    """

    rank: int
    lines: tuple[str, ...]
    spoken: str
    is_hub: bool


def holdings(
    plan: Plan, stages: Sequence[Sequence[int]] | None, num_branches: int | None
) -> list[Holding]:
    """What every rank holds, by rank.

    Args:
        plan: how the work is split.
        stages: layers of each stage; ``None`` where they are not known yet.
        num_branches: parallel branches of the model, with ``placement=branches``.
    """
    found = []
    for rank in range(plan.world_size):
        place = place_of(rank, plan.to_dict())
        model = _of_model(plan, place, stages, num_branches)
        data = _of_data(plan, place)
        lines = tuple(line for line in (*model, *data) if line)
        is_hub = rank == 0 and has_hub(plan)
        found.append(Holding(rank, lines, _spoken(plan, place, stages, lines), is_hub))
    return found


def has_hub(plan: Plan) -> bool:
    """Whether one rank is what all others talk to: a parameter server, or the trunk."""
    server = plan.dp > 1 and "parameter_server" in plan.sync
    return server or (plan.pp > 1 and plan.placement == "branches")


def said_layers(stages: Sequence[Sequence[int]] | None, of_rank: Sequence[int]) -> str:
    """Layers of a rank's stages, such as ``layers 0-3`` or ``layers 0-1, 8-9``."""
    if stages is None or any(stage >= len(stages) for stage in of_rank):
        return ""
    runs = []
    for stage in of_rank:
        layers = list(stages[stage])
        if layers:
            runs.append(f"{layers[0]}-{layers[-1]}" if len(layers) > 1 else f"{layers[0]}")
    many = len(runs) > 1 or "-" in "".join(runs)
    return f"layer{'s' if many else ''} {', '.join(runs)}" if runs else "no layer"


def said_names(layers: Sequence[int], names: Sequence[str]) -> str:
    """Names of layers, equal neighbours counted: ``Embedding, 3 x Block`` (unbroken)."""
    found = [names[layer] for layer in layers if layer < len(names)]
    runs = [(name, len(list(same))) for name, same in groupby(found)]
    return ", ".join(f"{count}\u00a0x\u00a0{name}" if count > 1 else name for name, count in runs)


def _of_model(
    plan: Plan, place: Place, stages: Sequence[Sequence[int]] | None, num_branches: int | None
) -> tuple[str, ...]:
    """The part of the model: layers, branches, slices."""
    if plan.world_size == 1:
        return ("whole model", "whole batch")
    lines: list[str] = []
    if plan.pp > 1 and plan.placement == "branches":
        mine = _branches_on(place.column, plan.pp, num_branches)
        lines += ["trunk"] if place.column == 0 else []
        lines += [counted("branch", mine).replace("branchs", "branches")] if mine else []
        if num_branches is None and place.column:
            lines.append("branch")
    elif plan.pp > 1:
        mine = stages_on(place.column, plan.to_dict())
        if plan.pp > MOST_ON_A_LINE:  # no column has a heading then
            lines.append(counted("stage", mine))
        lines.append(said_layers(stages, mine))
    if plan.tp > 1:
        lines.append(f"slice {place.slice} of {plan.tp}")
    return tuple(lines)


def _branches_on(column: int, pp: int, num_branches: int | None) -> tuple[int, ...]:
    """Branch ``i`` is on rank ``i % pp``; with a rank more than branches, rank 0 has none."""
    if num_branches is None:
        return ()
    if pp > num_branches:
        return (column - 1,) if column else ()
    return tuple(range(column, num_branches, pp))


def _of_data(plan: Plan, place: Place) -> tuple[str, ...]:
    """The part of the data, where the axis of replicas stands alone and has no headings."""
    if plan.dp == 1 or plan.pp * plan.tp > 1:
        return ()
    if plan.split == "features":
        return (f"columns {place.replica} of {plan.dp}", "whole batch")
    if has_hub(plan):
        return ("server, worker" if place.replica == 0 else "worker", f"1/{plan.dp} of batch")
    return (f"replica {place.replica}", f"1/{plan.dp} of batch")


def _spoken(
    plan: Plan, place: Place, stages: Sequence[Sequence[int]] | None, lines: tuple[str, ...]
) -> str:
    words = []
    if plan.dp > 1 and plan.pp * plan.tp > 1:
        words.append(f"replica {place.replica}")
    if 1 < plan.pp <= MOST_ON_A_LINE and plan.placement == "layers":
        words.append(counted("stage", stages_on(place.column, plan.to_dict())))
    words += lines
    parts = SHARDED[plan.shard] if plan.dp > 1 else ()
    if parts:
        words.append(f"shard {place.replica} of {' and '.join(parts)}")
    return ", ".join(words)
