"""What a command prints: its result on standard output, progress on standard error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import click

from labkit.runs.curve import Curve

DONE, FAILED, BAD_INPUT = 0, 1, 2


def say(text: str = "") -> None:
    """A line of progress for people, on standard error."""
    click.echo(text, err=True)


def answer(value: Mapping[str, Any], as_json: bool, table: Callable[[], str]) -> None:
    """The result on standard output: one JSON object, or a text for people."""
    click.echo(json.dumps(_finite(value), indent=2, allow_nan=False) if as_json else table())


def tell_progress() -> Callable[[Curve], None]:
    """A callback that says each measurement once; strategies at one device share the baseline."""
    said: set[tuple[str, ...]] = set()

    def tell(curve: Curve) -> None:
        for point in curve.points:
            if point.runs in said:
                continue
            said.add(point.runs)
            name = point.strategy if point.devices > 1 else "baseline"
            say(
                f"repeat {len(point.runs)}/{curve.repeats}  {name:<8}  {point.devices:>2} "
                f"device{'s' if point.devices > 1 else ' '}  "
                f"{point.throughput_samples_per_s:>9,.0f} samples/s  speedup {point.speedup:.2f}"
            )

    return tell


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for: the loss of a run that diverged."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value
