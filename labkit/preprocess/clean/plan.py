"""What cleaning looks at: the settings, checked against the columns."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import SettingError
from labkit.preprocess.clean.settings import AUTO, CleaningSettings
from labkit.preprocess.clean.training import Plan
from labkit.preprocess.schema import Schema

MAX_CLASSES = 32  # with more, all rows share their fences
BY_GROUP = ("group_mean", "group_median", "related")


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
        if group and group != schema.label and settings.of(name, "fill") in BY_GROUP:
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
