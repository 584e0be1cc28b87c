"""Numbers that stand for "missing", such as -999, found by how they lie and how they repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LEAST_REPEATS = 10
TIMES_THE_USUAL = 10
MOST = 4
FAR = 3.0


def find_sentinels(
    outside: Mapping[float, int], edges: Sequence[tuple[float, int]]
) -> tuple[float, ...]:
    """Values outside all fences that repeat far more often than values in the tail do.

    Where there are more than ``MOST`` on a side, they are the tail: whoever writes sentinels uses
    one, or one a unit.

    Args:
        outside: how often each value outside the fences of every class occurs.
        edges: quantiles of the column in rising order, and how many rows equal each: 1 for numbers
            that are measured, many for whole numbers.
    Returns:
        In rising order.
    """
    middle = edges[len(edges) // 2][0]
    sides: tuple[list[float], list[float]] = ([], [])
    for value, count in sorted(outside.items()):
        from_its_end = edges if value < middle else edges[::-1]
        usual = next((ties for edge, ties in from_its_end if edge != value), 1)
        if count >= max(LEAST_REPEATS, TIMES_THE_USUAL * usual):
            sides[value > middle].append(value)
    return tuple(value for side in sides if len(side) <= MOST for value in side)


def find_heavy(edges: Sequence[tuple[float, int]]) -> tuple[float, ...]:
    """Sentinels that are so many that the quartiles themselves are theirs, so no fence is left.

    At least a tenth of the rows equals the least (or the greatest) quantile, and the rest lies far
    from it: further than ``FAR`` times the rest's own spread, of at least three quantiles.
    """
    values = [edge for edge, _ in edges]
    found = []
    for end in (values, values[::-1]):
        rest = [value for value in end if value != end[0]]
        tied = len(end) - len(rest)
        if tied >= 2 and len(set(rest)) >= 3:
            spread = max(rest) - min(rest)
            if abs(rest[0] - end[0]) > FAR * spread:
                found.append(end[0])
    return tuple(sorted(found))
