"""Principal components: few numbers that hold most of what many columns say.

Components are found on standardised columns, so that a unit does not decide what matters: from the
exact covariance of the training rows follows the correlation matrix, and from its eigenvectors the
components. The fewest that explain the asked share of the variance are kept. A gap counts as the
mean of its column.

Source: Jolliffe 2002, Principal Component Analysis, doi:10.1007/b98835.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SettingError
from labkit.preprocess.reduce.covariance import Covariance
from labkit.preprocess.schema import column_values

BLOCK_ROWS = 8192  # rows that are projected at once: they fit a processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Principal components of the training rows.

    Attributes:
        columns: that are projected.
        mean, std: of those columns; they are standardised before they are projected, and a gap
            counts as the mean. A constant column has a std of 0 and is left at 0.
        loadings: (components, columns) orthonormal rows; in each the entry of the largest
            size is positive, as the sign of an eigenvector is arbitrary.
        explained: (components,) share of the variance, falling.
        all_explained: the same of every possible component.
    """

    columns: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    loadings: Sequence[Sequence[float]]
    explained: Sequence[float]
    all_explained: Sequence[float]

    @property
    def names(self) -> list[str]:
        """``component_1`` and so on."""
        return [f"component_{number}" for number in range(1, len(self.loadings) + 1)]

    def project(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """(components, rows) of any rows that have the columns.

        Sums are taken column by column: a row's bits do not depend on the rows around it.
        """
        projected = np.zeros((len(self.loadings), len(frame)))
        loadings = np.asarray(self.loadings)
        for start in range(0, len(frame), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            for place, name in enumerate(self.columns):
                values = column_values(frame, name)[rows]
                standard = (values - self.mean[place]) / (self.std[place] or 1.0)
                standard[~np.isfinite(standard)] = 0.0
                projected[:, rows] += loadings[:, place, np.newaxis] * standard
        return projected

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Components:
        """The components that ``to_dict`` wrote."""
        return cls(**values)


def fit_components(
    covariance: Covariance,
    columns: Sequence[str],
    *,
    explained: float = 0.95,
    number: int | None = None,
) -> Components:
    """The components of the columns.

    Args:
        covariance: of the columns, over at least two rows.
        columns: their names, at least one.
        explained: share of the variance that the kept components must explain, in (0, 1].
        number: of components, whatever they explain.
    Raises:
        SettingError: more components than columns.
    """
    if number is not None and number > len(columns):
        raise SettingError(
            f"components = {number}, but only {len(columns)} columns are left "
            f"({', '.join(columns)}); choose at most {len(columns)}"
        )
    loadings, shares = principal_components(covariance.correlation)
    if number is None:
        # a hair less, so that rounding does not ask for one more component than there are
        number = int(np.searchsorted(np.cumsum(shares), explained - 1e-12)) + 1
        number = min(number, len(columns))
    return Components(
        columns=list(columns),
        mean=covariance.mean.tolist(),
        std=covariance.std.tolist(),
        loadings=loadings[:number].tolist(),
        explained=shares[:number].tolist(),
        all_explained=shares.tolist(),
    )


def principal_components(
    correlation: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loadings (components, columns) and shares of the variance (components,), largest first."""
    variances, vectors = np.linalg.eigh(correlation)
    loadings = vectors[:, ::-1].T
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.sign(loadings[np.arange(len(loadings)), largest])
    variances = np.clip(variances[::-1], 0.0, None)
    total = variances.sum()
    shares = variances / total if total > 0 else np.full(len(variances), 1 / len(variances))
    return loadings * signs[:, np.newaxis], shares


def angle_between(left: Components, right: Components) -> float:
    """Degrees of the largest angle between the spaces that the common components span.

    Source: Bjorck & Golub 1973, doi:10.1090/S0025-5718-1973-0348991-3.
    """
    number = min(len(left.loadings), len(right.loadings))
    one, other = np.asarray(left.loadings)[:number], np.asarray(right.loadings)[:number]
    # the sine, which is exact for the small angles that are to be expected
    outside = other - (other @ one.T) @ one
    sine = float(np.linalg.norm(outside, ord=2))
    return math.degrees(math.asin(min(sine, 1.0)))
