"""Exact medians and quartiles of columns that lie in parts on many machines, in two passes.

The value of a given rank in the sorted column cannot be merged from the parts' own medians. So the
first pass sends some hundred evenly spaced values of each sorted part, with their ranks, from which
follows a narrow bracket that must hold the value. The second pass sends only the few values inside
the bracket, and how many lie below. The result is the value that sorting everything would give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.tasks import Executor

Columns = Mapping[Hashable, NDArray[np.floating[Any]]]
SAMPLE_SIZE = 256


class Sample(NamedTuple):
    """Some values of one sorted part and their ranks in it; the least and greatest included."""

    num_values: int
    values: NDArray[np.floating[Any]]
    ranks: NDArray[np.int64]


class Bracket(NamedTuple):
    """The value of this rank, counted from 0, is in [low, high]."""

    rank: int
    low: float
    high: float


class Inside(NamedTuple):
    """One part's share of a bracket."""

    below: int  # values < low
    at_low: int  # values == low: counted, not sent, as a column may have many ties
    between: NDArray[np.floating[Any]]  # values in (low, high)


def exact_quantiles(
    executor: Executor,
    partitions: Sequence[Any],
    select: Callable[[Any], Columns],
    fractions: Sequence[float],
) -> dict[Hashable, dict[float, float]]:
    """Quantiles of every column that ``select`` finds in the partitions; 2 tasks a partition.

    Args:
        executor: runs the two passes.
        partitions: handles of partitions.
        select: module-level function; same keys for every partition, NaN where missing.
        fractions: each in [0, 1]; 0.5 is the median.
    Returns:
        By key and fraction. A median equals ``numpy.nanmedian`` of the whole column bit for bit,
        other fractions ``numpy.nanquantile``; NaN for a column without values.
    """
    samples = executor.collect(sample_part, partitions, select=select)
    brackets = find_brackets(samples, fractions)
    insides = executor.collect(count_part, partitions, select=select, brackets=brackets)
    values = {
        key: {
            bracket.rank: _value_at(bracket, [part[key][place] for part in insides])
            for place, bracket in enumerate(found)
        }
        for key, found in brackets.items()
    }
    counts = {key: sum(part[key].num_values for part in samples) for key in brackets}
    return {
        key: {fraction: _quantile(values[key], counts[key], fraction) for fraction in fractions}
        for key in brackets
    }


def sample_part(partition: Any, *, select: Callable[[Any], Columns]) -> dict[Hashable, Sample]:
    """First pass over one partition."""
    samples = {}
    for key, column in select(partition).items():
        ordered = np.sort(column[~np.isnan(column)])
        size = min(SAMPLE_SIZE, len(ordered))
        ranks = np.unique(np.linspace(0, max(len(ordered) - 1, 0), size).round().astype(np.int64))
        samples[key] = Sample(len(ordered), ordered[ranks], ranks)
    return samples


def find_brackets(
    samples: Sequence[Mapping[Hashable, Sample]], fractions: Sequence[float]
) -> dict[Hashable, list[Bracket]]:
    """What the second pass must look into, per column and rank that a fraction needs."""
    brackets: dict[Hashable, list[Bracket]] = {}
    for key in samples[0]:
        parts = [part[key] for part in samples if part[key].num_values]
        total = sum(part.num_values for part in parts)
        brackets[key] = _brackets(parts, _ranks(total, fractions)) if total else []
    return brackets


def _ranks(total: int, fractions: Sequence[float]) -> list[int]:
    """The whole ranks on either side of each fraction."""
    places = [(total - 1) * fraction for fraction in fractions]
    return sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})


def _brackets(parts: Sequence[Sample], ranks: Sequence[int]) -> list[Bracket]:
    candidates = np.unique(np.concatenate([part.values for part in parts]))
    most_below = np.zeros(len(candidates), dtype=np.int64)  # at most so many are < candidate
    least_up_to = np.zeros(len(candidates), dtype=np.int64)  # at least so many are <= candidate
    for part in parts:
        after = np.searchsorted(part.values, candidates, side="left")
        most_below += np.append(part.ranks, part.num_values)[after]
        upto = np.searchsorted(part.values, candidates, side="right")
        least_up_to += np.append(0, part.ranks + 1)[upto]
    found = []
    for rank in ranks:
        low = candidates[np.searchsorted(most_below, rank, side="right") - 1]
        high = candidates[np.searchsorted(least_up_to, rank + 1, side="left")]
        found.append(Bracket(rank, float(low), float(high)))
    return found


def count_part(
    partition: Any,
    *,
    select: Callable[[Any], Columns],
    brackets: Mapping[Hashable, Sequence[Bracket]],
) -> dict[Hashable, list[Inside]]:
    """Second pass over one partition."""
    insides = {}
    for key, column in select(partition).items():
        ordered = np.sort(column[~np.isnan(column)])
        insides[key] = [_inside(ordered, bracket) for bracket in brackets[key]]
    return insides


def _inside(ordered: NDArray[np.floating[Any]], bracket: Bracket) -> Inside:
    below = int(np.searchsorted(ordered, bracket.low, side="left"))
    past_low = int(np.searchsorted(ordered, bracket.low, side="right"))
    at_high = int(np.searchsorted(ordered, bracket.high, side="left"))
    return Inside(below, past_low - below, ordered[past_low : max(at_high, past_low)])


def _value_at(bracket: Bracket, parts: Sequence[Inside]) -> float:
    """The value of the bracket's rank in the whole column."""
    place = bracket.rank - sum(part.below for part in parts)
    at_low = sum(part.at_low for part in parts)
    assert place >= 0, f"rank {bracket.rank} lies below its bracket"
    if place < at_low:
        return bracket.low
    between = np.sort(np.concatenate([part.between for part in parts]))
    place -= at_low
    return float(between[place]) if place < len(between) else bracket.high


def _quantile(values: Mapping[int, float], total: int, fraction: float) -> float:
    """Between the two ranks, as numpy does it, so that the last bit is the same."""
    if not total:
        return math.nan
    place = (total - 1) * fraction
    low, high = values[math.floor(place)], values[math.ceil(place)]
    if fraction == 0.5:
        return float(np.mean([low, high]))
    weight, apart = place - math.floor(place), high - low
    return high - apart * (1 - weight) if weight >= 0.5 else low + apart * weight
