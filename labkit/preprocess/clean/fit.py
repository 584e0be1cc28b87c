"""Finding the rules of cleaning from the training rows of all parts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.errors import SettingError
from labkit.preprocess.clean.fences import (
    FRACTIONS,
    Fences,
    Quantiles,
    log_fits,
    no_fences,
    robust_z,
    tukey,
)
from labkit.preprocess.clean.missing import Fill, fill_of, merge_means, mode_of
from labkit.preprocess.clean.related import Pair
from labkit.preprocess.clean.rules import CleaningRules, ColumnRule
from labkit.preprocess.clean.sentinels import find_sentinels
from labkit.preprocess.clean.settings import AUTO, CleaningSettings
from labkit.preprocess.clean.training import (
    ALL,
    Plan,
    Survey,
    TrainingValues,
    add_up,
    count_values,
    survey_part,
)
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import Schema
from labkit.preprocess.statistics.quantiles import exact_quantiles
from labkit.preprocess.tasks import Executor

MAX_CLASSES = 32  # with more, all rows share their fences
MANY = 0.01  # sentinels above this share move the quantiles, which are then taken again
MAX_ROUNDS = 3
Table = Mapping[Hashable, Quantiles]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rules, and what people are told about how they came about.

    Attributes:
        rules: as fitted.
        scales: ``linear`` or ``log`` by column.
        tails: columns left alone, with the share of their values beyond the fences.
        empty: columns without a value in any training row.
        medians: over all training rows, by column.
        edges: quantiles 0.01 and 0.99, by column.
    """

    rules: CleaningRules
    scales: Mapping[str, str]
    tails: Mapping[str, float]
    empty: tuple[str, ...]
    edges: Mapping[str, tuple[float, float]]


def find_rules(
    executor: Executor, parts: Sequence[Part], schema: Schema, settings: CleaningSettings
) -> Found:
    """Rules from the training rows; three passes over the parts where nothing special turns up.

    Raises:
        SettingError: settings that do not fit the columns; says which and what to do.
    """
    plan = make_plan(schema, settings)
    for _ in range(MAX_ROUNDS):
        table = exact_quantiles(executor, parts, TrainingValues(plan), FRACTIONS)
        scale = _all_fences(executor, parts, plan, table, settings)
        surveys = _survey(executor, parts, plan, table, scale, schema, settings)
        outside = {name: add_up([each.outside[name] for each in surveys]) for name in plan.columns}
        present = {name: sum(each.present[name] for each in surveys) for name in plan.columns}
        new = _new_sentinels(plan, table, surveys, outside, settings)
        sentinels = {
            name: tuple(sorted({*plan.sentinels.get(name, ()), *new[name]}))
            for name in plan.columns
        }
        many = [
            name
            for name in plan.columns
            if sum(outside[name][value] for value in new[name]) > MANY * present[name]
        ]
        if not many:
            break
        plan = replace(plan, sentinels=sentinels)
    fences, tails = _believed(plan, scale, outside, present, new, settings)
    rules = CleaningRules(
        label=plan.label,
        columns={
            name: ColumnRule(
                fences=fences[name],
                scale=scale[name],
                sentinels=sentinels[name],
                slips=settings.of(name, "unit_slips"),
                least=_bound(settings, name, "least", -math.inf),
                greatest=_bound(settings, name, "greatest", math.inf),
            )
            for name in plan.columns
        },
        rules=settings.rules,
        pairs=tuple(
            Pair(
                relation=pair,
                ratio=tukey(_groups(table, at, plan), log=False, factor=settings.factor),
            )
            for at, pair in enumerate(plan.related)
        ),
        evidence=settings.evidence if plan.label else (),
        odds=settings.odds,
        fills=_fills(executor, parts, plan, table, surveys, schema, settings),
    )
    return Found(
        rules=rules,
        scales={name: "log" if scale[name].log else "linear" for name in plan.columns},
        tails=tails,
        empty=tuple(name for name in plan.columns if not present[name]),
        edges=_edges(table, plan),
    )


