"""Noise: values far from the middle half of their column, class by class, on the scale that fits.

Source: Tukey 1977, Exploratory Data Analysis, section 2E.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING

FRACTIONS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
SIGMA_PER_IQR = 1 / 1.3489795003921634  # of a normal column
SIGMA_PER_MAD = 1.482602218505602
# Below this a column is even enough as it is: the sampling error of (q90 + q10 - 2 median) /
# (q90 - q10) is about 0.01 at 10,000 values.
LEAST_SKEW = 0.05

Quantiles = Mapping[float, float]
_FIGURES = ("middle", "sigma", "near_low", "near_high", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fences:
    """What is believed of one column, by class.

    Attributes:
        log: whether middles and sigmas are on a logarithmic scale, where 0 or less is impossible.
        middle, sigma: (classes + 1,) median and robust standard deviation on the scale; the last
            entry is that of all rows together. NaN where there is no value, sigma 0 where there is
            no spread.
        near_low, near_high: (classes + 1,) half as far out as the fences; a value that was put
            right must lie within.
        low, high: (classes + 1,) the fences; infinite where there is nothing to go by.
    """

    log: bool
    middle: tuple[float, ...]
    sigma: tuple[float, ...]
    near_low: tuple[float, ...]
    near_high: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def classes(self) -> range:
        """Codes whose fences count for a row of unknown class: -1, all rows, without a label."""
        return range(len(self.low) - 1) if len(self.low) > 1 else range(-1, 0)

    @property
    def middle_of_all(self) -> float:
        """Median over all rows, in the column's own units."""
        return math.exp(self.middle[-1]) if self.log else self.middle[-1]

    def inside(
        self, values: NDArray[np.float64], code: int, *, near: bool = False
    ) -> NDArray[np.bool_]:
        """(rows,) within one class's fences; NaN is not. A class without any value has none."""
        if np.isnan(self.middle[code]):
            return np.zeros(len(values), dtype=bool)
        low, high = (self.near_low, self.near_high) if near else (self.low, self.high)
        inside: NDArray[np.bool_] = (values >= low[code]) & (values <= high[code])
        return inside

    def believed(
        self, values: NDArray[np.float64], own: NDArray[np.int32], *, near: bool = False
    ) -> NDArray[np.bool_]:
        """(rows,) within the own class's fences, or any class's where it is ``MISSING``."""
        low, high = (self.near_low, self.near_high) if near else (self.low, self.high)
        believed: NDArray[np.bool_] = (values >= np.take(low, own, mode="wrap")) & (
            values <= np.take(high, own, mode="wrap")
        )
        unknown = np.flatnonzero(own == MISSING)
        if len(unknown) and len(low) > 1:
            some = values[unknown]
            believed[unknown] = np.any(
                [self.inside(some, code, near=near) for code in self.classes], axis=0
            )
        return believed

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,) on the scale of ``middle`` and ``sigma``; NaN where impossible."""
        if not self.log:
            return values
        with np.errstate(invalid="ignore", divide="ignore"):
            logs: NDArray[np.float64] = np.log(np.where(values > 0, values, np.nan))
        return logs

    def to_dict(self) -> dict[str, Any]:
        """Plain values: NaN and infinities as ``None``."""
        plain = {
            name: [float(each) if np.isfinite(each) else None for each in getattr(self, name)]
            for name in _FIGURES
        }
        return {"log": self.log, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fences:
        """The fences that ``to_dict`` wrote."""
        blank = {"near_low": -np.inf, "low": -np.inf, "near_high": np.inf, "high": np.inf}
        return cls(
            log=values["log"],
            **{
                name: tuple(blank.get(name, np.nan) if v is None else v for v in values[name])
                for name in _FIGURES
            },
        )


def tukey(groups: Sequence[Quantiles], *, log: bool, factor: float) -> Fences:
    """Fences ``factor`` interquartile ranges beyond the quartiles.

    Args:
        groups: quantiles of each class, then those of all rows; NaN where there is no value.
        log: on a logarithmic scale; every lower quartile is above 0 then.
        factor: 1.5 are Tukey's inner fences, 3 his outer ones.
    """
    quartiles = np.array([[group[f] for f in (0.25, 0.5, 0.75)] for group in groups])
    if log:
        quartiles = np.log(quartiles)
    low, middle, high = quartiles.T
    spread = high - low
    return _fences(log, low, middle, high, spread * SIGMA_PER_IQR, spread * factor)


def robust_z(
    groups: Sequence[Quantiles], deviations: Sequence[Quantiles], *, threshold: float
) -> Fences:
    """Fences so many robust standard deviations from the median.

    Args:
        groups: as for ``tukey``.
        deviations: quantiles of the distances from the group's median.
        threshold: in standard deviations.
    """
    middle = np.array([group[0.5] for group in groups])
    sigma = np.array([group[0.5] for group in deviations]) * SIGMA_PER_MAD
    return _fences(False, middle, middle, middle, sigma, sigma * threshold)


def no_fences(fences: Fences) -> Fences:
    """The same column, every value believed."""
    everything = (np.inf,) * len(fences.low)
    nothing = (-np.inf,) * len(fences.low)
    return Fences(
        log=fences.log,
        middle=fences.middle,
        sigma=fences.sigma,
        near_low=nothing,
        near_high=everything,
        low=nothing,
        high=everything,
    )


def _fences(
    log: bool,
    low: NDArray[np.float64],
    middle: NDArray[np.float64],
    high: NDArray[np.float64],
    sigma: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> Fences:
    """Fences ``reach`` beyond low and high; none where there is no spread to measure by."""
    known = reach > 0
    bounds = {
        "near_low": np.where(known, low - reach / 2, -np.inf),
        "near_high": np.where(known, high + reach / 2, np.inf),
        "low": np.where(known, low - reach, -np.inf),
        "high": np.where(known, high + reach, np.inf),
    }
    if log:
        with np.errstate(over="ignore"):  # a bound beyond the largest number is no bound
            bounds = {name: np.exp(bound) for name, bound in bounds.items()}
    return Fences(
        log=log,
        middle=tuple(middle.tolist()),
        sigma=tuple(sigma.tolist()),
        **{name: tuple(bound.tolist()) for name, bound in bounds.items()},
    )


def log_fits(groups: Sequence[Quantiles]) -> bool:
    """Whether a column is more even on a logarithmic scale, judged by its quantiles.

    Skewness is (q90 + q10 - 2 median) / (q90 - q10), and the same with q99 and q01, the mean over
    the classes that have a spread; the column must be above 0 but for its lowest hundredth, where
    sentinels may lie. Both tails count: a logarithm may mend one and tear out the other.

    Source: Hinkley 1975, doi:10.1093/biomet/62.1.101.
    """
    rows = np.array([[group[f] for f in (0.01, 0.1, 0.5, 0.9, 0.99)] for group in groups])
    rows = rows[rows[:, 3] > rows[:, 1]]
    if not len(rows) or (rows[:, 0] <= 0).any():
        return False
    plain, logs = _skewness(rows), _skewness(np.log(rows))
    return bool(plain[0] > LEAST_SKEW and (np.abs(logs) < np.abs(plain)).all())


def _skewness(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) of the inner 80 % and of the inner 98 %."""
    lowest, low, middle, high, highest = rows.T
    inner = (high + low - 2 * middle) / (high - low)
    outer = (highest + lowest - 2 * middle) / (highest - lowest)
    return np.array([inner.mean(), outer.mean()])
