"""Second pass of reduction: exact covariance, counts by class, and energies, of training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.reduce.covariance import Gram, Grid, add_whole, gram_of, merge_grams
from labkit.preprocess.reduce.importance import count_bins, count_codes
from labkit.preprocess.reduce.survey import train_rows
from labkit.preprocess.reduce.wavelet import WaveletBasis, energies_of, signals_of
from labkit.preprocess.schema import column_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Columns whose wavelet coefficients are measured."""

    columns: Sequence[str]
    fill: Sequence[float]
    basis: WaveletBasis
    grid: Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the second pass looks at, known from the first.

    Attributes:
        numbers: number columns, in the order of the covariance.
        grid: of those.
        gaps: places of those with gaps.
        edges: of the bins, by number column; empty without a label.
        codes: number of categories, by category column; empty without a label.
        label, num_classes: what is to be learned; empty and 0 for none.
        signal: columns of a wavelet.
    """

    numbers: Sequence[str]
    grid: Grid
    gaps: Sequence[int]
    edges: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    label: str = ""
    num_classes: int = 0
    signal: Signal | None = None


class Measures(NamedTuple):
    """One part's second pass, or that of all parts."""

    gram: Gram
    tables: dict[str, NDArray[np.int64]]  # by column: (bins, classes)
    energies: NDArray[Any] | None


def measure_part(frame: pd.DataFrame, *, task: Task) -> Measures:
    """One part's second pass."""
    train = train_rows(frame)
    values = np.empty((int(train.sum()), len(task.numbers)))
    for place, name in enumerate(task.numbers):
        values[:, place] = column_values(frame, name)[train]
    tables = {}
    if task.label:
        labels = frame[task.label].to_numpy()[train]
        for place, name in enumerate(task.numbers):
            column = np.ascontiguousarray(values[:, place])
            tables[name] = count_bins(column, task.edges[name], labels, task.num_classes)
        for name, number in task.codes.items():
            codes = frame[name].to_numpy()[train]
            tables[name] = count_codes(codes, number, labels, task.num_classes)
    energies = None
    if task.signal:
        signal = task.signal
        signals = signals_of(frame[train], signal.columns, signal.fill, signal.basis.shape)
        energies = energies_of(signal.basis.forward(signals), signal.grid)
    return Measures(gram_of(values, task.grid, task.gaps), tables, energies)


def merge_measures(parts: Sequence[Measures]) -> Measures:
    """The second pass of all parts together; whole numbers, so the order does not matter."""
    energies = None
    if parts[0].energies is not None:
        energies = add_whole([part.energies for part in parts if part.energies is not None])
    return Measures(
        merge_grams([part.gram for part in parts]),
        {name: np.sum([part.tables[name] for part in parts], axis=0) for name in parts[0].tables},
        energies,
    )
