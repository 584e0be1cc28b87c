"""Units of time and of bytes that suit the size of what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter


class Unit(NamedTuple):
    """A unit: how large it is in SI base units, its name and its symbol."""

    size: float
    name: str
    symbol: str


_TIMES = (
    Unit(1.0, "seconds", "s"),
    Unit(1e-3, "milliseconds", "ms"),
    Unit(1e-6, "microseconds", "µs"),
)
_SIZES = (
    Unit(1e12, "terabytes", "TB"),
    Unit(1e9, "gigabytes", "GB"),
    Unit(1e6, "megabytes", "MB"),
    Unit(1e3, "kilobytes", "kB"),
    Unit(1.0, "bytes", "B"),
)


def time_unit(seconds: float) -> Unit:
    """The largest unit of which ``seconds`` holds at least two; the smallest there is below it."""
    return _largest(_TIMES, seconds / 2)


def byte_unit(num_bytes: float) -> Unit:
    """The largest decimal unit (1 MB = 10**6 bytes) of which there is at least one."""
    return _largest(_SIZES, num_bytes)


def _largest(units: Sequence[Unit], value: float) -> Unit:
    return next((unit for unit in units if value >= unit.size), units[-1])


def said_time(seconds: float) -> str:
    """Such as ``41.2 ms``."""
    return _said(seconds, _largest(_TIMES, seconds))


def said_bytes(num_bytes: float) -> str:
    """Such as ``1.05 MB``."""
    return _said(num_bytes, byte_unit(num_bytes))


def _said(value: float, unit: Unit) -> str:
    """Three digits, more only where the number is that large."""
    count = value / unit.size
    return f"{count:,.0f} {unit.symbol}" if count >= 100 else f"{count:.3g} {unit.symbol}"


def show_in(axis: Axis, unit: Unit) -> None:
    """Number an axis whose data are in base units in ``unit`` instead."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit.size:.10g}"))
