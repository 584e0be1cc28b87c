"""Numbers that stand for "missing", such as -999, found by how they lie and how they repeat."""

from __future__ import annotations

from collections.abc import Mapping

LEAST_REPEATS = 10
TIMES_THE_USUAL = 10


def find_sentinels(
    outside: Mapping[float, int], ties: tuple[int, int], middle: float
) -> tuple[float, ...]:
    """Values outside the fences that repeat far more often than values in the tail do.

    Args:
        outside: how often each value outside the fences occurs.
        ties: rows equal to the lowest and to the highest hundredth's edge: how often a value of
            that tail usually repeats, 1 for numbers that are measured.
        middle: the median, to tell the tails apart.
    Returns:
        In rising order.
    """
    return tuple(
        value
        for value, count in sorted(outside.items())
        if count >= max(LEAST_REPEATS, TIMES_THE_USUAL * ties[value > middle])
    )
