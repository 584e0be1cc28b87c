"""What runs and lines are called in pictures: as short as they can be and still be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from labkit.plan import Plan
from labkit.runs.record import RunRecord

_DEGREES = ("dp", "pp", "tp")
_DECIDING = ("schedule", "sync", "placement")  # other settings have defaults that follow from them
_SAID_ALONE = ("schedule", "sync", "compression", "tensor_style", "placement")


def plan_name(plan: Mapping[str, Any]) -> str:
    """Degrees above 1, and settings that are not as they would be anyway.

    Args:
        plan: as in a record.
    Returns:
        Such as ``dp=2 pp=2 gpipe``; ``one device`` where nothing is split.
    """
    full = Plan.from_dict(dict(plan))
    chosen = {name: getattr(full, name) for name in (*_DEGREES, *_DECIDING)}
    usual = Plan(**chosen)
    words = [f"{axis}={chosen[axis]}" for axis in _DEGREES if chosen[axis] > 1]
    if not words:
        return "one device"
    for field in fields(Plan):
        value = getattr(full, field.name)
        anyway = field.default if field.name in _DECIDING else getattr(usual, field.name)
        if field.name not in _DEGREES and value != anyway:
            words.append(setting_name(field.name, value))
    return " ".join(words)


def setting_name(name: str, value: Any) -> str:
    """``ring`` says enough, ``8`` does not: ``microbatches=8``."""
    if value is True:
        return name
    if isinstance(value, tuple | list):
        value = "/".join(map(str, value))
    return str(value) if name in _SAID_ALONE and value != "none" else f"{name}={value}"


def strategy_lines(strategy: str) -> tuple[str, str]:
    """A strategy and what its variant changes: ``data+sync=ring`` is ``data`` and ``ring``."""
    base, *settings = strategy.split("+")
    said = []
    for setting in settings:
        name, _, value = setting.partition("=")
        said.append(setting_name(name, value or True))
    return base, ", ".join(said)


def run_names(records: Sequence[RunRecord]) -> list[str]:
    """Names that tell the runs of a picture apart.

    The workload and the kind are part of a name where they differ, the identifier of a run where
    nothing else does.

    Args:
        records: of the picture, in its order.
    Returns:
        Such as ``dp=2 ring``, ``text, dp=2, emulated``.
    """
    names = [plan_name(record.plan) for record in records]
    if len({record.workload["name"] for record in records}) > 1:
        names = [f"{r.workload['name']}, {name}" for name, r in zip(names, records, strict=True)]
    if len({record.kind for record in records}) > 1:
        names = [f"{name}, {r.kind}" for name, r in zip(names, records, strict=True)]
    counts = Counter(names)
    return [
        f"{name}, {record.run}" if counts[name] > 1 else name
        for name, record in zip(names, records, strict=True)
    ]


def workload_names(records: Sequence[RunRecord]) -> str:
    """The workload of the runs, or those that there are."""
    return " and ".join(dict.fromkeys(str(record.workload["name"]) for record in records))
