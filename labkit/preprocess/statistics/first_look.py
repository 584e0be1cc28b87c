"""A first look at a few parts, so that one pass over all of them finds exact quantiles.

Parts of a table are mostly alike. A few of them show a narrow bracket for each quantile, and how
much parts differ: the pass that sums up all parts then counts the brackets as well. Where parts
differ much nothing is guessed. Whether a guess was right is seen when the values below it are
counted, so the result is exact either way; a wrong one costs two more passes over its column.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.statistics.brackets import (
    MAX_SENT,
    STANDARD_ERRORS,
    Bracket,
    Sample,
    brackets_around,
    sample_values,
)
from labkit.preprocess.statistics.quantiles import (
    Inside,
    Ranked,
    Select,
    arrays_of,
    values_in,
    wanted_ranks,
)
from labkit.preprocess.tasks import Executor

LOOK_AT_ONE_IN = 16  # parts
PICK_ONE_IN = 4  # of their values
LEAST_LOOKED_AT = 4  # parts: fewer would not show how much they differ
MAX_MARGIN = 0.05  # of the values, to either side: beyond it another pass costs less
MAX_INSIDE = 1 << 19  # values of one bracket that are sent from all parts

Guesses = dict[Hashable, list[Bracket]]


def parts_to_look_at(parts: Sequence[Part]) -> list[Part]:
    """A few of the parts, spread over all; none where there are so few that it does not pay."""
    number = max(LEAST_LOOKED_AT, len(parts) // LOOK_AT_ONE_IN)
    if len(parts) < 2 * number:
        return []
    # one at a random place of each of as many stretches: no rhythm of the parts can harm
    random = np.random.default_rng(len(parts))
    places = (np.arange(number) + random.random(number)) * (len(parts) / number)
    return [parts[min(int(place), len(parts) - 1)] for place in places]


def guess_brackets(
    executor: Executor,
    parts: Sequence[Part],
    select: Select,
    fractions: Sequence[float],
    **settings: Any,
) -> Guesses:
    """Where the values on either side of each fraction seem to lie; 1 task a part.

    Args:
        executor: where.
        parts: all of them; those that ``parts_to_look_at`` chooses are read.
        select: as of ``exact_quantiles``.
        fractions: each in [0, 1].
        settings: handed to ``select``.
    Returns:
        By key, rising; without the keys of which too little is seen, or which differ too much.
    """
    samples: dict[Hashable, list[Sample]] = {}
    seen = parts_to_look_at(parts)
    for part in map_parts(executor, look_at_part, seen, select=select, settings=settings):
        for key, sample in part.items():
            if sample.num_values:
                samples.setdefault(key, []).append(sample)
    in_all = len(parts) / max(len(seen), 1)
    guesses = {key: _guess(found, fractions, in_all) for key, found in samples.items()}
    return {key: brackets for key, brackets in guesses.items() if brackets}


def look_at_part(
    frame: Any, *, select: Select, settings: Mapping[str, Any]
) -> dict[Hashable, Sample]:
    """A large sample of one part, by key."""
    return {
        key: sample_values(np.concatenate(arrays_of(given)), 4 * MAX_SENT, PICK_ONE_IN)
        for key, given in select(frame, **settings).items()
    }


def _guess(samples: Sequence[Sample], fractions: Sequence[float], in_all: float) -> list[Bracket]:
    """Brackets, or none; there are ``in_all`` times as many values as in the samples' parts."""
    if len(samples) < LEAST_LOOKED_AT:
        return []
    sizes = np.array([sample.num_values for sample in samples], dtype=np.float64)
    pooled = np.sort(np.concatenate([sample.values for sample in samples]))
    values = pooled[[round(fraction * (len(pooled) - 1)) for fraction in fractions]]
    shares = [
        (np.searchsorted(each.values, values) + np.searchsorted(each.values, values, side="right"))
        / (2 * len(each.values))
        for each in samples
    ]
    apart = np.std(shares, axis=0, ddof=1).max() * math.sqrt((sizes**2).sum()) / sizes.sum()
    by_chance = 0.5 / math.sqrt(sum(sample.num_sampled for sample in samples))
    margin = STANDARD_ERRORS * max(float(apart), by_chance)
    total = int(sizes.sum())
    if margin > MAX_MARGIN or 2 * margin * total * in_all > MAX_INSIDE:
        return []
    return brackets_around(samples, wanted_ranks(total, fractions), margin * total)


def read_off(
    brackets: Sequence[Bracket],
    shares: Sequence[Sequence[Inside]],
    num_values: int,
    fractions: Sequence[float],
) -> Ranked | None:
    """The values on either side of each fraction; ``None`` if the brackets do not hold them all.

    Args:
        brackets: that were guessed.
        shares: of all parts, one of each bracket.
        num_values: in all parts.
        fractions: as they were guessed for.
    """
    ranks = wanted_ranks(num_values, fractions) if num_values else []
    values: dict[int, float] = {}
    for place, bracket in enumerate(brackets):
        values |= values_in(bracket._replace(ranks=tuple(ranks)), [each[place] for each in shares])
    return Ranked(num_values, values) if values.keys() == set(ranks) else None
