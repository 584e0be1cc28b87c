"""How each step changed the data: for people, for pictures and as JSON.

A step's entry holds ``name``, ``seconds``, ``rows_in``, ``rows_out``, ``note`` (one line for
people), ``details`` (figures by name) and ``picture`` (small data to draw):

- statistics: ``rows_per_source``, ``missing`` by column.
- integration: ``rows_per_source``, ``duplicates``, ``merged``, ``set_aside``, ``rows_out``,
  ``conflicts`` by column, ``known_by`` sources, ``came_from`` by column and source.
- cleaning: ``column``, ``edges``, ``before`` and ``after`` (``counts`` by class, values ``below``
  and ``above`` the edges), the same of every column in ``columns``, ``missing_before`` and
  ``missing_after`` by column.
- reduction: ``explained`` by component, ``num_kept``, ``points`` (``x``, ``y``, ``class``),
  ``axes``, ``importance`` and ``correlation`` by column.
- transformation: ``columns``, ``edges``, ``before`` and ``after`` by column, as in cleaning;
  ``own_edges`` and ``own_before`` in each column's own range, ``categories`` by name.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPORT_FILE = "report.json"
STEPS = ("statistics", "integration", "cleaning", "reduction", "transformation")


class Report:
    """Grows while the steps run; ``values`` is plain and can be shown or saved at any time."""

    def __init__(self) -> None:
        self._started_s = self._step_started_s = time.perf_counter()
        self.values: dict[str, Any] = {
            "statistics": {},
            "steps": [],
            "rows_in": 0,
            "rows_out": 0,
            "set_aside": 0,
            "shards": 0,
            "seconds": 0.0,
        }

    def begin_step(self) -> None:
        """Start the next step's clock."""
        self._step_started_s = time.perf_counter()

    def end_step(
        self,
        name: str,
        *,
        rows_in: int,
        rows_out: int,
        note: str,
        details: Mapping[str, Any],
        picture: Mapping[str, Any],
    ) -> None:
        """Add the step that has just ended."""
        now_s = time.perf_counter()
        entry = {
            "name": name,
            "seconds": now_s - self._step_started_s,
            "rows_in": rows_in,
            "rows_out": rows_out,
            "note": note,
            "details": details,
            "picture": picture,
        }
        self.values["steps"].append(plain(entry))
        self.values["seconds"] = now_s - self._started_s

    def finish(self, **totals: Any) -> dict[str, Any]:
        """Fill in the totals and stop the clock; returns the finished report."""
        self.values |= plain(totals)
        self.values["seconds"] = time.perf_counter() - self._started_s
        return self.values


def write_report(folder: str, values: Mapping[str, Any]) -> None:
    """Keep a finished report beside the shards."""
    text = json.dumps(values, indent=1, allow_nan=False)
    (Path(folder) / REPORT_FILE).write_text(text, encoding="utf-8")


def read_report(folder: str) -> dict[str, Any]:
    """The report that lies beside the shards."""
    values: dict[str, Any] = json.loads((Path(folder) / REPORT_FILE).read_text(encoding="utf-8"))
    return values


def plain(value: Any) -> Any:
    """The value in JSON's types: NaN and infinities become ``None``, arrays become lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
