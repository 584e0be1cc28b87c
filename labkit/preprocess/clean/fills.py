"""What is put into the gaps of each column, by its method."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from labkit.preprocess.clean.fences import Quantiles
from labkit.preprocess.clean.missing import Fill, fill_of, merge_means, mode_of
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.clean.training import ALL, Plan, Survey, count_values
from labkit.preprocess.parts import Part, map_parts
from labkit.preprocess.schema import Schema
from labkit.preprocess.tasks import Executor

Table = Mapping[Hashable, Quantiles]  # by (column, class code or ALL) and others


def find_fills(
    executor: Executor,
    parts: Sequence[Part],
    plan: Plan,
    table: Table,
    surveys: Sequence[Survey],
    schema: Schema,
    settings: CleaningSettings,
) -> dict[str, Fill]:
    """What is put in, by column; a column that is not filled, or has no value, is left out.

    Medians and modes are those of the values as they came, without sentinels: a few wrong values
    do not move them. Means are those of the values inside their class's fences.

    Args:
        executor: counts the candidates of modes, one task a part where a mode is asked for.
        parts: the rows.
        plan: which columns.
        table: quantiles of the training rows.
        surveys: of the parts.
        schema: of the rows.
        settings: methods.
    """
    modes = _modes(executor, parts, plan, surveys)
    fills: dict[str, Fill | None] = {}
    for name in plan.columns:
        method = settings.of(name, "fill")
        if method == "related" and not any(name in pair.columns for pair in plan.related):
            method = "group_median" if settings.group else "median"
        group, number = plan.groups.get(name, ("", plan.num_classes))
        median = table[name, ALL][0.5]
        if method == "constant":
            fills[name] = Fill(method=method, values=(float(settings.of(name, "constant")),))
        elif method == "median" or (method == "mode" and math.isnan(modes[name])):
            fills[name] = fill_of("median", [median], "")
        elif method == "mode":
            fills[name] = fill_of(method, [modes[name]], "")
        elif method in ("mean", "group_mean"):
            means = merge_means([each.sums[name] for each in surveys])
            fills[name] = fill_of(method, means if method == "group_mean" else means[-1:], group)
        elif method == "related" and not settings.group:
            fills[name] = fill_of(method, [median], "")
        elif method in ("group_median", "related"):
            keys = [(name, group, code) if group else (name, code) for code in range(number)]
            fills[name] = fill_of(method, [*(table[key][0.5] for key in keys), median], group)
    for name, names in schema.categories.items():
        fills[name] = _fill_category(settings, schema, surveys, name, names)
    return {name: fill for name, fill in fills.items() if fill is not None}


def _fill_category(
    settings: CleaningSettings,
    schema: Schema,
    surveys: Sequence[Survey],
    name: str,
    names: Sequence[str],
) -> Fill | None:
    method = category_fill(settings, name, schema)
    if method == "constant":
        code = names.index(settings.columns[name].constant)
        return Fill(method=method, values=(float(code),))
    if method == "none" or not names:
        return None
    counts = np.sum([each.codes[name] for each in surveys], axis=0)
    return fill_of(method, [float(counts.argmax()) if counts.any() else math.nan], "")


def category_fill(settings: CleaningSettings, name: str, schema: Schema) -> str:
    """How a category's gaps are filled; those of the label and the key never are."""
    own = settings.columns.get(name)
    if name == schema.label or name in schema.key:
        return "none"
    return own.fill if own and own.fill else settings.fill_categories


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
