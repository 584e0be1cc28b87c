"""Exact quantiles of columns that lie in parts on many machines, in two passes.

The value of a given rank in the sorted column cannot be merged from the parts' own medians. So the
first pass takes a sample of each part, from which follows a narrow bracket for the value. The
second pass sends only the few values inside the bracket, and how many lie below. The result is the
value that sorting everything would give. No part is ever sorted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.statistics.brackets import (
    STANDARD_ERRORS,
    Bracket,
    Sample,
    find_brackets,
    sample_values,
)
from labkit.preprocess.tasks import Executor

Array = NDArray[np.float64]
Select = Callable[..., Mapping[Hashable, Array | Sequence[Array]]]
BLOCK = 1 << 15  # values at a time
WIDER = (STANDARD_ERRORS, 8 * STANDARD_ERRORS, math.inf)  # tried one after the other


class Inside(NamedTuple):
    """One part's share of a bracket."""

    below: int  # values < low
    at_low: int  # values == low: counted, not sent, as a column may have many ties
    between: Array  # values in (low, high)
    at_high: int  # values == high, unless low is the same


class Ranked(NamedTuple):
    """The values of some ranks of a column."""

    num_values: int
    values: Mapping[int, float]

    def quantile(self, fraction: float) -> float:
        """What ``numpy.nanquantile`` gives; the fraction must be among those asked for."""
        if not self.num_values:
            return math.nan
        place = (self.num_values - 1) * fraction
        rank = math.floor(place)
        low = self.values[rank]
        high = self.values[min(rank + 1, self.num_values - 1)]
        # numpy's own interpolation, so that the last bit is the same
        weight, apart = place - rank, high - low
        return (high - apart * (1 - weight) if weight >= 0.5 else low + apart * weight) + 0.0

    @property
    def median(self) -> float:
        """What ``numpy.nanmedian`` gives; 0.5 must be among the fractions asked for."""
        if not self.num_values:
            return math.nan
        low, high = self.values[(self.num_values - 1) // 2], self.values[self.num_values // 2]
        return (low if self.num_values % 2 else (low + high) / 2) + 0.0


def exact_quantiles(
    executor: Executor,
    parts: Sequence[Part],
    select: Select,
    fractions: Sequence[float],
    **settings: Any,
) -> dict[Hashable, dict[float, float]]:
    """Quantiles of every column that ``select`` finds in the parts; 2 tasks a part.

    Args:
        executor: runs the two passes.
        parts: the rows.
        select: module-level function ``select(frame, **settings)``; by key an array, or several
            that belong together, NaN where missing; a part may lack a key.
        fractions: each in [0, 1]; 0.5 is the median.
        settings: handed to ``select``.
    Returns:
        By key and fraction; equal to ``numpy.nanquantile`` of the whole column bit for bit, NaN for
        a column without values.
    """
    sampled = map_parts(executor, sample_part, parts, select=select, settings=settings)
    samples: dict[Hashable, list[Sample]] = {}
    for part in sampled:
        for key, each in part.items():
            samples.setdefault(key, []).extend(each)
    ranked = find_ranked(executor, parts, select, samples, fractions, **settings)
    return {
        key: {fraction: found.quantile(fraction) for fraction in fractions}
        for key, found in ranked.items()
    }


def find_ranked(
    executor: Executor,
    parts: Sequence[Part],
    select: Select,
    samples: Mapping[Hashable, Sequence[Sample]],
    fractions: Sequence[float],
    **settings: Any,
) -> dict[Hashable, Ranked]:
    """The second pass: the values on either side of each fraction, by key; 1 task a part.

    Raises:
        SourceError: the rows are not those that were sampled.
    """
    counts = {key: sum(each.num_values for each in samples[key]) for key in samples}
    missed = {key: wanted_ranks(counts[key], fractions) for key in samples if counts[key]}
    found: dict[Hashable, dict[int, float]] = {key: {} for key in samples}
    for errors in WIDER:
        if not missed:
            break
        brackets = {key: find_brackets(samples[key], missed[key], errors) for key in missed}
        insides = map_parts(
            executor, count_part, parts, select=select, brackets=brackets, settings=settings
        )
        for key, wanted in brackets.items():
            shares = [part[key] for part in insides if key in part]
            for place, bracket in enumerate(wanted):
                found[key] |= values_in(bracket, [each[place] for each in shares])
        left = {key: [r for r in ranks if r not in found[key]] for key, ranks in missed.items()}
        missed = {key: ranks for key, ranks in left.items() if ranks}
    if missed:
        raise SourceError(
            f"the values of {', '.join(map(str, missed))} changed while they were read; see that "
            "nothing writes to the sources, then start again"
        )
    return {key: Ranked(counts[key], found[key]) for key in samples}


def sample_part(
    frame: pd.DataFrame, *, select: Select, settings: Mapping[str, Any]
) -> dict[Hashable, list[Sample]]:
    """First pass over one part."""
    return {
        key: [sample_values(values) for values in arrays_of(given)]
        for key, given in select(frame, **settings).items()
    }


def count_part(
    frame: pd.DataFrame,
    *,
    select: Select,
    brackets: Mapping[Hashable, Sequence[Bracket]],
    settings: Mapping[str, Any],
) -> dict[Hashable, list[Inside]]:
    """Second pass over one part."""
    return {
        key: insides_of(arrays_of(given), brackets[key])
        for key, given in select(frame, **settings).items()
        if key in brackets
    }


def insides_of(arrays: Sequence[Array], brackets: Sequence[Bracket]) -> list[Inside]:
    """What lies below and in each bracket; a comparison with NaN is never true.

    The few values in any of the brackets are picked out in one go, and told apart afterwards.
    """
    below = [0] * len(brackets)
    picked = [np.empty(0)]
    buffers = np.empty((3, BLOCK), dtype=np.bool_)
    for block in _blocks(arrays):
        is_below, is_up_to, is_in = buffers[:, : len(block)]
        is_in[:] = False
        for place, bracket in enumerate(brackets):
            np.less(block, bracket.low, out=is_below)
            np.less_equal(block, bracket.high, out=is_up_to)
            below[place] += int(np.count_nonzero(is_below))
            is_in |= is_below ^ is_up_to  # whatever is below low is up to high
        picked.append(block[is_in])
    values = np.concatenate(picked)
    return [_share(values, *each) for each in zip(brackets, below, strict=True)]


def _share(values: Array, bracket: Bracket, below: int) -> Inside:
    low, high = bracket.low, bracket.high
    at_low = int(np.count_nonzero(values == low))
    if low == high:
        return Inside(below, at_low, np.empty(0), 0)
    at_high = int(np.count_nonzero(values == high))
    return Inside(below, at_low, values[(values > low) & (values < high)], at_high)


def _blocks(arrays: Sequence[Array]) -> Iterator[Array]:
    """The arrays in pieces that stay in the cache, with all that is made of them."""
    for values in arrays:
        for start in range(0, len(values), BLOCK):
            yield values[start : start + BLOCK]


def arrays_of(given: Array | Sequence[Array]) -> Sequence[Array]:
    """What ``select`` found of a key, one array or several."""
    return (given,) if isinstance(given, np.ndarray) else given


def wanted_ranks(total: int, fractions: Sequence[float]) -> list[int]:
    """The whole ranks on either side of each fraction."""
    lower = {math.floor((total - 1) * fraction) for fraction in fractions}
    return sorted({min(rank + more, total - 1) for rank in lower for more in (0, 1)})


def values_in(bracket: Bracket, shares: Sequence[Inside]) -> dict[int, float]:
    """The values of those of the bracket's ranks that it holds."""
    start = sum(share.below for share in shares)
    past_low = start + sum(share.at_low for share in shares)
    between = np.concatenate([np.empty(0), *(share.between for share in shares)])
    past_between = past_low + len(between)
    stop = past_between + sum(share.at_high for share in shares)
    places = [rank - past_low for rank in bracket.ranks if past_low <= rank < past_between]
    if places:
        between = np.partition(between, places)
    values = {}
    for rank in bracket.ranks:
        if start <= rank < past_low:
            values[rank] = bracket.low
        elif past_low <= rank < past_between:
            values[rank] = float(between[rank - past_low])
        elif past_between <= rank < stop:
            values[rank] = bracket.high
    return values
