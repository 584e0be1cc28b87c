"""Step 4, reduction: useless columns are dropped, the rest become few principal components.

A column is useless when it is constant, when it is an identifier (a whole number that nearly every
row has another of), or a name without order. Components are found on standardised columns, so that
a unit does not decide what matters: from the merged covariance of the training rows follows the
exact correlation matrix, and from its eigenvectors the components. The fewest that explain the
asked share of the variance are kept.

Source: Jolliffe 2002, Principal Component Analysis, doi:10.1007/b98835.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.clean import FILLED
from labkit.preprocess.covariance import (
    Covariance,
    Distinct,
    covariance_of,
    distinct_of,
    merge,
    merge_distinct,
)
from labkit.preprocess.schema import CATEGORIES, KEY, LABEL, NUMERIC, Partition, column_values
from labkit.preprocess.split import hash_ids, is_test

CANDIDATES = (KEY, *NUMERIC)
IDENTIFIER_SHARE = 0.9
EXPLAINED = 0.95
SCATTER_POINTS = 500


class ColumnSummary(NamedTuple):
    """What one partition's training rows say about the candidates."""

    covariance: Covariance  # of the candidates, gaps as 0: only columns without gaps are used
    distinct: tuple[Distinct, ...]
    missing: NDArray[np.int64]  # (candidates,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What reduction found in the training rows.

    Attributes:
        columns: the columns that are kept.
        mean, std: of those columns; they are standardised before they are projected.
        loadings: (components, columns) orthonormal rows; in each the entry of the largest
            size is positive, as the sign of an eigenvector is arbitrary.
        explained: (components,) share of the variance, falling.
        all_explained: the same of every possible component.
        dropped: by column, why it was left out.
    """

    columns: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    loadings: Sequence[Sequence[float]]
    explained: Sequence[float]
    all_explained: Sequence[float]
    dropped: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """``component_1`` and so on."""
        return [f"component_{number}" for number in range(1, len(self.loadings) + 1)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Components:
        """The components that ``to_dict`` wrote."""
        return cls(**values)


def summarise(partition: Partition) -> ColumnSummary:
    """One partition's summary, of its training rows."""
    frame = partition.frame.loc[~is_test(partition.frame[KEY].to_numpy())]
    values = np.stack([column_values(frame, column) for column in CANDIDATES], axis=1)
    missing = np.isnan(values)
    return ColumnSummary(
        covariance=covariance_of(np.where(missing, 0.0, values)),
        distinct=tuple(
            distinct_of(column[~gaps]) for column, gaps in zip(values.T, missing.T, strict=True)
        ),
        missing=missing.sum(axis=0),
    )


def fit(parts: Sequence[ColumnSummary], explained: float = EXPLAINED) -> Components:
    """The columns to keep and their components.

    Args:
        parts: the partitions' summaries, in partition order.
        explained: share of the variance that the kept components must explain, in (0, 1].
    Raises:
        SourceError: fewer than two training rows, or no useful column.
    """
    covariance = reduce(merge, [part.covariance for part in parts])
    if covariance.num_rows < 2:
        raise SourceError(
            f"{covariance.num_rows} training rows are left after cleaning; give more rows"
        )
    dropped = {column: "a name, without order" for column in CATEGORIES if column != LABEL}
    kept = []
    for place, column in enumerate(CANDIDATES):
        distinct = merge_distinct([part.distinct[place] for part in parts])
        missing = int(sum(part.missing[place] for part in parts))
        why = _why_useless(column, distinct, covariance.num_rows - missing)
        if why:
            dropped[column] = why
        else:
            kept.append(place)
    if not kept:
        raise SourceError("every column is constant or an identifier; give sources that measure")
    mean, std = covariance.mean[kept], covariance.std[kept]
    correlation = covariance.products[np.ix_(kept, kept)] / (
        np.outer(std, std) * (covariance.num_rows - 1)
    )
    loadings, shares = principal_components(correlation)
    # a hair less, so that rounding does not ask for one more component than there are
    number = int(np.searchsorted(np.cumsum(shares), explained - 1e-12)) + 1
    return Components(
        columns=[CANDIDATES[place] for place in kept],
        mean=mean.tolist(),
        std=std.tolist(),
        loadings=loadings[:number].tolist(),
        explained=shares[:number].tolist(),
        all_explained=shares.tolist(),
        dropped=dropped,
    )


def _why_useless(column: str, distinct: Distinct, num_values: int) -> str:
    """Why a column cannot help, or an empty text."""
    if distinct.number <= 1:
        return "constant: it cannot tell fruits apart"
    if distinct.whole and distinct.number >= IDENTIFIER_SHARE * num_values:
        return "an identifier: nearly every row has another value"
    if column not in FILLED:
        return "a code: gaps in it cannot be filled"
    return ""


def principal_components(
    correlation: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loadings (components, columns) and shares of the variance (components,), largest first."""
    variances, vectors = np.linalg.eigh(correlation)
    loadings = vectors[:, ::-1].T
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.sign(loadings[np.arange(len(loadings)), largest])
    variances = np.clip(variances[::-1], 0.0, None)
    return loadings * signs[:, np.newaxis], variances / variances.sum()


def project(
    columns: Mapping[str, NDArray[np.float64]], components: Components
) -> NDArray[np.float64]:
    """(rows, components) from the kept columns, each (rows,)."""
    values = np.stack([columns[name] for name in components.columns], axis=1)
    standard = (values - np.array(components.mean)) / np.array(components.std)
    projected: NDArray[np.float64] = np.einsum("nc,kc->nk", standard, np.array(components.loadings))
    return projected


def reduce_partition(partition: Partition, *, components: Components) -> Partition:
    """The partition with its components in place of its columns; identifier and label stay."""
    columns = {name: column_values(partition.frame, name) for name in components.columns}
    projected = project(columns, components)
    frame = pd.DataFrame(projected, columns=components.names)
    frame.insert(0, KEY, partition.frame[KEY].to_numpy())
    frame.insert(1, LABEL, partition.frame[LABEL].to_numpy())
    return Partition(frame=frame)


def pick_points(partition: Partition, *, names: Sequence[str]) -> pd.DataFrame:
    """Up to ``SCATTER_POINTS`` rows for a picture: those whose identifiers hash lowest."""
    frame = partition.frame[[KEY, LABEL, *names]]
    return frame.assign(order=hash_ids(frame[KEY].to_numpy())).nsmallest(SCATTER_POINTS, "order")


def merge_points(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The points of all partitions together: the same however the rows are partitioned."""
    return pd.concat(parts, ignore_index=True).nsmallest(SCATTER_POINTS, "order")
