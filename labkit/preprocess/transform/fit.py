"""Finding a transformation: summaries of the parts' training rows, merged in the order of parts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import SettingError, SourceError
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import KEY, Schema, label_codes
from labkit.preprocess.split import is_test
from labkit.preprocess.statistics.moments import Moments, merge_columns, moments_of
from labkit.preprocess.statistics.quantiles import exact_quantiles
from labkit.preprocess.tasks import Executor
from labkit.preprocess.transform.discretise import (
    MAX_DISTINCT,
    Bins,
    count_classes,
    entropy_bins,
    equal_frequency,
    equal_width,
    fine_cuts,
    fractions_of,
)
from labkit.preprocess.transform.encode import Encode, fit_encode
from labkit.preprocess.transform.fitted import Rule, Transformation, read_codes
from labkit.preprocess.transform.generalise import Lift, make_lift
from labkit.preprocess.transform.scale import QUARTILES, fit_scale, read_numbers
from labkit.preprocess.transform.settings import TransformationSettings

Quantiles = Mapping[Hashable, Mapping[float, float]]


class Plan(NamedTuple):
    """What is done to which column, before anything is known of the rows."""

    numbers: tuple[str, ...]  # scaled or cut
    lifts: Mapping[str, Lift | None]  # of each category; intervals make categories of numbers
    dropped: Mapping[str, str]


class Summary(NamedTuple):
    """What one part's training rows say."""

    moments: dict[Hashable, Moments]
    counts: dict[str, NDArray[np.int64]]  # (names,) rows by category
    distinct: dict[str, NDArray[np.float64] | None]  # different values, None for too many


def make_plan(schema: Schema, settings: TransformationSettings) -> Plan:
    """Which way each column goes.

    Raises:
        SettingError: a setting names a column that is not there, or of the wrong kind.
    """
    there = [column.name for column in schema.columns if column.name != schema.label]
    strange = [name for name in settings.columns if name not in there]
    if strange:
        raise SettingError(
            f"[transformation] names {', '.join(strange)}, but the inputs after reduction are "
            f"{', '.join(there) or 'none'}; drop the setting, or keep the column in [reduction]"
        )
    numbers: list[str] = []
    lifts: dict[str, Lift | None] = {}
    dropped: dict[str, str] = {}
    for name in there:
        column = schema.column(name)
        lifted = settings.generalise.get(name)
        _check_kind(name, column.kind, settings)
        if lifted is not None:
            lifts[name] = make_lift(column.names, lifted)
        elif column.kind == "number":
            numbers.append(name)
        elif column.kind == "category":
            lifts[name] = None
        else:
            dropped[name] = "text: it is compared, never computed with"
    if not numbers and not lifts:
        raise SourceError("no column is left to learn from; keep one in [reduction]")
    return Plan(tuple(numbers), lifts, dropped)


def _check_kind(name: str, kind: str, settings: TransformationSettings) -> None:
    lifted = settings.generalise.get(name)
    if lifted is not None and bool(lifted.edges) != (kind == "number"):
        raise SettingError(
            f"column {name!r} is a {kind}: "
            + ("give edges and names of intervals" if kind == "number" else "it takes no edges")
            + f" in [transformation.generalise.{name}]"
        )
    for setting in ("discretise", "scale_columns"):
        if name in getattr(settings, setting) and kind != "number":
            raise SettingError(f"{setting} names {name!r}, which is a {kind}; choose a number")


def fit(
    executor: Executor, parts: Sequence[Part], schema: Schema, settings: TransformationSettings
) -> Transformation:
    """The rules of all columns, from the training rows; ``num_passes`` tasks a part.

    Raises:
        SettingError: settings that do not fit the columns.
    """
    plan = make_plan(schema, settings)
    summaries: list[Summary] = map_parts(
        executor, summarise, parts, plan=plan, schema=schema, distinct=entropy_columns(settings)
    )
    moments = merge_columns([each.moments for each in summaries])
    quantiles = _find_quantiles(executor, parts, plan, settings)
    bins = _find_bins(executor, parts, schema, settings, moments, quantiles, summaries)
    rules = [
        _rule(name, schema, settings, plan, moments, quantiles, bins, summaries)
        for name in (column.name for column in schema.columns)
        if name in plan.numbers or name in plan.lifts
    ]
    return Transformation(rules=tuple(rules), label=schema.label, dropped=plan.dropped)


def num_passes(schema: Schema, settings: TransformationSettings) -> int:
    """Tasks a part that ``fit`` takes."""
    plan = make_plan(schema, settings)
    needs_quantiles = 2 * bool(_quantile_columns(plan, settings))
    return 1 + needs_quantiles + bool(entropy_columns(settings))


def entropy_columns(settings: TransformationSettings) -> tuple[str, ...]:
    """Columns that are cut by entropy."""
    return tuple(name for name, how in settings.discretise.items() if how.method == "entropy")


