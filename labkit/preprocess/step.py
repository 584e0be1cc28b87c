"""What every step of preprocessing is given and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from labkit.errors import SettingError
from labkit.preprocess.parts import Fitted, Part
from labkit.preprocess.schema import Schema

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step leaves behind.

    Attributes:
        parts: the rows after the step; they are made when they are loaded.
        schema: the columns after the step.
        fitted: what was found from the training rows, applied by ``parts``; ``None`` where the
            step changes no row.
        rows_out: rows after the step.
        note: one line for people: what the step did, with numbers.
        details: figures by name, plain values.
        picture: small plain values to draw, see ``report.py``.
    """

    parts: Sequence[Part]
    schema: Schema
    rows_out: int
    note: str
    fitted: Fitted | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    picture: Mapping[str, Any] = field(default_factory=dict)


def read_settings(cls: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """A step's settings from plain values, as they stand in a file.

    Args:
        cls: a dataclass whose defaults are the usual settings.
        values: by field; lists become tuples.
        where: names the place in messages, such as ``"[cleaning]"``.
    Raises:
        SettingError: a field that is not there, or a value that its class refuses.
    """
    known = [each.name for each in fields(cls)]  # type: ignore[arg-type]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise SettingError(
            f"{where} has no setting {', '.join(map(repr, unknown))}; choose from "
            f"{', '.join(known)}"
        )
    try:
        return cls(**{name: _frozen(value) for name, value in values.items()})
    except TypeError as error:
        raise SettingError(f"{where} cannot be read: {error}") from error


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value
