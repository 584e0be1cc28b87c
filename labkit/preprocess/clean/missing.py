"""Gaps: what is put in, and how it is found from the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING

Counts = Mapping[float, int]
# A column has a mode when one value makes up this share of it: below, "the most frequent" is luck.
LEAST_MODE = 1 / 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What is put into one column's gaps.

    Attributes:
        method: by which it was found.
        values: (groups + 1,) one for each code of the group, then the one for all rows.
        group: the category column; empty for the label of training rows.
    """

    method: str
    values: tuple[float, ...]
    group: str = ""

    def at(self, frame: pd.DataFrame, own: NDArray[np.int32]) -> NDArray[np.float64]:
        """(rows,) what would be put into each row's gap.

        Args:
            frame: the rows, with the group's column.
            own: (rows,) codes of the labels where they may be looked at, else ``MISSING``.
        """
        if len(self.values) == 1:
            return np.full(len(own), self.values[0])
        codes = frame[self.group].to_numpy() if self.group else own
        return np.take(np.array(self.values), codes, mode="wrap")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"method": self.method, "values": list(self.values), "group": self.group}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fill:
        """The fill that ``to_dict`` wrote."""
        return cls(**{**values, "values": tuple(values["values"])})


def fill_of(method: str, groups: Sequence[float], group: str) -> Fill | None:
    """A fill by group; a group without any value takes that of all rows.

    Args:
        method: names it.
        groups: one value for each code, then that of all rows; NaN where there is none.
        group: the category column.
    Returns:
        ``None`` for a column without any value.
    """
    overall = groups[-1]
    if np.isnan(overall):
        return None
    values = tuple(overall if np.isnan(value) else float(value) for value in groups)
    return Fill(method=method, values=values, group=group)


_HIGH, _LOW_BITS, _BITS = 2**26, 26, 53
_LEAST_EXPONENT = 1126  # every float64 is a whole number of 2 ** -1126


def exact_sums(
    values: NDArray[np.float64], codes: NDArray[np.int32], num_groups: int
) -> list[tuple[int, int]]:
    """Count and exact sum of each group, in units of 2 ** -1126, then of all rows.

    Whole numbers, so however the rows are cut into parts, the total is the same to the last bit.

    Args:
        values: (rows,) NaN where missing.
        codes: (rows,) of the groups, ``MISSING`` for none.
        num_groups: codes are below.
    """
    present = np.isfinite(values)
    fraction, exponent = np.frexp(values[present])
    mantissa = np.ldexp(fraction, _BITS).astype(np.int64)
    places, place = np.unique(exponent, return_inverse=True)
    # A row without a group is counted in the last bin, which is then made that of all rows.
    group = np.where(codes[present] == MISSING, num_groups, codes[present])
    shape = (num_groups + 1, len(places))
    cell = group * len(places) + place
    high, low = mantissa >> _LOW_BITS, mantissa & (_HIGH - 1)
    # Sums of up to 2 ** 26 numbers below 2 ** 27 are exact in float64.
    sums = [
        np.bincount(cell, weights=half, minlength=shape[0] * shape[1]).reshape(shape)
        for half in (high, low)
    ]
    counts = np.bincount(group, minlength=num_groups + 1)
    totals = [
        sum(
            ((int(sums[0][at, k]) << _LOW_BITS) + int(sums[1][at, k]))
            << (int(places[k]) - _BITS + _LEAST_EXPONENT)
            for k in range(len(places))
        )
        for at in range(num_groups + 1)
    ]
    pairs = [(int(count), total) for count, total in zip(counts, totals, strict=True)]
    return [*pairs[:-1], (int(counts.sum()), sum(totals))]


def merge_means(parts: Sequence[Sequence[tuple[int, int]]]) -> list[float]:
    """The exact mean of each group, rounded once; NaN for a group without values."""
    means = []
    for each in zip(*parts, strict=True):
        count, total = (sum(pair[k] for pair in each) for k in (0, 1))
        means.append(float(Fraction(total, count << _LEAST_EXPONENT)) if count else float("nan"))
    return means


def frequent(values: NDArray[np.float64]) -> list[float]:
    """Values that make up ``LEAST_MODE`` of a part: its candidates for the mode of all rows."""
    found, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    chosen: list[float] = found[counts >= max(LEAST_MODE * counts.sum(), 1)].tolist()
    return chosen


def mode_of(counts: Counts, total: int) -> float:
    """The most frequent value, the least of equals; NaN where none is frequent enough.

    Args:
        counts: rows by value, at least for every value that makes up ``LEAST_MODE``.
        total: rows that have a value.
    """
    best = min(counts, key=lambda value: (-counts[value], value), default=None)
    if best is None or counts[best] < max(LEAST_MODE * total, 1):
        return float("nan")
    return float(best)