def summarise(
    frame: pd.DataFrame, *, plan: Plan, schema: Schema, distinct: Sequence[str]
) -> Summary:
    """One part's summary, of its training rows."""
    train = ~is_test(frame[KEY].to_numpy())
    moments: dict[Hashable, Moments] = {}
    for name in plan.numbers:
        moments[name] = moments_of(read_numbers(frame, name)[train])
    counts = {}
    for name, lift in plan.lifts.items():
        size = len(lift.names if lift else schema.column(name).names)
        codes = read_codes(frame, name, lift, None)[train]
        counts[name] = np.bincount(codes[(codes >= 0) & (codes < size)], minlength=size)
    different = {name: _distinct(read_numbers(frame, name)[train]) for name in distinct}
    return Summary(moments, counts, different)


def training_values(
    frame: pd.DataFrame, *, columns: Sequence[str]
) -> dict[Hashable, NDArray[np.float64]]:
    """The training rows' values of number columns."""
    train = ~is_test(frame[KEY].to_numpy())
    return {name: read_numbers(frame, name)[train] for name in columns}


def count_fine(
    frame: pd.DataFrame, *, cuts: Mapping[str, NDArray[np.float64]], schema: Schema
) -> dict[str, NDArray[np.int64]]:
    """One part's training rows by fine bin and class, of each column that entropy cuts."""
    train = ~is_test(frame[KEY].to_numpy())
    labels = label_codes(frame, schema)[train]
    return {
        name: count_classes(read_numbers(frame, name)[train], labels, ends, len(schema.class_names))
        for name, ends in cuts.items()
    }


def _quantile_columns(plan: Plan, settings: TransformationSettings) -> dict[str, tuple[float, ...]]:
    """Fractions that are needed, by column."""
    needed = {}
    for name in plan.numbers:
        if name in settings.discretise:
            needed[name] = fractions_of(settings.discretise[name])
        elif settings.scale_columns.get(name, settings.scale) == "robust":
            needed[name] = QUARTILES
    return {name: fractions for name, fractions in needed.items() if fractions}


def _find_quantiles(
    executor: Executor, parts: Sequence[Part], plan: Plan, settings: TransformationSettings
) -> Quantiles:
    needed = _quantile_columns(plan, settings)
    if not needed:
        return {}
    fractions = sorted({each for found in needed.values() for each in found})
    return exact_quantiles(executor, parts, training_values, fractions, columns=tuple(needed))


def _find_bins(
    executor: Executor,
    parts: Sequence[Part],
    schema: Schema,
    settings: TransformationSettings,
    moments: Mapping[Hashable, Moments],
    quantiles: Quantiles,
    summaries: Sequence[Summary],
) -> dict[str, Bins]:
    """The bins of every column that is cut."""
    bins = {}
    for name, how in settings.discretise.items():
        if how.method == "equal_width":
            bins[name] = equal_width(moments[name], how)
        elif how.method == "equal_frequency":
            bins[name] = equal_frequency(quantiles[name], how)
    cuts = {
        name: fine_cuts(
            _merge_distinct([each.distinct[name] for each in summaries]), quantiles[name]
        )
        for name in entropy_columns(settings)
    }
    if cuts:
        if not schema.label:
            raise SettingError(
                f"{', '.join(cuts)}: method entropy needs classes, but the data has no label; "
                "choose equal_frequency"
            )
        counted = map_parts(executor, count_fine, parts, cuts=cuts, schema=schema)
        for name, ends in cuts.items():
            total = np.sum([each[name] for each in counted], axis=0)
            bins[name] = entropy_bins(ends, total, settings.discretise[name].bins)
    return bins


def _rule(
    name: str,
    schema: Schema,
    settings: TransformationSettings,
    plan: Plan,
    moments: Mapping[Hashable, Moments],
    quantiles: Quantiles,
    bins: Mapping[str, Bins],
    summaries: Sequence[Summary],
) -> Rule:
    """The rule of one column."""
    if name in bins:
        cut = bins[name]
        coded = Encode(
            output=settings.discretise[name].output,
            names=cut.names,
            seen=tuple(range(len(cut.names))),
        )
        return Rule(column=name, bins=cut, encode=coded)
    if name in plan.numbers:
        method = settings.scale_columns.get(name, settings.scale)
        return Rule(column=name, scale=fit_scale(method, moments[name], quantiles.get(name, {})))
    lift = plan.lifts[name]
    names = lift.names if lift else schema.column(name).names
    counts: NDArray[np.int64] = np.sum([each.counts[name] for each in summaries], axis=0)
    output = settings.encode_columns.get(name, settings.encode)
    return Rule(column=name, lift=lift, encode=fit_encode(name, output, names, counts))


def _distinct(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    different: NDArray[Any] = np.unique(values[~np.isnan(values)])
    return different if len(different) <= MAX_DISTINCT else None


def _merge_distinct(
    parts: Sequence[NDArray[np.float64] | None],
) -> NDArray[np.float64] | None:
    found = [each for each in parts if each is not None]
    if len(found) < len(parts):
        return None
    return _distinct(np.concatenate(found))
