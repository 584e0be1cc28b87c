"""Gaps: what is put in, and how it is found from the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.statistics.moments import Moments, merge_all, moments_of

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


def group_moments(
    values: NDArray[np.float64], codes: NDArray[np.int32], num_groups: int
) -> list[Moments]:
    """Exact count and sum of each group, then of all rows.

    Args:
        values: (rows,) NaN where missing.
        codes: (rows,) of the groups, ``MISSING`` for none.
        num_groups: codes are below.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    return [
        *(moments_of(finite[codes == code]) for code in range(num_groups)),
        moments_of(finite),
    ]


def merge_means(parts: Sequence[Sequence[Moments]]) -> list[float]:
    """The exact mean of each group over all parts, rounded once; NaN for one without values."""
    return [merge_all(each).mean for each in zip(*parts, strict=True)]


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
