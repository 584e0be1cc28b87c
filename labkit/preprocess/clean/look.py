"""One look at the training rows of all parts: quantiles, fences, and what lies outside them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.errors import SettingError
from labkit.preprocess.clean.fences import (
    FRACTIONS,
    Fences,
    Quantiles,
    log_fits,
    robust_z,
    tukey,
)
from labkit.preprocess.clean.fills import Table, category_fill
from labkit.preprocess.clean.sentinels import find_heavy, find_sentinels
from labkit.preprocess.clean.settings import AUTO, CleaningSettings
from labkit.preprocess.clean.training import (
    ALL,
    Plan,
    Survey,
    TrainingValues,
    add_up,
    survey_part,
)
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import MISSING, Schema
from labkit.preprocess.statistics.quantiles import exact_quantiles
from labkit.preprocess.tasks import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at the training rows shows.

    Attributes:
        plan: what was looked at, and the sentinels that were left out.
        table: quantiles.
        scale: fences by column, whether they will count or not.
        surveys: of the parts, in order.
        outside: by column, how often each value outside the fences occurs.
        present: by column, rows with a value.
        sentinels: by column, those that were found on top of the plan's.
    """

    plan: Plan
    table: Table
    scale: Mapping[str, Fences]
    surveys: Sequence[Survey]
    outside: Mapping[str, Mapping[float, int]]
    present: Mapping[str, int]
    sentinels: Mapping[str, tuple[float, ...]]

    def all_sentinels(self, name: str) -> tuple[float, ...]:
        """The plan's and those found."""
        return tuple(sorted({*self.plan.sentinels.get(name, ()), *self.sentinels[name]}))


def look_at(
    executor: Executor,
    parts: Sequence[Part],
    plan: Plan,
    schema: Schema,
    settings: CleaningSettings,
) -> Look:
    """Two passes over the parts for the quantiles, two more for robust z-scores, one to survey."""
    table = exact_quantiles(executor, parts, TrainingValues(plan), FRACTIONS)
    scale = _all_fences(executor, parts, plan, table, settings)
    surveys = _survey(executor, parts, plan, table, scale, schema, settings)
    outside = {name: add_up([each.outside[name] for each in surveys]) for name in plan.columns}
    return Look(
        plan=plan,
        table=table,
        scale=scale,
        surveys=surveys,
        outside=outside,
        present={name: sum(each.present[name] for each in surveys) for name in plan.columns},
        sentinels=_new_sentinels(plan, table, scale, surveys, outside, settings),
    )


def groups_of(table: Table, name: Hashable, plan: Plan) -> list[Quantiles]:
    """Quantiles of each class, then of all rows."""
    return [*(table[name, code] for code in range(plan.num_classes)), table[name, ALL]]


def edges_of(table: Table, plan: Plan) -> dict[str, list[float]]:
    """Quantiles over all rows in rising order, by column."""
    return {name: [table[name, ALL][fraction] for fraction in FRACTIONS] for name in plan.columns}


def _all_fences(
    executor: Executor,
    parts: Sequence[Part],
    plan: Plan,
    table: Table,
    settings: CleaningSettings,
) -> dict[str, Fences]:
    """Each column's fences by its method; columns without one get Tukey's, to be opened later."""
    robust = [name for name in plan.columns if settings.of(name, "outliers") == "robust_z"]
    deviations: Table = {}
    if robust:
        codes = (*range(plan.num_classes), ALL)
        middles: dict[Hashable, float] = {
            (name, code): table[name, code][0.5] for name in robust for code in codes
        }
        narrow = replace(plan, columns=tuple(robust), related=(), groups={})
        deviations = exact_quantiles(executor, parts, TrainingValues(narrow, middles), (0.5,))
    fences = {}
    for name in plan.columns:
        groups = groups_of(table, name, plan)
        method = settings.of(name, "outliers")
        if method == "robust_z":
            fences[name] = robust_z(
                groups, groups_of(deviations, name, plan), threshold=settings.of(name, "threshold")
            )
            continue
        log = method == "log_tukey" or (method in ("auto", "none") and _log_fits(groups))
        if log:
            _check_log(name, groups)
        fences[name] = tukey(groups, log=log, factor=settings.of(name, "factor"))
    return fences


def _log_fits(groups: Sequence[Quantiles]) -> bool:
    return log_fits(groups[:-1] or groups) and all(not each[0.25] <= 0 for each in groups)


def _check_log(name: str, groups: Sequence[Quantiles]) -> None:
    low = min((each[0.25] for each in groups if each[0.25] <= 0), default=None)
    if low is not None:
        raise SettingError(
            f"[cleaning.columns.{name}]: a quarter of a class is {low:g} or less, and a "
            'logarithmic scale has no place for 0 or less; choose outliers = "tukey"'
        )


def _survey(
    executor: Executor,
    parts: Sequence[Part],
    plan: Plan,
    table: Table,
    fences: Mapping[str, Fences],
    schema: Schema,
    settings: CleaningSettings,
) -> list[Survey]:
    def filled_by(*methods: str) -> tuple[str, ...]:
        return tuple(name for name in plan.columns if settings.of(name, "fill") in methods)

    return map_parts(
        executor,
        survey_part,
        parts,
        plan=plan,
        fences=fences,
        edges=edges_of(table, plan),
        means=filled_by("mean", "group_mean"),
        modes=filled_by("mode"),
        categories={
            name: len(names)
            for name, names in schema.categories.items()
            if category_fill(settings, name, schema) == "mode"
        },
    )


def _outside_all(outside: Mapping[float, int], fences: Fences) -> dict[float, int]:
    """Values outside every class's fences, and how often each occurs."""
    values = np.array(list(outside), dtype=np.float64)
    inside = fences.believed(values, np.full(len(values), MISSING, dtype=np.int32))
    return {value: outside[value] for value in values[~inside].tolist()}


def _new_sentinels(
    plan: Plan,
    table: Table,
    scale: Mapping[str, Fences],
    surveys: Sequence[Survey],
    outside: Mapping[str, Mapping[float, int]],
    settings: CleaningSettings,
) -> dict[str, tuple[float, ...]]:
    new: dict[str, tuple[float, ...]] = {}
    for name, quantiles in edges_of(table, plan).items():
        new[name] = ()
        if settings.of(name, "sentinels") == AUTO:
            ties = [sum(each.ties[name][at] for each in surveys) for at in range(len(quantiles))]
            edges = list(zip(quantiles, ties, strict=True))
            far = _outside_all(outside[name], scale[name])
            new[name] = tuple(sorted({*find_sentinels(far, edges), *find_heavy(edges)}))
    return new
