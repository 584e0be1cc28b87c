"""Finding the rules of cleaning from the training rows of all parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.errors import SourceError
from labkit.preprocess.clean.fences import Fences, no_fences, tukey
from labkit.preprocess.clean.fills import find_fills
from labkit.preprocess.clean.look import Look, edges_of, groups_of, look_at
from labkit.preprocess.clean.plan import make_plan
from labkit.preprocess.clean.related import Pair
from labkit.preprocess.clean.rules import CleaningRules, ColumnRule
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.clean.slips import corrected
from labkit.preprocess.parts import Part
from labkit.preprocess.schema import MISSING, Schema
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
        look = look_at(executor, parts, plan, schema, settings)
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
        tukey(groups_of(look.table, at, plan), log=False, factor=settings.factor)
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
        edges={name: (each[0], each[-1]) for name, each in edges_of(look.table, plan).items()},
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
