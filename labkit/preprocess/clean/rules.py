"""Step 3, cleaning: outliers become missing, and gaps are filled with the median of the class.

An outlier lies outside Tukey's far fences, 3 interquartile ranges beyond the quartiles of its
class. Weight, size and price grow by factors, so their fences are set on a logarithmic scale, on
which a value of 0 or less is impossible. A fruit whose size and weight both lie outside its own
class's fences but inside those of exactly one other class has the wrong label: it is relabelled.

All rules are found from the training rows. Test rows are treated as new data will be: their label
is not looked at and not changed, so only a value that is outside every class's fences is an
outlier, and gaps are filled with the median over all classes.

Source: Tukey 1977, Exploratory Data Analysis, section 2E.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SourceError
from labkit.preprocess.schema import FRUITS, KEY, LABEL, MISSING, Partition, column_values
from labkit.preprocess.split import is_test

FENCE_FACTOR = 3.0
LOG_SCALE = ("diameter_cm", "weight_g", "price_eur")
FENCED = (*LOG_SCALE, "sweetness_brix")
LABEL_EVIDENCE = ("diameter_cm", "weight_g")
FILLED = (*FENCED, "red", "green", "blue", "harvest_year")
QUARTILES = (0.25, 0.5, 0.75)
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningRules:
    """What cleaning found in the training rows.

    Attributes:
        fences: by column and class name, the least and the greatest value that is believed.
        medians: by column and class name, and ``"all"`` over all classes.
    """

    fences: Mapping[str, Mapping[str, tuple[float, float]]]
    medians: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "fences": {
                column: {name: list(fence) for name, fence in by_class.items()}
                for column, by_class in self.fences.items()
            },
            "medians": {column: dict(by_class) for column, by_class in self.medians.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CleaningRules:
        """The rules that ``to_dict`` wrote."""
        return cls(fences=values["fences"], medians=values["medians"])


def training_values(partition: Partition) -> dict[Hashable, NDArray[np.float64]]:
    """Columns to take quartiles of, by (column, class name or "all"): the training rows' values.

    Impossible values, at most 0 on a logarithmic scale, are left out.
    """
    train = ~is_test(partition.frame[KEY].to_numpy())
    label = partition.frame[LABEL].to_numpy()[train]
    columns: dict[Hashable, NDArray[np.float64]] = {}
    for column in FILLED:
        values = column_values(partition.frame, column)[train]
        if column in LOG_SCALE:
            values = np.where(values > 0, values, np.nan)
        columns[column, ALL] = values
        for code, name in enumerate(FRUITS):
            columns[column, name] = values[label == code]
    return columns


def fit(quartiles: Mapping[Hashable, Mapping[float, float]]) -> CleaningRules:
    """The rules, from the exact quartiles of ``training_values``.

    Raises:
        SourceError: a column has no value in any training row.
    """
    fences: dict[str, dict[str, tuple[float, float]]] = {}
    medians: dict[str, dict[str, float]] = {}
    for column in FILLED:
        overall = quartiles[column, ALL][0.5]
        if np.isnan(overall):
            raise SourceError(
                f"column {column} has no value in any training row; give a source that measures it"
            )
        medians[column] = {ALL: overall}
        for name in FRUITS:
            low, median, high = (quartiles[column, name][fraction] for fraction in QUARTILES)
            medians[column][name] = overall if np.isnan(median) else median
            # A class that never has a value believes every value: there is nothing to go by.
            if column in FENCED and not np.isnan(median):
                fences.setdefault(column, {})[name] = _fence(low, high, log=column in LOG_SCALE)
    return CleaningRules(fences=fences, medians=medians)


def _fence(low: float, high: float, *, log: bool) -> tuple[float, float]:
    if log:
        spread = (high / low) ** FENCE_FACTOR
        return low / spread, high * spread
    spread = FENCE_FACTOR * (high - low)
    return low - spread, high + spread


def clean(partition: Partition, *, rules: CleaningRules) -> Partition:
    """The partition with outliers and gaps filled, and wrong training labels put right.

    Returns:
        The same rows in the same order; ``counts`` has relabelled, and outliers and filled by
        column (a removed outlier counts among the filled as well).
    """
    frame = partition.frame.copy()
    train = ~is_test(frame[KEY].to_numpy())
    label = frame[LABEL].to_numpy()
    right = np.where(train, _right_label(frame, label, rules), label)
    frame[LABEL] = right.astype(np.int8)
    counts = {"relabelled": int((right != label).sum())}
    repaired = repair(frame, np.where(train, right, MISSING), rules)
    for column in FILLED:
        before, after = column_values(frame, column), repaired[column]
        counts[f"outliers: {column}"] = int((~np.isnan(before) & (before != after)).sum())
        counts[f"filled: {column}"] = int((np.isnan(before) | (before != after)).sum())
        frame[column] = after
    return Partition(frame=frame, counts=counts)


def repair(
    frame: pd.DataFrame, label: NDArray[Any], rules: CleaningRules
) -> dict[str, NDArray[np.float64]]:
    """Each filled column, (rows,), without outliers and without gaps.

    Args:
        frame: the rows, with the columns of ``FILLED``.
        label: (rows,) class codes; ``MISSING`` where the class is not known or not to be used.
        rules: as fitted.
    """
    repaired = {}
    for column in FILLED:
        values = column_values(frame, column)
        if column in FENCED:
            values = np.where(_believed(values, column, label, rules), values, np.nan)
        # The last entry, for all classes, is what the code MISSING = -1 picks.
        medians = np.array([rules.medians[column][name] for name in (*FRUITS, ALL)])
        repaired[column] = np.where(np.isnan(values), medians[label], values)
    return repaired


def _believed(
    values: NDArray[np.float64], column: str, label: NDArray[Any], rules: CleaningRules
) -> NDArray[np.bool_]:
    """(rows,) inside the fences of the row's class, or of any class where it is not known."""
    inside = np.stack([_inside(values, column, name, rules) for name in FRUITS])
    own = np.take_along_axis(inside, np.maximum(label, 0)[np.newaxis].astype(np.intp), axis=0)[0]
    return np.where(label == MISSING, inside.any(axis=0), own)


def _inside(
    values: NDArray[np.float64], column: str, name: str, rules: CleaningRules
) -> NDArray[np.bool_]:
    if name not in rules.fences.get(column, {}):
        return np.ones(len(values), dtype=bool)
    low, high = rules.fences[column][name]
    return (values >= low) & (values <= high)


def _right_label(
    frame: pd.DataFrame, label: NDArray[np.int8], rules: CleaningRules
) -> NDArray[Any]:
    """(rows,) the label, or the one class that size and weight agree on against it."""
    fits = np.ones((len(FRUITS), len(frame)), dtype=bool)
    misfits = np.ones((len(FRUITS), len(frame)), dtype=bool)
    for column in LABEL_EVIDENCE:
        values = column_values(frame, column)
        for code, name in enumerate(FRUITS):
            inside = _inside(values, column, name, rules)
            fits[code] &= inside
            misfits[code] &= ~inside & ~np.isnan(values)
    own_misfit = np.take_along_axis(misfits, label[np.newaxis].astype(np.intp), axis=0)[0]
    doubtful = own_misfit & (fits.sum(axis=0) == 1)
    return np.where(doubtful, fits.argmax(axis=0), label)
