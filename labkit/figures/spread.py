"""Labels beside the ends of lines, pushed apart where the lines meet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def spread_apart(
    wanted: Sequence[float], sizes: Sequence[float], low: float = 0.0, high: float = 1.0
) -> list[float]:
    """Places as near as can be to the wanted ones at which no label covers another.

    With the room that the labels below a label take subtracted, "do not overlap" becomes "do not
    fall", so that the nearest places are those of an isotonic regression: neighbours that would
    fall are pooled at their mean.

    Args:
        wanted: middle of each label on the axis, in any order.
        sizes: height of each label, in the units of the axis.
        low, high: where the lowest label begins and the highest ends, if all of them fit.
    Returns:
        Middle of each label, in the order given.
    Source: Barlow, Bartholomew, Bremner & Brunk 1972, "Statistical inference under order
        restrictions" (pool adjacent violators).
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    room, taken = [0.0] * len(wanted), 0.0
    for before, after in itertools.pairwise(order):
        taken += (sizes[before] + sizes[after]) / 2
        room[after] = taken
    pools: list[tuple[float, int]] = []  # sum and count of those that stand together
    for i in order:
        total, count = wanted[i] - room[i], 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            earlier = pools.pop()
            total, count = total + earlier[0], count + earlier[1]
        pools.append((total, count))
    levels = [total / count for total, count in pools for _ in range(count)]
    if order:
        least = low + sizes[order[0]] / 2
        most = max(high - sizes[order[-1]] / 2 - room[order[-1]], least)
        levels = [min(max(level, least), most) for level in levels]
    places = [0.0] * len(wanted)
    for i, level in zip(order, levels, strict=True):
        places[i] = level + room[i]
    return places
