"""Finding the rules of cleaning from the training rows of all parts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.errors import SettingError, SourceError
from labkit.preprocess.clean.fences import (
    FRACTIONS,
    Fences,
    Quantiles,
    log_fits,
    no_fences,
    robust_z,
    tukey,
)
from labkit.preprocess.clean.fills import Table, category_fill, find_fills
from labkit.preprocess.clean.plan import make_plan
from labkit.preprocess.clean.related import Pair
from labkit.preprocess.clean.rules import CleaningRules, ColumnRule
from labkit.preprocess.clean.sentinels import find_heavy, find_sentinels
from labkit.preprocess.clean.settings import AUTO, CleaningSettings
from labkit.preprocess.clean.slips import corrected
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

MANY = 0.01  # sentinels above this share move the quantiles, which are then taken again
MAX_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rules, and what people are told about how they came about.

    Attributes:
        rules: as fitted.
        scales: ``linear`` or ``log`` by column.
        tails: columns left alone, with the share of their values beyond the fences.
        empty: columns without a value in any training row.
        edges: quantiles 0.01 and 0.99, by column.
    """

    rules: CleaningRules
    scales: Mapping[str, str]
    tails: Mapping[str, float]
    empty: tuple[str, ...]
    edges: Mapping[str, tuple[float, float]]


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


def find_rules(
    executor: Executor, parts: Sequence[Part], schema: Schema, settings: CleaningSettings
) -> Found:
    """Rules from the training rows; three passes over the parts where nothing special turns up.

    Raises:
        SettingError: settings that do not fit the columns; says which and what to do.
        SourceError: there is no part.
    """
    plan = make_plan(schema, settings)
    if not parts:
        raise SourceError("there are no rows to clean; see which rows were set aside, and why")
    for _ in range(MAX_ROUNDS):
        look = _look(executor, parts, plan, schema, settings)
        known = {name: look.all_sentinels(name) for name in plan.columns}
        if not _many_sentinels(look):
            break
        plan = replace(plan, sentinels=known)
    fences, tails = _believed(look, settings)
    columns = {
        name: ColumnRule(
            fences=fences[name],
            scale=look.scale[name],
            sentinels=known[name],
            slips=settings.of(name, "unit_slips"),
            least=_bound(settings, name, "least", -math.inf),
            greatest=_bound(settings, name, "greatest", math.inf),
        )
        for name in plan.columns
    }
    ratios = [
        tukey(_groups(look.table, at, plan), log=False, factor=settings.factor)
        for at in range(len(plan.related))
    ]
    rules = CleaningRules(
        label=plan.label,
        columns=columns,
        rules=settings.rules,
        pairs=tuple(
            Pair(relation=pair, ratio=ratio)
            for pair, ratio in zip(plan.related, ratios, strict=True)
        ),
        evidence=settings.evidence if plan.label else (),
        odds=settings.odds,
        fills=find_fills(executor, parts, plan, look.table, look.surveys, schema, settings),
    )
    return Found(
        rules=rules,
        scales={name: "log" if fence.log else "linear" for name, fence in look.scale.items()},
        tails=tails,
        empty=tuple(name for name in plan.columns if not look.present[name]),
        edges={name: (each[0], each[-1]) for name, each in _edges(look.table, plan).items()},
    )


def _look(
    executor: Executor,
    parts: Sequence[Part],
    plan: Plan,
    schema: Schema,
    settings: CleaningSettings,
) -> Look:
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


def _many_sentinels(look: Look) -> bool:
    """Whether new sentinels are so many that they moved the quantiles."""
    return any(
        value not in look.outside[name] or look.outside[name][value] > MANY * look.present[name]
        for name, values in look.sentinels.items()
        for value in values
    )


def _bound(settings: CleaningSettings, name: str, which: str, without: float) -> float:
    own = settings.columns.get(name)
    bound = getattr(own, which) if own else None
    return without if bound is None else float(bound)


def _groups(table: Table, name: Hashable, plan: Plan) -> list[Quantiles]:
    """Quantiles of each class, then of all rows."""
    return [*(table[name, code] for code in range(plan.num_classes)), table[name, ALL]]


def _edges(table: Table, plan: Plan) -> dict[str, list[float]]:
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
        groups = _groups(table, name, plan)
        method = settings.of(name, "outliers")
        if method == "robust_z":
            fences[name] = robust_z(
                groups, _groups(deviations, name, plan), threshold=settings.of(name, "threshold")
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
        edges=_edges(table, plan),
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
    for name, quantiles in _edges(table, plan).items():
        new[name] = ()
        if settings.of(name, "sentinels") == AUTO:
            ties = [sum(each.ties[name][at] for each in surveys) for at in range(len(quantiles))]
            edges = list(zip(quantiles, ties, strict=True))
            far = _outside_all(outside[name], scale[name])
            new[name] = tuple(sorted({*find_sentinels(far, edges), *find_heavy(edges)}))
    return new


def _believed(look: Look, settings: CleaningSettings) -> tuple[dict[str, Fences], dict[str, float]]:
    """The fences that count, and the columns whose far values are their tail and are believed."""
    fences, tails = {}, {}
    for name, scale in look.scale.items():
        method = settings.of(name, "outliers")
        share = _unexplained(look, settings, name) / max(look.present[name], 1)
        if method == "auto" and share > settings.most:
            tails[name] = share
        opened = method == "none" or name in tails
        fences[name] = no_fences(scale) if opened else scale
    return fences, tails


def _unexplained(look: Look, settings: CleaningSettings, name: str) -> int:
    """Rows outside their fences that are no sentinel, no unit slip and no wrong label."""
    outside, scale = look.outside[name], look.scale[name]
    values = np.array(list(outside), dtype=np.float64)
    unknown = np.full(len(values), MISSING, dtype=np.int32)
    mended = corrected(
        values,
        settings.of(name, "unit_slips"),
        lambda new: scale.believed(new, unknown, near=True),
    )
    explained = np.isin(values, look.sentinels[name]) | ~np.isnan(mended)
    if settings.evidence:
        explained |= scale.believed(values, unknown)
    counts = np.array(list(outside.values()), dtype=np.int64)
    return int(counts[~explained].sum())
