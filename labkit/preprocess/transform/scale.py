"""Scaling: every number column comes to a like range, by what the training rows say.

Test rows and new data are shifted and divided by the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.schema import column_values
from labkit.preprocess.statistics.moments import Moments
from labkit.preprocess.transform.settings import Scaling

QUARTILES = (0.25, 0.5, 0.75)
GREATEST = float(np.finfo(np.float32).max)  # inputs are float32


def read_numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(rows,) one number column; what is not finite is missing, NaN."""
    values = column_values(frame, column)
    if np.isinf(values).any():
        return np.where(np.isinf(values), np.nan, values)
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """``(value - shift) / width`` of one column.

    Attributes:
        method: see ``TransformationSettings``.
        shift, width: mean and sample deviation; least value and range; median and distance of the
            quartiles; or 0 and 1. A column that does not vary has width 1: it is only shifted.
        fill: what a missing value is taken for: the median where scaling is robust, else the mean.
        mean, std: of the training rows, whatever the method.
        least, greatest: of the training rows; values of new data beyond are counted.
    """

    method: Scaling
    shift: float
    width: float
    fill: float
    mean: float
    std: float
    least: float
    greatest: float

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,) scaled, with no gaps."""
        whole = np.where(np.isnan(values), self.fill, values)
        with np.errstate(over="ignore"):
            scaled: NDArray[np.float64] = (whole - self.shift) / self.width
        return np.clip(scaled, -GREATEST, GREATEST, out=scaled)

    def count_beyond(self, values: NDArray[np.float64]) -> int:
        """Values outside what the training rows held."""
        return int(((values < self.least) | (values > self.greatest)).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)


def fit_scale(method: Scaling, moments: Moments, quartiles: Mapping[float, float]) -> Scale:
    """The scale of one column.

    Args:
        method: how.
        moments: of the training rows' values; without any, the column is filled with 0.
        quartiles: values by fraction; used by ``robust`` only.
    """
    if not moments.num_values:
        return Scale(
            method=method, shift=0.0, width=1.0, fill=0.0,
            mean=0.0, std=0.0, least=0.0, greatest=0.0,
        )  # fmt: skip
    std = moments.std if moments.num_values > 1 else 0.0
    std = std if math.isfinite(std) else GREATEST
    shift, width, fill = {
        "standard": lambda: (moments.mean, std, moments.mean),
        "min_max": lambda: (moments.minimum, moments.maximum - moments.minimum, moments.mean),
        "robust": lambda: (quartiles[0.5], quartiles[0.75] - quartiles[0.25], quartiles[0.5]),
        "none": lambda: (0.0, 1.0, moments.mean),
    }[method]()
    return Scale(
        method=method,
        shift=shift,
        width=width if width and math.isfinite(width) else 1.0,
        fill=fill,
        mean=moments.mean,
        std=std,
        least=moments.minimum,
        greatest=moments.maximum,
    )
