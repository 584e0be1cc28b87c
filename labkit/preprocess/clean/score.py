"""Cleaning against the truth: what was found, what was missed, how well gaps were guessed.

What counts, for numbers over all rows and for labels over training rows, the only ones whose label
may be changed:

- a value is *wrong* when it is present and off the truth by more than ``RELATIVE`` of it plus
  ``ABSOLUTE``, which roundings never are; its error is the one in the generator's log;
- it is *flagged* when cleaning removed it or put another in its place; a filled gap is no flag;
- precision = wrong and flagged / flagged, recall = wrong and flagged / wrong;
- it is *restored* when the new value is within the same distance of the truth;
- nothing is left out as too hard: a size that is believable in two units, or a wrong label in a row
  whose size is wrong as well, counts as missed;
- imputation: root mean square error of what was put into gaps, those of removed values included,
  beside the error of the plain median of all rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.clean.kinds import FILLED, LABEL, REMOVED, WRONG
from labkit.preprocess.clean.rules import CleaningRules, Kinds
from labkit.preprocess.schema import KEY, MISSING, Schema, column_values
from labkit.preprocess.split import is_test

RELATIVE, ABSOLUTE = 0.1, 0.05
UNEXPLAINED = "not in the log"
PARTS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts that add up: over parts of the rows.

    Attributes:
        counts: by (column, training or test rows, what), where what is ``flagged`` or (error,
            ``wrong``, ``found`` or ``restored``).
        guesses: by column, number of gaps filled, their summed squared error, and that of the
            median of all rows.
    """

    counts: Counter[tuple[str, str, Any]] = field(default_factory=Counter)
    guesses: dict[str, tuple[int, float, float]] = field(default_factory=dict)


def tally(
    before: pd.DataFrame,
    truth: pd.DataFrame,
    errors: pd.DataFrame,
    *,
    rules: CleaningRules,
    schema: Schema,
) -> Tally:
    """Clean one part and compare it with the truth.

    Args:
        before: the rows before cleaning.
        truth: the same rows as they should be, in the same order.
        errors: what was done to them: ``row`` (place in ``before``), ``column`` and ``error``.
        rules: that clean.
        schema: of the rows.
    """
    after, kinds = rules.repair(before)
    test = is_test(before[KEY].to_numpy())
    found = Tally()
    for name in rules.columns:
        if name in truth:
            was, true, new = (column_values(each, name) for each in (before, truth, after))
            wrong = ~np.isnan(was) & ~close(was, true)
            flagged = np.isin(kinds[name], WRONG)
            _count(found, name, test, wrong, flagged, close(new, true), errors)
            gaps = np.isin(kinds[name], (FILLED, *REMOVED)) & ~np.isnan(new) & ~np.isnan(true)
            if gaps.any():
                plain = rules.columns[name].scale.middle_of_all
                found.guesses[name] = (
                    int(gaps.sum()),
                    float(((new - true)[gaps] ** 2).sum()),
                    float(((plain - true)[gaps] ** 2).sum()),
                )
    if rules.label and rules.label in truth:
        _count_labels(found, before, truth, after, kinds, test, rules.label, errors)
    return found


def close(values: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(rows,) whether values are as good as the truth; NaN is not."""
    near: NDArray[np.bool_] = np.abs(values - true) <= RELATIVE * np.abs(true) + ABSOLUTE
    return near


def _count_labels(
    found: Tally,
    before: pd.DataFrame,
    truth: pd.DataFrame,
    after: pd.DataFrame,
    kinds: Kinds,
    test: NDArray[np.bool_],
    label: str,
    errors: pd.DataFrame,
) -> None:
    was, true, new = (each[label].to_numpy() for each in (before, truth, after))
    wrong = (was != true) & (was != MISSING) & ~test
    _count(found, label, test, wrong, kinds[label] == LABEL, new == true, errors)


def _count(
    found: Tally,
    column: str,
    test: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    flagged: NDArray[np.bool_],
    right_now: NDArray[np.bool_],
    errors: pd.DataFrame,
) -> None:
    mine = errors[errors["column"] == column].drop_duplicates("row")
    error = np.full(len(wrong), UNEXPLAINED, dtype=object)
    error[mine["row"].to_numpy()] = mine["error"].to_numpy()
    for part, rows in zip(PARTS, (~test, test), strict=True):
        found.counts[column, part, "flagged"] += int((flagged & rows).sum())
        for kind in np.unique(error[wrong & rows].astype(str)):
            these = wrong & rows & (error == kind)
            for what, mask in (
                ("wrong", these),
                ("found", these & flagged),
                ("restored", these & flagged & right_now),
            ):
                found.counts[column, part, (str(kind), what)] += int(mask.sum())


def merge_tallies(parts: Sequence[Tally]) -> Tally:
    """The total over all parts."""
    total = Tally()
    for part in parts:
        total.counts.update(part.counts)
        for name, figures in part.guesses.items():
            before = total.guesses.get(name, (0, 0.0, 0.0))
            total.guesses[name] = (
                before[0] + figures[0],
                before[1] + figures[1],
                before[2] + figures[2],
            )
    return total


def scores(total: Tally) -> list[dict[str, Any]]:
    """Rows of a table: a column over all its errors, then each of its errors.

    Returns:
        ``column``, ``error`` (``all`` for a column's total), ``rows`` (``all``, ``train`` or
        ``test``), ``wrong``, ``found``, ``restored``, ``flagged``, ``precision`` (of totals; an
        error that was not made cannot be told apart), ``recall``; ``None`` where nothing counts.
    """
    table = []
    for column in dict.fromkeys(name for name, _, _ in total.counts):
        kinds = sorted(
            {what[0] for name, _, what in total.counts if name == column and what != "flagged"}
        )
        for rows, parts in (("all", PARTS), ("train", PARTS[:1]), ("test", PARTS[1:])):
            flagged = sum(total.counts[column, part, "flagged"] for part in parts)
            for error, some in (("all", kinds), *((kind, [kind]) for kind in kinds)):
                wrong, found, restored = (
                    sum(total.counts[column, part, (kind, what)] for part in parts for kind in some)
                    for what in ("wrong", "found", "restored")
                )
                if wrong or (flagged and error == "all"):
                    table.append(
                        {
                            "column": column,
                            "error": error,
                            "rows": rows,
                            "wrong": wrong,
                            "found": found,
                            "restored": restored,
                            "flagged": flagged if error == "all" else None,
                            "precision": found / flagged if flagged and error == "all" else None,
                            "recall": found / wrong if wrong else None,
                        }
                    )
    return table


def imputation(total: Tally) -> dict[str, dict[str, float]]:
    """By column: ``gaps`` filled, ``rmse`` of the guesses, ``rmse_median`` of the plain median."""
    return {
        name: {
            "gaps": gaps,
            "rmse": math.sqrt(squares / gaps),
            "rmse_median": math.sqrt(plain / gaps),
        }
        for name, (gaps, squares, plain) in total.guesses.items()
    }
