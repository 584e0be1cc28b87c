"""Count, extremes, mean and variance of columns, from summaries of their parts.

Parts are merged in partition order, so the result has the same bits on any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Moments(NamedTuple):
    """Summary of one column's part, or of the whole column.

    ``squares`` is the sum of squared distances from the mean; an empty column has a mean of 0.
    """

    num_values: int = 0
    missing: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0

    @property
    def variance(self) -> float:
        """Of the sample (ddof = 1); NaN for fewer than two values."""
        return self.squares / (self.num_values - 1) if self.num_values > 1 else math.nan

    @property
    def std(self) -> float:
        """Square root of the variance."""
        return math.sqrt(self.variance)


def moments_of(values: NDArray[np.floating[Any]]) -> Moments:
    """One part's summary; ``values`` (rows,) with NaN where missing."""
    present = values[~np.isnan(values)]
    missing = len(values) - len(present)
    if not len(present):
        return Moments(missing=missing)
    mean = float(present.mean())
    distance = present - mean
    # The second term is 0 but for rounding of the mean, which it takes back.
    squares = float((distance * distance).sum()) - float(distance.sum()) ** 2 / len(present)
    return Moments(
        num_values=len(present),
        missing=missing,
        minimum=float(present.min()),
        maximum=float(present.max()),
        mean=mean,
        squares=max(squares, 0.0),
    )


def merge(left: Moments, right: Moments) -> Moments:
    """The summary of two parts together.

    Source: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """
    missing = left.missing + right.missing
    if not left.num_values or not right.num_values:
        return (left if left.num_values else right)._replace(missing=missing)
    count = left.num_values + right.num_values
    apart = right.mean - left.mean
    return Moments(
        num_values=count,
        missing=missing,
        minimum=min(left.minimum, right.minimum),
        maximum=max(left.maximum, right.maximum),
        mean=left.mean + apart * right.num_values / count,
        squares=left.squares
        + right.squares
        + apart**2 * left.num_values * right.num_values / count,
    )


def merge_columns(parts: Sequence[Mapping[Hashable, Moments]]) -> dict[Hashable, Moments]:
    """Every column's summary, from the parts' in partition order."""
    total: dict[Hashable, Moments] = {}
    for part in parts:
        for key, moments in part.items():
            total[key] = merge(total.get(key, Moments()), moments)
    return total
