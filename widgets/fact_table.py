"""Figures of several runs side by side, each beside what kind of run it is from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.runs.record import RunRecord

Fact = Callable[[RunRecord], Any]


@dataclass(frozen=True, slots=True)
class FactTable:
    """A table of a notebook: one row a run.

    Attributes:
        columns: headings behind the name and the kind of a run.
        rows: name, kind and figures of each run, as they are shown.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_markdown_(self) -> str:
        heads = ["run", "kind", *self.columns]
        lines = [heads, ["---", "---", *["--:"] * len(self.columns)], *self.rows]
        return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)

    def __repr__(self) -> str:
        return "\n".join(
            f"{name} ({kind}): "
            + ", ".join(f"{c} {v}" for c, v in zip(self.columns, values, strict=True))
            for name, kind, *values in self.rows
        )


def fact_table(records: Mapping[str, RunRecord], columns: Mapping[str, Fact]) -> FactTable:
    """Figures of runs side by side; measured and emulated ones are told apart in every row.

    Args:
        records: by the name under which each is shown.
        columns: how each figure is taken from a record, by its heading; numbers are written with
            three digits, texts as they are.
    """
    rows = [
        (name, kind_of(record), *(written(fact(record)) for fact in columns.values()))
        for name, record in records.items()
    ]
    return FactTable(tuple(columns), tuple(rows))


def kind_of(record: RunRecord) -> str:
    """Measured, or emulated on which device; and whether that can be trusted."""
    if record.kind != "emulated":
        return record.kind
    late = record.emulation.get("trustworthy") is False
    return f"emulated on {record.emulation['device']}" + (", UNTRUSTWORTHY" if late else "")


def written(value: Any) -> str:
    """A figure for people."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
