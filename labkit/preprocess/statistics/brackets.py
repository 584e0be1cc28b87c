"""Narrow ranges that hold the values of wanted ranks, from samples of the parts.

A part of few values is sampled whole, and the range is certain. Of a larger part one value in
``SAMPLE_ONE_IN`` is looked at, and the range is widened by several standard errors: whether it held
the value is seen when the values below it are counted, so the answer is exact either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.statistics.moments import without_missing

SAMPLE_ONE_IN = 16
MIN_SAMPLE = 4096  # smaller parts are looked at whole
MAX_SENT = 1024  # evenly spaced values of a sorted sample
STANDARD_ERRORS = 5.0  # a miss is one in millions, and costs one more pass


class Sample(NamedTuple):
    """Evenly spaced values of a sorted sample of one part."""

    num_values: int  # of the part, without the missing
    num_sampled: int
    values: NDArray[np.float64]  # rising, the sample's least and greatest included

    @property
    def places(self) -> NDArray[np.int64]:
        """Places of the values in the sorted sample."""
        return _evenly(self.num_sampled, len(self.values))


class Bracket(NamedTuple):
    """The values of these ranks, counted from 0, are in [low, high]."""

    ranks: tuple[int, ...]
    low: float
    high: float


def sample_values(
    values: NDArray[np.float64], max_sent: int = MAX_SENT, one_in: int = SAMPLE_ONE_IN
) -> Sample:
    """One part's sample; ``values`` (rows,) with NaN where missing."""
    present = without_missing(values)
    size = max(MIN_SAMPLE, len(present) // one_in)
    if size < len(present):
        # one at a random place of each of `size` equal stretches: no rhythm of the rows can harm
        random = np.random.default_rng(len(present))
        stretch = len(present) / size
        places = ((np.arange(size) + random.random(size)) * stretch).astype(np.int64)
        sampled = np.sort(present[np.minimum(places, len(present) - 1)])
    else:
        sampled = np.sort(present)
    sent = sampled[_evenly(len(sampled), min(max_sent, len(sampled)))]
    return Sample(len(present), len(sampled), sent)


def _evenly(num_values: int, num_chosen: int) -> NDArray[np.int64]:
    """So many different places out of all, the first and the last included."""
    places: NDArray[np.int64] = np.arange(num_chosen) * (num_values - 1) // max(num_chosen - 1, 1)
    return places


def find_brackets(
    samples: Sequence[Sample],
    ranks: Sequence[int],
    standard_errors: float = STANDARD_ERRORS,
) -> list[Bracket]:
    """Where the values of these ranks lie, the ranges rising.

    Args:
        samples: of all parts of the column; at least one value.
        ranks: rising, each below the number of values.
        standard_errors: how far beyond the estimate a bracket reaches; infinite ones hold all.
    """
    if math.isinf(standard_errors):
        return [Bracket(tuple(ranks), -math.inf, math.inf)]
    samples = [sample for sample in samples if sample.num_values]
    variance = sum(
        each.num_values**2 / each.num_sampled / 4
        for each in samples
        if each.num_sampled < each.num_values
    )
    return brackets_around(samples, ranks, standard_errors * math.sqrt(variance))


def brackets_around(
    samples: Sequence[Sample], ranks: Sequence[int], margin: float
) -> list[Bracket]:
    """Where the values of these ranks lie, if each is at most ``margin`` ranks off.

    Args:
        samples: at least one, none of them empty.
        ranks: rising.
        margin: in ranks.
    """
    candidates, most_below, least_up_to = _counts(samples)
    found: list[Bracket] = []
    for rank in ranks:
        below = int(np.searchsorted(most_below, rank - margin, side="right")) - 1
        above = int(np.searchsorted(least_up_to, rank + 1 + margin, side="left"))
        low = float(candidates[below]) if below >= 0 else -math.inf
        high = float(candidates[above]) if above < len(candidates) else math.inf
        last = found[-1] if found else None
        if last is not None and (low < last.high or (low, high) == (last.low, last.high)):
            found[-1] = Bracket((*last.ranks, rank), last.low, max(last.high, high))
        else:
            found.append(Bracket((rank,), low, high))
    return found


def _counts(
    samples: Sequence[Sample],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sampled values, rising; at most so many are below each, and at least so many up to it.

    In one part, between two values that were sent, the number below is at most the place of the
    greater one: a staircase for each part, and the sum of staircases has the steps of all.
    """
    values, below_steps, up_to_steps = [], [], []
    for sample in samples:
        weight = sample.num_values / sample.num_sampled
        places = sample.places
        values.append(sample.values)
        below_steps.append(np.diff(places, append=sample.num_sampled) * weight)
        up_to_steps.append(np.diff(places, prepend=-1) * weight)
    order = np.argsort(np.concatenate(values), kind="stable")
    candidates = np.concatenate(values)[order]
    below = np.cumsum(np.concatenate(([0.0], np.concatenate(below_steps)[order])))
    up_to = np.cumsum(np.concatenate(up_to_steps)[order])
    first = np.searchsorted(candidates, candidates, side="left")
    last = np.searchsorted(candidates, candidates, side="right") - 1
    return candidates, below[first], up_to[last]