def make_plan(schema: Schema, settings: CleaningSettings) -> Plan:
    """What is looked at; the settings are checked against the columns.

    Raises:
        SettingError: a column that is not there, or is of the wrong kind.
    """
    numbers = tuple(name for name in schema.numbers if name not in schema.key)
    categories = schema.categories
    for name in settings.columns:
        _check_column(schema, settings, name, numbers)
    for what, names in (
        ("evidence", settings.evidence),
        *((f"rule {rule.expression!r}", (*rule.columns, *rule.blame)) for rule in settings.rules),
        *((f"related {pair.columns}", pair.columns) for pair in settings.related),
    ):
        unknown = [name for name in names if name not in numbers]
        if unknown:
            raise SettingError(
                f"[cleaning] {what}: {', '.join(unknown)} is no number column to be cleaned; "
                f"choose from {', '.join(numbers) or 'none'}"
            )
    if settings.evidence and not schema.label:
        raise SettingError(
            "[cleaning] evidence needs a label to put right; name one, or leave evidence empty"
        )
    groups = {}
    for name in numbers:
        group = settings.of(name, "group")
        if group and group not in categories:
            raise SettingError(
                f"[cleaning] group {group!r} is no category; choose from "
                f"{', '.join(categories) or 'none'}, or leave it empty for the label"
            )
        if group and group != schema.label and settings.of(name, "fill") in _BY_GROUP:
            groups[name] = (group, len(categories[group]))
    classes = len(schema.class_names)
    apart = 0 < classes <= MAX_CLASSES
    return Plan(
        columns=numbers,
        label=schema.label if apart else "",
        num_classes=classes if apart else 0,
        groups=groups,
        related=settings.related,
        sentinels={
            name: given for name in numbers if (given := settings.of(name, "sentinels")) != AUTO
        },
    )


_BY_GROUP = ("group_mean", "group_median", "related")


def _check_column(
    schema: Schema, settings: CleaningSettings, name: str, numbers: Sequence[str]
) -> None:
    where, own = f"[cleaning.columns.{name}]", settings.columns[name]
    if name not in numbers and (name not in schema.categories or name == schema.label):
        choices = [*numbers, *(each for each in schema.categories if each != schema.label)]
        raise SettingError(
            f"{where}: no column of that name is cleaned; choose from {', '.join(choices)}"
        )
    if name in numbers:
        if isinstance(own.constant, str):
            raise SettingError(f"{where}: constant {own.constant!r} is no number")
        return
    if own.fill not in (None, "mode", "constant", "none"):
        raise SettingError(
            f"{where}: a category has no {own.fill}; choose from mode, constant, none"
        )
    if own.fill == "constant" and own.constant not in schema.categories[name]:
        raise SettingError(
            f"{where}: constant {own.constant!r} is no category of the column; choose from "
            f"{', '.join(schema.categories[name])}"
        )


def _bound(settings: CleaningSettings, name: str, which: str, without: float) -> float:
    own = settings.columns.get(name)
    bound = getattr(own, which) if own else None
    return without if bound is None else float(bound)


def _groups(table: Table, name: Hashable, plan: Plan) -> list[Quantiles]:
    """Quantiles of each class, then of all rows."""
    return [*(table[name, code] for code in range(plan.num_classes)), table[name, ALL]]


def _edges(table: Table, plan: Plan) -> dict[str, tuple[float, float]]:
    return {name: (table[name, ALL][0.01], table[name, ALL][0.99]) for name in plan.columns}


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
            if _category_fill(settings, name, schema) == "mode"
        },
    )


def _category_fill(settings: CleaningSettings, name: str, schema: Schema) -> str:
    """How a category's gaps are filled; the label's never are."""
    own = settings.columns.get(name)
    if name == schema.label or name in schema.key:
        return "none"
    return own.fill if own and own.fill else settings.fill_categories


