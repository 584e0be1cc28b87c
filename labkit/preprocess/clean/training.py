"""What the training rows of one part say: the map functions of fitting."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.clean.fences import Fences
from labkit.preprocess.clean.missing import frequent, group_moments
from labkit.preprocess.clean.related import log_ratio
from labkit.preprocess.clean.settings import Related
from labkit.preprocess.schema import KEY, MISSING, column_values
from labkit.preprocess.split import is_test
from labkit.preprocess.statistics.moments import Moments

ALL = MISSING  # stands for all rows beside the codes of the classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which columns are looked at, and how.

    Attributes:
        columns: numbers to be cleaned.
        label, num_classes: classes that are told apart; none without a label.
        groups: category column of each column that is filled by its groups, and their number;
            columns that are filled by the label are not among them.
        related: pairs whose ratio is looked at.
        sentinels: known ones by column, left out.
    """

    columns: tuple[str, ...]
    label: str = ""
    num_classes: int = 0
    groups: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    related: tuple[Related, ...] = ()
    sentinels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingValues:
    """Callable on a part's rows: values to take quantiles of.

    Keys are ``(column, class code or ALL)``, ``(column, group column, code)`` and
    ``(number of a pair, class code or ALL)``; with ``middles`` the distances from them.
    """

    plan: Plan
    middles: Mapping[Hashable, float] | None = None

    def __call__(self, frame: pd.DataFrame) -> dict[Hashable, NDArray[np.float64]]:
        """By key, (rows,) the training rows' values, NaN where missing; one class after the other.

        So each class is a slice of all rows, and nothing is copied twice.
        """
        plan = self.plan
        rows, classes = rows_by_class(frame, plan)
        values = {
            name: _blank(column_values(frame, name)[rows], plan.sentinels.get(name, ()))
            for name in plan.columns
        }
        found: dict[Hashable, NDArray[np.float64]] = {}
        for name, column in values.items():
            found[name, ALL] = column
            for code, of_class in classes.items():
                found[name, code] = column[of_class]
        if self.middles is not None:
            return {
                key: np.abs(column - self.middles[key])
                for key, column in found.items()
                if key in self.middles
            }
        for at, pair in enumerate(plan.related):
            ratio = log_ratio(values[pair.columns[0]], values[pair.columns[1]], pair.power)
            found[at, ALL] = ratio
            for code, of_class in classes.items():
                found[at, code] = ratio[of_class]
        for name, (group, number) in plan.groups.items():
            codes = frame[group].to_numpy()[rows]
            for code in range(number):
                found[name, group, code] = values[name][codes == code]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one part's training rows hold, to be added up.

    Attributes:
        present: rows with a value, by column.
        outside: by column, how often each value outside the own class's fences occurs.
        ties: by column, rows equal to each of the edges.
        sums: by column, moments of the believed values of each group, then of all.
        common: by column, candidates for the mode.
        codes: by category column, rows of each code.
    """

    present: Mapping[str, int]
    outside: Mapping[str, Mapping[float, int]]
    ties: Mapping[str, Sequence[int]]
    sums: Mapping[str, Sequence[Moments]]
    common: Mapping[str, Sequence[float]]
    codes: Mapping[str, Sequence[int]]


def survey_part(
    frame: pd.DataFrame,
    *,
    plan: Plan,
    fences: Mapping[str, Fences],
    edges: Mapping[str, Sequence[float]],
    means: Sequence[str],
    modes: Sequence[str],
    categories: Mapping[str, int],
) -> Survey:
    """One part's survey.

    Args:
        frame: the rows.
        plan: which columns.
        fences: by column.
        edges: quantiles over all rows, by column.
        means, modes: number columns that are filled by these.
        categories: columns whose mode is asked for, and the number of their codes.
    """
    train = training_rows(frame, plan, *categories)
    own = labels(train, plan)
    present, outside, ties, sums, common = {}, {}, {}, {}, {}
    for name in plan.columns:
        values = without_sentinels(train, name, plan)
        inside = fences[name].believed(values, own)
        present[name] = int((~np.isnan(values)).sum())
        found, counts = np.unique(values[~inside & ~np.isnan(values)], return_counts=True)
        outside[name] = dict(zip(found.tolist(), counts.tolist(), strict=True))
        ties[name] = [int((values == edge).sum()) for edge in edges[name]]
        if name in means:
            group, number = plan.groups.get(name, ("", plan.num_classes))
            codes = train[group].to_numpy(dtype=np.int32) if group else own
            sums[name] = group_moments(np.where(inside, values, np.nan), codes, number)
        if name in modes:
            common[name] = frequent(values)
    codes_of = {
        name: np.bincount(train[name].to_numpy() + 1, minlength=number + 1)[1:].tolist()
        for name, number in categories.items()
    }
    return Survey(
        present=present, outside=outside, ties=ties, sums=sums, common=common, codes=codes_of
    )


def count_values(
    frame: pd.DataFrame, *, plan: Plan, wanted: Mapping[str, Sequence[float]]
) -> dict[str, list[int]]:
    """How often each of the wanted values occurs in a part's training rows, by column."""
    train = training_rows(frame, plan)
    return {
        name: [int((train[name].to_numpy() == value).sum()) for value in values]
        for name, values in wanted.items()
    }


def training_rows(frame: pd.DataFrame, plan: Plan, *more: str) -> pd.DataFrame:
    """The rows that rules are found from, in the plan's columns and some more."""
    label = (plan.label,) if plan.label else ()
    groups = (group for group, _ in plan.groups.values())
    names = list(dict.fromkeys((*plan.columns, *label, *groups, *more)))
    return frame[names].loc[~is_test(frame[KEY].to_numpy())]


def labels(train: pd.DataFrame, plan: Plan) -> NDArray[np.int32]:
    """(rows,) codes of the labels, ``MISSING`` where classes are not told apart."""
    if not plan.label:
        return np.full(len(train), MISSING, dtype=np.int32)
    return train[plan.label].to_numpy(dtype=np.int32)


def rows_by_class(frame: pd.DataFrame, plan: Plan) -> tuple[NDArray[np.intp], dict[int, slice]]:
    """Places of the training rows, one class after the other, and by code where each class is."""
    rows = np.flatnonzero(~is_test(frame[KEY].to_numpy()))
    if not plan.label:
        return rows, {}
    own = frame[plan.label].to_numpy()[rows] - MISSING
    # numpy sorts short whole numbers by their digits, in a time that grows with the rows only
    order = np.argsort(own.astype(np.uint16), kind="stable")
    ends = np.cumsum(np.bincount(own, minlength=plan.num_classes + 1)).tolist()
    return rows[order], {code: slice(*ends[code : code + 2]) for code in range(plan.num_classes)}


def without_sentinels(train: pd.DataFrame, name: str, plan: Plan) -> NDArray[np.float64]:
    """(rows,) one column, known sentinels as NaN."""
    return _blank(column_values(train, name), plan.sentinels.get(name, ()))


def _blank(values: NDArray[np.float64], sentinels: Sequence[float]) -> NDArray[np.float64]:
    for sentinel in sentinels:
        values = np.where(values == sentinel, np.nan, values)
    return values


def add_up(counts: Sequence[Mapping[Any, int]]) -> dict[Any, int]:
    """Counts of all parts, by value in rising order."""
    total: dict[Any, int] = {}
    for part in counts:
        for value, number in part.items():
            total[value] = total.get(value, 0) + number
    return dict(sorted(total.items()))
