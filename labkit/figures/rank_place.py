"""Where a rank stands on the mesh, and what it is called there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from labkit.figures.wrap import wrapped

WIDTH = 23  # characters of a place that stand beside a row


class Place(NamedTuple):
    """Coordinates of a rank on the row-major mesh ``(dp, pp, tp)``."""

    replica: int
    column: int  # along pp
    slice: int


def place_of(rank: int, plan: Mapping[str, Any]) -> Place:
    """Coordinates of a rank; axes that the plan does not name have degree 1."""
    pp, tp = int(plan.get("pp", 1)), int(plan.get("tp", 1))
    return Place(rank // (pp * tp), rank // tp % pp, rank % tp)


def stages_on(column: int, plan: Mapping[str, Any]) -> tuple[int, ...]:
    """Stages of a rank of the pipeline: stage ``s`` lives on rank ``s % pp``."""
    pp, virtual = int(plan.get("pp", 1)), int(plan.get("virtual_stages") or 1)
    return tuple(column + chunk * pp for chunk in range(virtual))


def chunk_of(stage: int, plan: Mapping[str, Any]) -> int:
    """Which of its rank's virtual stages a stage is, from 0."""
    return max(stage, 0) // int(plan.get("pp", 1))


def counted(noun: str, numbers: tuple[int, ...]) -> str:
    """Such as ``stage 1`` and ``stages 1, 5``."""
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def rank_label(rank: int, plan: Mapping[str, Any]) -> str:
    """The rank and its place on the mesh; axes of degree 1 go unsaid."""
    place = place_of(rank, plan)
    places = []
    if int(plan.get("dp", 1)) > 1:
        by_features = plan.get("split") == "features"
        places.append(f"{'columns' if by_features else 'replica'} {place.replica}")
        if rank == 0 and "parameter_server" in str(plan.get("sync")):
            places.append("server")
    if int(plan.get("pp", 1)) > 1:
        if plan.get("placement") == "branches":
            places.append("branch" if place.column else "trunk")
        else:
            places.append(counted("stage", stages_on(place.column, plan)))
    if int(plan.get("tp", 1)) > 1:
        places.append(f"slice {place.slice}")
    return "\n".join(
        [f"rank {rank}", wrapped(", ".join(places), WIDTH)] if places else [f"rank {rank}"]
    )
