"""Discretisation: a number becomes the number of the bin that it falls into.

Equal width cuts the range evenly; equal frequency cuts where the same number of training rows lies
in each bin; entropy cuts where the classes on both sides differ most, for as long as a cut tells
more than it costs to describe. Source of the last: Fayyad & Irani 1993, "Multi-interval
discretization of continuous-valued attributes for classification learning", IJCAI.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING
from labkit.preprocess.statistics.moments import Moments
from labkit.preprocess.transform.settings import Discretise

FINE_BINS = 256  # exact quantiles between which entropy looks for cuts
MAX_DISTINCT = 1024  # with no more different values than these, it looks between every two
FINE_FRACTIONS = tuple(place / FINE_BINS for place in range(1, FINE_BINS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Bins of one column: bin i holds ``cuts[i - 1] <= value < cuts[i]``, the ends are open.

    Values beyond those of the training rows fall into the first or the last bin.
    """

    cuts: tuple[float, ...]
    names: tuple[str, ...]

    def codes(self, values: NDArray[np.float64]) -> NDArray[np.int32]:
        """(rows,) number of the bin, ``MISSING`` for a gap."""
        codes = np.searchsorted(np.asarray(self.cuts), values, side="right").astype(np.int32)
        codes[np.isnan(values)] = MISSING
        return codes


def make_bins(cuts: Sequence[float], names: Sequence[str] = ()) -> Bins:
    """Bins between rising cuts; of equal cuts one is kept, with the names of the bins that remain.

    Args:
        cuts: inner ends of the bins.
        names: one more than cuts, or none to name each bin by its ends.
    """
    ends = [-math.inf, *cuts, math.inf]
    kept = [place for place, (low, high) in enumerate(pairwise(ends)) if low < high]
    inner = tuple(float(ends[place]) for place in kept[1:])
    if names:
        return Bins(cuts=inner, names=tuple(names[place] for place in kept))
    return Bins(cuts=inner, names=_names(inner))


def equal_width(moments: Moments, settings: Discretise) -> Bins:
    """Bins of the same width from the least to the greatest training value."""
    if not moments.num_values or moments.minimum == moments.maximum:
        return make_bins(())
    ends = np.linspace(moments.minimum, moments.maximum, settings.num_bins + 1)
    return make_bins(ends[1:-1].tolist(), settings.names)


def fractions_of(settings: Discretise) -> tuple[float, ...]:
    """The quantiles that a column's cuts are made of."""
    if settings.method == "equal_frequency":
        return tuple(place / settings.num_bins for place in range(1, settings.num_bins))
    return FINE_FRACTIONS if settings.method == "entropy" else ()


def equal_frequency(quantiles: Mapping[float, float], settings: Discretise) -> Bins:
    """Bins with the same number of training rows each, but for ties, which stay together."""
    cuts = [quantiles[fraction] for fraction in fractions_of(settings)]
    if any(map(math.isnan, cuts)):
        return make_bins(())
    return make_bins(cuts, settings.names)


def fine_cuts(
    distinct: NDArray[np.float64] | None, quantiles: Mapping[float, float]
) -> NDArray[np.float64]:
    """Where entropy may cut: between all different values when they are few, else at quantiles."""
    if distinct is None:
        return np.unique([quantiles[fraction] for fraction in FINE_FRACTIONS])
    middles = (distinct[:-1] + distinct[1:]) / 2
    # Between neighbours that no number lies between, the middle may be rounded to the lower.
    return np.where(middles > distinct[:-1], middles, distinct[1:])


class _Split(NamedTuple):
    """The best cut of fine bins [start, stop)."""

    minus_gain: float  # rows x bits, falling: the heap gives the least first
    start: int
    at: int
    stop: int


def entropy_bins(cuts: NDArray[np.float64], counts: NDArray[np.int64], max_bins: int = 0) -> Bins:
    """Bins by class entropy, the cut that tells most first, each only where it pays for itself.

    Args:
        cuts: (fine - 1,) rising ends of fine bins.
        counts: (fine, classes) training rows.
        max_bins: to stop at; 0 for no limit.
    """
    below = np.zeros((len(counts) + 1, counts.shape[1]), dtype=np.int64)
    below[1:] = np.cumsum(counts, axis=0)
    waiting: list[_Split] = []
    chosen: list[int] = []
    _push(waiting, below, 0, len(counts))
    while waiting and (not max_bins or len(chosen) + 1 < max_bins):
        split = heapq.heappop(waiting)
        chosen.append(split.at)
        _push(waiting, below, split.start, split.at)
        _push(waiting, below, split.at, split.stop)
    return make_bins([float(cuts[at - 1]) for at in sorted(chosen)])


def _push(waiting: list[_Split], below: NDArray[np.int64], start: int, stop: int) -> None:
    """Add the best cut of fine bins [start, stop), if one pays for itself."""
    whole = below[stop] - below[start]
    num_rows = int(whole.sum())
    if stop - start < 2 or num_rows < 2:
        return
    left = below[start + 1 : stop] - below[start]
    right = whole - left
    bits = _bits(left) + _bits(right)
    place = int(bits.argmin())
    gain = float(_bits(whole) - bits[place])
    classes = [int((side > 0).sum()) for side in (whole, left[place], right[place])]
    entropies = [
        float(_bits(side)) / max(int(side.sum()), 1) for side in (whole, left[place], right[place])
    ]
    of_whole, of_left, of_right = (k * e for k, e in zip(classes, entropies, strict=True))
    delta = math.log2(3 ** classes[0] - 2) - (of_whole - of_left - of_right)
    if gain > math.log2(num_rows - 1) + delta:
        heapq.heappush(waiting, _Split(-gain, start, start + 1 + place, stop))


def _bits(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(...,) rows x entropy in bits, of class counts (..., classes)."""
    total = counts.sum(axis=-1)
    own = np.where(counts > 0, counts * np.log2(np.maximum(counts, 1)), 0.0).sum(axis=-1)
    bits: NDArray[np.float64] = total * np.log2(np.maximum(total, 1)) - own
    return bits


def count_classes(
    values: NDArray[np.float64],
    labels: NDArray[np.int32],
    cuts: NDArray[np.float64],
    num_classes: int,
) -> NDArray[np.int64]:
    """(fine, classes) rows by fine bin and class; gaps and rows without a class are left out."""
    known = ~np.isnan(values) & (labels >= 0) & (labels < num_classes)
    places = np.searchsorted(cuts, values[known], side="right") * num_classes + labels[known]
    size = (len(cuts) + 1) * num_classes
    return np.bincount(places, minlength=size).reshape(-1, num_classes)


def _names(cuts: Sequence[float]) -> tuple[str, ...]:
    """Bins by their ends, with as many digits as tell them apart."""
    if not cuts:
        return ("any",)
    digits = next(
        (n for n in range(3, 17) if len({f"{cut:.{n}g}" for cut in cuts}) == len(cuts)), 17
    )
    ends = [f"{cut:.{digits}g}" for cut in cuts]
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    return (f"below {ends[0]}", *between, f"from {ends[-1]}")
