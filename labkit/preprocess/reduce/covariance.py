"""Covariance of many columns, and how many different values each has, from summaries of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.split import hash_ids

SKETCH_SIZE = 1024


class Covariance(NamedTuple):
    """Summary of (rows, columns) values without gaps."""

    num_rows: int
    mean: NDArray[np.float64]  # (columns,)
    products: NDArray[np.float64]  # (columns, columns) sums of products of distances to the mean

    @property
    def std(self) -> NDArray[np.float64]:
        """(columns,) sample standard deviation, ddof = 1."""
        deviation: NDArray[np.float64] = np.sqrt(np.diag(self.products) / (self.num_rows - 1))
        return deviation


def covariance_of(values: NDArray[np.float64]) -> Covariance:
    """One part's summary; ``values`` is (rows, columns)."""
    num_rows, num_columns = values.shape
    if not num_rows:
        return Covariance(0, np.zeros(num_columns), np.zeros((num_columns, num_columns)))
    mean = values.mean(axis=0)
    distance = values - mean
    # einsum and not a matrix product: its bits do not depend on the number of threads.
    return Covariance(num_rows, mean, np.einsum("ni,nj->ij", distance, distance))


def merge(left: Covariance, right: Covariance) -> Covariance:
    """The summary of two parts together, as for moments."""
    if not left.num_rows or not right.num_rows:
        return left if left.num_rows else right
    num_rows = left.num_rows + right.num_rows
    apart = right.mean - left.mean
    weight = left.num_rows * right.num_rows / num_rows
    return Covariance(
        num_rows,
        left.mean + apart * right.num_rows / num_rows,
        left.products + right.products + np.outer(apart, apart) * weight,
    )


class Distinct(NamedTuple):
    """Sketch of a column's distinct values: the smallest of their hashes, each once, ascending.

    Source: k minimum values; Bar-Yossef et al. 2002, doi:10.1007/3-540-45726-7_1.
    """

    hashes: NDArray[np.uint64]
    whole: bool = True  # every value is a whole number

    @property
    def number(self) -> float:
        """Distinct values: exact below ``SKETCH_SIZE``, else within some 3 % (one sigma)."""
        if len(self.hashes) < SKETCH_SIZE:
            return float(len(self.hashes))
        return (SKETCH_SIZE - 1) / (float(self.hashes[-1]) / 2.0**64)


def distinct_of(values: NDArray[np.float64]) -> Distinct:
    """One part's sketch; ``values`` (rows,) without gaps."""
    hashes = np.unique(hash_ids(np.ascontiguousarray(values).view(np.int64)))
    return Distinct(hashes[:SKETCH_SIZE], bool((values == np.floor(values)).all()))


def merge_distinct(parts: Sequence[Any]) -> Distinct:
    """The sketch of all parts together."""
    hashes = np.unique(np.concatenate([part.hashes for part in parts]))
    return Distinct(hashes[:SKETCH_SIZE], all(part.whole for part in parts))
