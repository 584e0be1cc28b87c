"""Step 3, cleaning: rules found from the training rows repair wrong values and gaps everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.preprocess.clean.effect import merge_effects, picture_of
from labkit.preprocess.clean.fit import Found, find_rules
from labkit.preprocess.clean.kinds import DETAILS
from labkit.preprocess.clean.once import Cleaned, clean_part
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.parts import ArrowRows, Part, map_parts
from labkit.preprocess.schema import Schema
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import Executor

PASSES = 4  # over the parts: two for the quantiles, one for the survey, one to clean
EXTRA = {"robust_z": 2, "mode": 1}


def clean(
    executor: Executor,
    parts: Sequence[Part],
    schema: Schema,
    settings: CleaningSettings,
    rows: int,
    *,
    folder: str | None = None,
) -> StepResult:
    """Find the rules of cleaning and clean the parts by them.

    Args:
        executor: where the passes run.
        parts: the rows after integration.
        schema: their columns.
        settings: methods.
        rows: how many there are.
        folder: the dataset's, where cleaned rows and repairs are kept: as many bytes again as the
            rows have; ``None`` keeps none, and rows are cleaned whenever they are loaded.
    Returns:
        The cleaned rows. Details, each by column: ``outliers``, ``slips``, ``sentinels``,
        ``rules``, ``filled``; and ``relabelled``, ``scales``, ``sentinel_values``, ``tails``
        (columns whose far values are believed, with their share), ``fills`` (methods),
        ``without_values``.
    Raises:
        SettingError: settings that do not fit the columns.
    """
    used = {settings.of(name, what) for name in schema.numbers for what in ("outliers", "fill")}
    passes = PASSES + sum(more for method, more in EXTRA.items() if method in used)
    executor.begin("cleaning", passes * len(parts))
    found = find_rules(executor, parts, schema, settings)
    cleaned: list[Cleaned] = map_parts(
        executor,
        clean_part,
        parts,
        range(len(parts)),
        rules=found.rules,
        schema=schema,
        edges=found.edges,
        folder=folder,
    )
    effect = merge_effects([each.effect for each in cleaned])
    details = _details(found, effect.repairs)
    return StepResult(
        parts=[
            Part(part.number, ArrowRows(((each.path, 0, None),)))
            if each.path
            else part.then(found.rules)
            for part, each in zip(parts, cleaned, strict=True)
        ],
        schema=schema,
        rows_out=rows,
        note=_note(details),
        fitted=found.rules,
        details=details,
        picture=picture_of(effect, found.edges, schema),
    )


def _details(found: Found, repairs: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    rules = found.rules
    return {
        **{name: dict(repairs.get(name, {})) for name in DETAILS.values()},
        "relabelled": sum(repairs.get("relabelled", {}).values()),
        "scales": dict(found.scales),
        "sentinel_values": {
            name: list(rule.sentinels) for name, rule in rules.columns.items() if rule.sentinels
        },
        "tails": dict(found.tails),
        "fills": {name: fill.method for name, fill in rules.fills.items()},
        "without_values": list(found.empty),
    }


def _note(details: Mapping[str, Any]) -> str:
    def total(name: str) -> int:
        return sum(details[name].values())

    said = (
        f"{total('outliers') + total('rules'):,} wrong values removed, {total('slips'):,} unit "
        f"slips put right, {total('sentinels'):,} sentinels, {total('filled'):,} gaps filled, "
        f"{details['relabelled']:,} relabelled"
    )
    if details["tails"]:
        said += f"; far values of {', '.join(details['tails'])} are its tail and are kept"
    if details["without_values"]:
        said += f"; without any value: {', '.join(details['without_values'])}"
    return said
