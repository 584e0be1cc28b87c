"""Names and numbers of a preprocessing report for people, and its entries by step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

_RATE = re.compile(r"(?P<name>\w+?)_(?P<what>[a-z]{1,3})_per_(?P<per>[a-z]{1,3})")
SAME = ("mm", "cm", "m", "km", "in", "ft", "mi", "g", "kg", "t", "s", "ms", "h", "min", "mph", "l")
UNITS: Mapping[str, str] = MappingProxyType(
    {name: name for name in SAME}
    | {"eur": "EUR", "usd": "USD", "brix": "°Brix", "c": "°C", "f": "°F", "hpa": "hPa"}
)


def named_unit(column: str) -> str:
    """``diameter_cm`` as ``diameter (cm)``; names without a unit at their end stay words."""
    rate = _RATE.fullmatch(column)
    if rate:
        return f"{rate['name'].replace('_', ' ')} ({rate['what']}/{rate['per']})"
    name, _, unit = column.rpartition("_")
    words = name.replace("_", " ")
    return f"{words} ({UNITS[unit]})" if words and unit in UNITS else column.replace("_", " ")


def counted(value: float) -> str:
    """A count in full; anything else as ``said``."""
    return f"{int(value):,}" if value == int(value) else said(value)


def said(value: float | None) -> str:
    """A number for people, in seven characters or so."""
    if value is None:
        return "-"
    size = abs(value)
    whole = value == int(value)
    if size >= 1e15:
        return f"{value:.2e}"
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if size >= 0.9995 * power and not (whole and size < 1e7):
            return f"{value / power:.3g} {letter}"
    if whole:
        return f"{int(value):,}" if size >= 10_000 else str(int(value))
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


def step_entry(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A step's entry in a report; empty where it did not run."""
    steps: Sequence[Mapping[str, Any]] = report.get("steps") or ()
    return next((step for step in steps if step["name"] == name), {})


def class_order(report: Mapping[str, Any]) -> list[str]:
    """The classes in the order of the data, so that each has one colour in all pictures."""
    by_class = details_of(report, "statistics").get("by_class")
    if by_class:
        return list(by_class)
    for name in ("cleaning", "transformation"):
        sides = picture_of(report, name).get("before") or {}
        drawn = [sides, *(each for each in sides.values() if isinstance(each, Mapping))]
        for each in drawn:
            if each.get("counts"):
                return list(each["counts"])
    return []


def picture_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What there is to draw of a step; empty where it did not run."""
    return step_entry(report, name).get("picture") or {}


def details_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The figures of a step; empty where it did not run."""
    return step_entry(report, name).get("details") or {}
