"""Count, extremes, mean and variance of columns, exact: the same bits for any cut into parts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.statistics.exact_sums import ExactSums, exact_sums, mean_of, variance_of


class Moments(NamedTuple):
    """Summary of one column's part, or of the whole column.

    ``sums`` are of the finite values; infinite ones show in the extremes.
    """

    num_values: int = 0
    missing: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    sums: ExactSums = ExactSums()

    @property
    def mean(self) -> float:
        """The exact mean, rounded once; NaN for no values."""
        if not self.num_values:
            return math.nan
        if math.isinf(self.minimum) or math.isinf(self.maximum):
            return self._of_infinite
        return mean_of(self.sums, self.num_values)

    @property
    def variance(self) -> float:
        """Of the sample (ddof = 1), exact, rounded once; NaN for fewer than two values."""
        if self.num_values < 2 or math.isinf(self.minimum) or math.isinf(self.maximum):
            return math.nan
        return variance_of(self.sums, self.num_values)

    @property
    def std(self) -> float:
        """Square root of the variance."""
        return math.sqrt(self.variance)

    @property
    def _of_infinite(self) -> float:
        if self.maximum < math.inf:
            return -math.inf
        return math.inf if self.minimum > -math.inf else math.nan


def moments_of(values: NDArray[np.float64]) -> Moments:
    """One part's summary; ``values`` (rows,) with NaN where missing."""
    present = without_missing(values)
    missing = len(values) - len(present)
    if not len(present):
        return Moments(missing=missing)
    minimum, maximum = float(present.min()), float(present.max())
    all_finite = math.isfinite(minimum) and math.isfinite(maximum)
    return Moments(
        num_values=len(present),
        missing=missing,
        minimum=minimum + 0.0,  # -0.0 and 0.0 are equal: which is met first must not show
        maximum=maximum + 0.0,
        sums=exact_sums(present if all_finite else present[np.isfinite(present)]),
    )


def without_missing(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values that are there; no copy where none is missing."""
    # the minimum of an array with a NaN is NaN: one quick pass instead of a mask and a copy
    if not len(values) or not math.isnan(values.min()):
        return values
    return values[~np.isnan(values)]


def merge(left: Moments, right: Moments) -> Moments:
    """The summary of two parts together, in any order."""
    return Moments(
        num_values=left.num_values + right.num_values,
        missing=left.missing + right.missing,
        minimum=min(left.minimum, right.minimum),
        maximum=max(left.maximum, right.maximum),
        sums=ExactSums(left.sums.total + right.sums.total, left.sums.squares + right.sums.squares),
    )


def merge_all(parts: Iterable[Moments]) -> Moments:
    """The summary of all parts together; of none, that of an empty column."""
    return reduce(merge, parts, Moments())


def merge_columns(parts: Sequence[Mapping[Hashable, Moments]]) -> dict[Hashable, Moments]:
    """Every column's summary, from those of the parts."""
    total: dict[Hashable, Moments] = {}
    for part in parts:
        for key, moments in part.items():
            total[key] = merge(total.get(key, Moments()), moments)
    return total
