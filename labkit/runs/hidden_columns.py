"""The same specification without some columns: a harder task on the same sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from labkit.errors import SettingError
from labkit.preprocess.schema import Schema
from labkit.preprocess.spec import PipelineSpec

Value = TypeVar("Value")


def hide_columns(spec: PipelineSpec, names: Sequence[str]) -> PipelineSpec:
    """A specification that does not read these columns, and whose settings do not name them.

    Args:
        spec: with the columns.
        names: neither key nor label; columns that a lookup adds or joins on stay.
    Raises:
        SettingError: a column that is not there, or that the specification cannot do without.
    """
    if not names:
        return spec
    schema = spec.schema
    lookups = spec.integration.lookups.values()
    needed = {*schema.key, schema.label, *(name for each in lookups for name in each.on)}
    known = [column.name for column in schema.columns if column.name not in needed]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingError(
            f"hide names {', '.join(map(repr, unknown))}; choose from {', '.join(known)}"
        )
    hidden = frozenset(names)
    cleaning, transformation = spec.cleaning, spec.transformation
    return replace(
        spec,
        schema=Schema(
            columns=tuple(c for c in schema.columns if c.name not in hidden),
            key=schema.key,
            label=schema.label,
        ),
        sources=tuple(replace(s, fields=_others(s.fields, hidden)) for s in spec.sources),
        integration=replace(
            spec.integration, tolerance=_others(spec.integration.tolerance, hidden)
        ),
        cleaning=replace(
            cleaning,
            columns=_others(cleaning.columns, hidden),
            evidence=tuple(name for name in cleaning.evidence if name not in hidden),
            rules=tuple(rule for rule in cleaning.rules if not hidden & set(rule.columns)),
            related=tuple(pair for pair in cleaning.related if not hidden & set(pair.columns)),
            group="" if cleaning.group in hidden else cleaning.group,
        ),
        transformation=replace(
            transformation,
            scale_columns=_others(transformation.scale_columns, hidden),
            generalise=_others(transformation.generalise, hidden),
            discretise=_others(transformation.discretise, hidden),
            encode_columns=_others(transformation.encode_columns, hidden),
        ),
    )


def _others(values: Mapping[str, Value], hidden: Collection[str]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name not in hidden}