def _new_sentinels(
    plan: Plan,
    table: Table,
    surveys: Sequence[Survey],
    outside: Mapping[str, Mapping[float, int]],
    settings: CleaningSettings,
) -> dict[str, tuple[float, ...]]:
    new: dict[str, tuple[float, ...]] = {}
    for name in plan.columns:
        new[name] = ()
        if settings.of(name, "sentinels") == AUTO:
            low, high = (sum(each.ties[name][k] for each in surveys) for k in (0, 1))
            new[name] = find_sentinels(outside[name], (low, high), table[name, ALL][0.5])
    return new


def _believed(
    plan: Plan,
    scale: Mapping[str, Fences],
    outside: Mapping[str, Mapping[float, int]],
    present: Mapping[str, int],
    sentinels: Mapping[str, Sequence[float]],
    settings: CleaningSettings,
) -> tuple[dict[str, Fences], dict[str, float]]:
    """The fences that count, and the columns whose far values are their tail and are believed."""
    fences, tails = {}, {}
    for name in plan.columns:
        method = settings.of(name, "outliers")
        noise = sum(outside[name].values()) - sum(outside[name][v] for v in sentinels[name])
        share = noise / max(present[name], 1)
        if method == "auto" and share > settings.most:
            tails[name] = share
        opened = method == "none" or name in tails
        fences[name] = no_fences(scale[name]) if opened else scale[name]
    return fences, tails


def _fills(
    executor: Executor,
    parts: Sequence[Part],
    plan: Plan,
    table: Table,
    surveys: Sequence[Survey],
    schema: Schema,
    settings: CleaningSettings,
) -> dict[str, Fill]:
    fills: dict[str, Fill | None] = {}
    modes = _modes(executor, parts, plan, surveys)
    for name in plan.columns:
        method = settings.of(name, "fill")
        median = table[name, ALL][0.5]
        if method == "constant":
            fills[name] = Fill(method=method, values=(float(settings.of(name, "constant")),))
        elif method == "median":
            fills[name] = fill_of(method, [median], "")
        elif method == "mode":
            known = not math.isnan(modes[name])
            fills[name] = fill_of(
                "mode" if known else "median", [modes[name] if known else median], ""
            )
        elif method in ("mean", "group_mean"):
            means = merge_means([each.sums[name] for each in surveys])
            group = plan.groups.get(name, ("", 0))[0]
            fills[name] = fill_of(method, means if method == "group_mean" else means[-1:], group)
        elif method in ("group_median", "related"):
            group, number = plan.groups.get(name, ("", 0))
            by_group = (
                [*(table[name, group, code][0.5] for code in range(number)), median]
                if group
                else [each[0.5] for each in _groups(table, name, plan)]
            )
            fills[name] = fill_of(method, by_group, group)
    for name, names in schema.categories.items():
        method = _category_fill(settings, name, schema)
        if method == "constant":
            code = names.index(settings.columns[name].constant)
            fills[name] = Fill(method=method, values=(float(code),))
        elif method == "mode" and names:
            counts = np.sum([each.codes[name] for each in surveys], axis=0)
            best = float(counts.argmax()) if counts.any() else math.nan
            fills[name] = fill_of(method, [best], "")
    return {name: fill for name, fill in fills.items() if fill is not None}


def _modes(
    executor: Executor, parts: Sequence[Part], plan: Plan, surveys: Sequence[Survey]
) -> dict[str, float]:
    """The mode of each number column that is filled by it: candidates are counted everywhere."""
    names = list(surveys[0].common) if surveys else []
    if not names:
        return {}
    wanted = {name: sorted({v for each in surveys for v in each.common[name]}) for name in names}
    counted = map_parts(executor, count_values, parts, plan=plan, wanted=wanted)
    modes = {}
    for name in names:
        totals = [sum(each[name][at] for each in counted) for at in range(len(wanted[name]))]
        present = sum(each.present[name] for each in surveys)
        modes[name] = mode_of(dict(zip(wanted[name], totals, strict=True)), present)
    return modes
