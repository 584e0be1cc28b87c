"""How good the data are, before and after: four shares and their mean, from the report alone.

The dimensions are those by which data quality is usually judged (completeness, validity,
uniqueness, consistency; ISO/IEC 25012 and Wang & Strong 1996, doi:10.1080/07421222.1996.11518099).
Each is a count that a step made anyway, so no row is looked at again; each says what was counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DIMENSIONS = ("completeness", "validity", "uniqueness", "consistency")
TOTAL = "total"

# What cleaning calls a wrong value; what it fills was missing, not wrong.
WRONG = ("outliers", "slips", "sentinels", "rules", "relabelled")


@dataclass(frozen=True, slots=True)
class Score:
    """One dimension: shares from 0 to 1, ``None`` where the step that counts did not run."""

    before: float | None
    after: float | None
    how: str


def quality(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Quality of the data before and after preprocessing.

    Args:
        report: finished, or so far: what is not known yet is ``None``.
    Returns:
        ``before`` and ``after``: each dimension's share and ``total``, the mean of the dimensions
        that are known on both sides (of all that are known, where none is known on both);
        ``how``: for each of them, what was counted, in one sentence.
    """
    scores = {
        "completeness": _completeness(report),
        "validity": _validity(report),
        "uniqueness": _uniqueness(report),
        "consistency": _consistency(report),
    }
    before, after, how = _total(scores)
    return {
        "before": {**{name: each.before for name, each in scores.items()}, TOTAL: before},
        "after": {**{name: each.after for name, each in scores.items()}, TOTAL: after},
        "how": {**{name: each.how for name, each in scores.items()}, TOTAL: how},
    }


def step_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A step's entry in the report; ``None`` where it did not run."""
    return next((step for step in report.get("steps", ()) if step["name"] == name), None)


def sum_counts(value: Any) -> int:
    """A count, or all counts in a mapping of counts, however deep; 0 for anything else."""
    if isinstance(value, Mapping):
        return sum(sum_counts(each) for each in value.values())
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def wrong_values(details: Mapping[str, Any]) -> dict[str, int]:
    """Wrong values that cleaning found, by kind, over all columns."""
    return {kind: sum_counts(details[kind]) for kind in WRONG if kind in details}


def _completeness(report: Mapping[str, Any]) -> Score:
    cleaning = step_of(report, "cleaning")
    picture = _mapping(cleaning.get("picture")) if cleaning else {}
    gaps_after = _mapping(picture.get("missing_after"))
    statistics = {
        name: (figures["count"], figures["missing"])
        for name, figures in _mapping(report.get("statistics")).items()
        if figures.get("count") is not None and figures.get("missing") is not None
    }
    columns = [name for name in gaps_after if name in statistics] or list(statistics)
    before = None
    if columns:
        present = sum(statistics[name][0] for name in columns)
        cells = sum(sum(statistics[name]) for name in columns)
        before = _share(present, cells)
        how = f"cells with a value: {present:,} of {cells:,} as read"
    elif cleaning and picture.get("missing_before"):
        columns = list(picture["missing_before"])
        cells = cleaning["rows_in"] * len(columns)
        present = cells - sum_counts(picture["missing_before"])
        before = _share(present, cells)
        how = f"cells with a value: {present:,} of {cells:,} before cleaning"
    else:
        how = "cells with a value: counted by the step statistics"
    if not cleaning or not gaps_after:
        return Score(before, None, f"{how}; cleaning did not count them again")
    gaps = sum(gaps_after.get(name, 0) for name in columns)
    cells = cleaning["rows_out"] * len(columns)
    how += f", {cells - gaps:,} of {cells:,} after cleaning; {len(columns)} columns"
    return Score(before, _share(cells - gaps, cells), how)


def _validity(report: Mapping[str, Any]) -> Score:
    cleaning = step_of(report, "cleaning")
    if cleaning is None:
        return Score(None, None, "values that are not wrong: counted by the step cleaning")
    statistics = step_of(report, "statistics")
    read = sum(figures.get("count") or 0 for figures in _mapping(report.get("statistics")).values())
    unreadable = sum_counts(_mapping(statistics).get("details", {}).get("unreadable_values"))
    wrong = wrong_values(_mapping(cleaning.get("details")))
    values = _values_cleaned(report, cleaning)
    share = _share(values - sum(wrong.values()), values)
    share *= _share(read, read + unreadable)
    said = ", ".join(f"{count:,} {kind}" for kind, count in wrong.items() if count)
    how = (
        f"values not found wrong: of {values:,} cleaning found {said or 'none'}; {unreadable:,} "
        "could not be read; what was not found is not known"
    )
    return Score(share, 1.0 if values else share, how)


def _values_cleaned(report: Mapping[str, Any], cleaning: Mapping[str, Any]) -> int:
    """Cells that hold a value when cleaning begins."""
    gaps = _mapping(_mapping(cleaning.get("picture")).get("missing_before"))
    columns = len(gaps) or len(_mapping(report.get("statistics"))) or 1
    return max(int(cleaning["rows_in"]) * columns - sum_counts(gaps), 0)


def _uniqueness(report: Mapping[str, Any]) -> Score:
    integration = step_of(report, "integration")
    found = _entry(integration, "duplicates")
    if integration is None or found is None:
        return Score(None, None, "rows that repeat no other: counted by the step integration")
    rows, kept = int(integration["rows_in"]), sum_counts(_entry(integration, "repeats_kept"))
    repeats = sum_counts(found) + kept
    how = f"rows that repeat no other: all but {repeats:,} of {rows:,} as read"
    how += f"; {kept:,} repeats were kept" if kept else "; repeats are removed"
    return Score(1.0 - _part(repeats, rows), 1.0 - _part(kept, integration["rows_out"]), how)


def _consistency(report: Mapping[str, Any]) -> Score:
    integration = step_of(report, "integration")
    found = _entry(integration, "conflicts")
    if integration is None or found is None:
        how = "values on which sources agree: compared by the step integration"
        return Score(None, None, how)
    conflicts, merged = sum_counts(found), sum_counts(_entry(integration, "merged"))
    compared = sum_counts(_entry(integration, "compared"))
    if not compared:
        columns = len(_mapping(report.get("statistics"))) or len(_mapping(found)) or 1
        compared = max(merged * columns, conflicts)
    how = (
        f"values on which sources agree: all but {conflicts:,} of {compared:,} in {merged:,} "
        "merged rows; the source of higher priority is believed"
    )
    return Score(1.0 - _part(conflicts, compared), 1.0, how)


def _total(scores: Mapping[str, Score]) -> tuple[float | None, float | None, str]:
    known = {
        name: score
        for name, score in scores.items()
        if score.before is not None and score.after is not None
    }
    if not known:
        before = _mean([each.before for each in scores.values()])
        return before, None, "mean of the dimensions that are known so far"
    before = _mean([each.before for each in known.values()])
    after = _mean([each.after for each in known.values()])
    return before, after, f"mean of {', '.join(known)}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _share(part: float, whole: float) -> float:
    """Nothing is wrong with nothing: 1 where there is no whole."""
    return min(max(part / whole, 0.0), 1.0) if whole else 1.0


def _part(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole else 0.0


def _entry(step: Mapping[str, Any] | None, name: str) -> Any:
    """A figure of a step, from its details or from its picture."""
    if step is None:
        return None
    found = _mapping(step.get("details")).get(name)
    return found if found is not None else _mapping(step.get("picture")).get(name)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
