"""Which columns are dropped, and why: the reasons are for people, and hold the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.reduce.survey import Facts, Survey
from labkit.preprocess.schema import Column, Schema


def drop_by_kind(schema: Schema, settings: ReductionSettings) -> dict[str, str]:
    """Columns that are dropped whatever they hold, with the reason."""
    dropped = {}
    for column in schema.columns:
        if column.name == schema.label or column.name in settings.keep:
            continue
        if schema.key == (column.name,):
            dropped[column.name] = "the key: it says which row this is, not what it is like"
        elif column.kind == "text":
            dropped[column.name] = "a text: it is compared and not computed with"
        elif column.kind == "category" and not _goes_on(column, settings):
            dropped[column.name] = "a name, without order"
    return dropped


def _goes_on(column: Column, settings: ReductionSettings) -> bool:
    return "unordered" not in settings.drop or column.name in settings.keep_categories


def drop_by_survey(
    columns: Sequence[str], survey: Survey, settings: ReductionSettings
) -> dict[str, str]:
    """Columns that hold nothing, one value, identifiers, or what another one holds.

    Args:
        columns: to be looked at, in order; of equal ones the first stays, or the one that is in
            ``keep``.
        survey: of all training rows.
        settings: which filters are on.
    """
    dropped: dict[str, str] = {}
    checks = {"constant": _constant, "identifier": _identifier}
    for name in columns:
        for check, why in checks.items():
            if check in settings.drop and name not in settings.keep and name not in dropped:
                reason = why(survey.facts[name], survey.num_rows, settings)
                if reason:
                    dropped[name] = reason
    if "duplicate" in settings.drop:
        left = [name for name in columns if name not in dropped]
        dropped |= _duplicates(left, survey, settings.keep)
    return dropped


def _constant(facts: Facts, num_rows: int, settings: ReductionSettings) -> str:
    if not facts.num_values:
        return f"empty: none of {num_rows} training rows has a value"
    if facts.constant:
        return f"constant: all {facts.num_values} training values are {facts.least:.12g}"
    return ""


def _identifier(facts: Facts, num_rows: int, settings: ReductionSettings) -> str:
    distinct = facts.distinct
    # Most rows and not nearly all, as cleaning may have filled many gaps with a few values.
    if distinct.number < facts.num_values / 2 or distinct.numbered < settings.identifier_share:
        return ""
    about = "" if distinct.exact else "about "
    # an estimate may be a few percent too high
    number = min(distinct.number, float(facts.num_values))
    return (
        f"an identifier: {about}{number:.0f} different values in {facts.num_values} training "
        f"values, {distinct.numbered:.0%} of them whole numbers that occur once (limit "
        f"{settings.identifier_share:.0%})"
    )


def _duplicates(columns: Sequence[str], survey: Survey, keep: Sequence[str]) -> dict[str, str]:
    first: dict[int, str] = {}
    for name in _kept_first(columns, keep):
        first.setdefault(survey.facts[name].checksum, name)
    return {
        name: f"a duplicate: equal to {original} in all {survey.num_rows} training rows"
        for name in columns
        if (original := first[survey.facts[name].checksum]) != name and name not in keep
    }


def drop_unimportant(
    importance: Mapping[str, float], label: str, label_bits: float, settings: ReductionSettings
) -> dict[str, str]:
    """Columns that tell less about the label than the settings ask for.

    Args:
        importance: bits by column.
        label: its name.
        label_bits: its entropy: what a column can tell at most.
        settings: with the limit, 0 drops none.
    """
    if "unimportant" not in settings.drop:
        return {}
    return {
        name: (
            f"unimportant: it tells {bits:.4f} of the {label_bits:.4f} bits of {label} (limit "
            f"{settings.importance:g})"
        )
        for name, bits in importance.items()
        if bits < settings.importance and name not in settings.keep
    }


def drop_correlated(
    columns: Sequence[str], correlation: NDArray[np.float64], settings: ReductionSettings
) -> dict[str, str]:
    """Columns that go up and down with one that stays.

    Columns are taken in their order, those of ``keep`` first; one is dropped when it is too close
    to one that was taken before it.

    Args:
        columns: names, in the order of the matrix.
        correlation: (columns, columns) Pearson's r.
        settings: with the limit.
    """
    if "correlated" not in settings.drop:
        return {}
    place = {name: at for at, name in enumerate(columns)}
    stays: list[str] = []
    dropped = {}
    for name in _kept_first(columns, settings.keep):
        sizes = [abs(correlation[place[name], place[other]]) for other in stays]
        if name not in settings.keep and sizes and max(sizes) > settings.correlation:
            closest = stays[int(np.argmax(sizes))]
            r = correlation[place[name], place[closest]]
            why = "is to be kept" if closest in settings.keep else "comes first and stays"
            dropped[name] = (
                f"correlated: it moves with {closest} (r = {r:.5f}, limit "
                f"{settings.correlation:g}), which {why}"
            )
        else:
            stays.append(name)
    return dropped


def _kept_first(columns: Sequence[str], keep: Sequence[str]) -> list[str]:
    return sorted(columns, key=lambda name: name not in keep)
