"""Which layers make up each stage of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import inf

from labkit.errors import PlanError

ROUNDING = 1e-9  # relative; sums of the same costs in another order differ by less


def balance(costs: Sequence[float], num_stages: int) -> tuple[int, ...]:
    """Cut layers into stages such that the slowest stage is as fast as it can be.

    Exact, by dynamic programming. Of the cuts that do equally well it takes those whose other
    stages are balanced too, and of those the one with the larger stages first.

    Args:
        costs: of each layer, in any unit, >= 0; all of them 0 (unknown) count as equal.
        num_stages: at most one a layer.
    Returns:
        The first layer of every stage but the first, rising.
    Raises:
        PlanError: fewer layers than stages.
    Source: the linear partition problem, Skiena 2020, "The Algorithm Design Manual", section 10.7.
    """
    _check(len(costs), num_stages)
    upto = [0.0, *accumulate(costs if any(costs) else [1.0] * len(costs))]
    slowest = _least_slowest(upto, num_stages) * (1 + ROUNDING)
    num_layers = len(costs)
    # squares[n]: least sum of squared stages of the first n layers; starts[k][n]: the last one's.
    squares = [0.0] + [inf] * num_layers
    starts: list[list[int]] = []
    for _ in range(num_stages):
        ways = [
            [
                (squares[start] + (upto[n] - upto[start]) ** 2, -start)
                for start in range(n)
                if upto[n] - upto[start] <= slowest
            ]
            for n in range(num_layers + 1)
        ]
        best = [min(way, default=(inf, 0)) for way in ways]
        squares = [square for square, _ in best]
        starts.append([-start for _, start in best])
    cuts: list[int] = []
    end = num_layers
    for of_stage in reversed(starts[1:]):
        end = of_stage[end]
        cuts.append(end)
    return tuple(reversed(cuts))


def _least_slowest(upto: Sequence[float], num_stages: int) -> float:
    """Cost of the slowest stage under the best cuts; ``upto[n]`` is that of the first n layers."""
    best = [0.0] + [inf] * (len(upto) - 1)
    for _ in range(num_stages):
        best = [
            min((max(best[start], upto[n] - upto[start]) for start in range(n)), default=inf)
            for n in range(len(upto))
        ]
    return best[-1]


def stage_ranges(
    num_layers: int, num_stages: int, cuts: Sequence[int] | None = None
) -> tuple[range, ...]:
    """The layers of each stage.

    Args:
        num_layers: of the model.
        num_stages: at most one a layer.
        cuts: first layer of every stage but the first; ``None`` makes equal counts, the first
            stages one more.
    Raises:
        PlanError: fewer layers than stages, or cuts that do not make that many stages.
    """
    _check(num_layers, num_stages)
    if cuts is None:
        share, extra = divmod(num_layers, num_stages)
        cuts = [stage * share + min(stage, extra) for stage in range(1, num_stages)]
    bounds = [0, *cuts, num_layers]
    ranges = tuple(range(start, end) for start, end in pairwise(bounds))
    if len(ranges) != num_stages or not all(ranges):
        raise PlanError(
            f"cuts={tuple(cuts)} do not cut {num_layers} layers into {num_stages} stages of at "
            f"least one; give {num_stages - 1} rising cuts from 1 to {num_layers - 1}"
        )
    return ranges


def _check(num_layers: int, num_stages: int) -> None:
    if not 1 <= num_stages <= num_layers:
        raise PlanError(
            f"{num_layers} layers cannot make {num_stages} stages; choose from 1 to {num_layers}"
        )
