"""How alike two rows are: the weighted mean of the similarities of what both of them know.

Texts: 1 minus the edits per letter, without regard to case and blanks. Numbers: 1 up to the
tolerance, falling to 0 at twice of it. Categories: 1 or 0. Texts are compared last, and only in
pairs that could still reach the threshold: that changes no score and saves most of the work.

Source: rapidfuzz, normalised Indel similarity; the score is that of record linkage, Fellegi &
Sunter 1969, doi:10.1080/01621459.1969.10501049, with weights that are given instead of estimated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from labkit.preprocess.integrate.keys import is_missing
from labkit.preprocess.integrate.settings import Compare, MatchSettings
from labkit.preprocess.schema import Schema, column_values

RATIOS = {"letters": fuzz.ratio, "words": fuzz.token_sort_ratio}
PAIRS_AT_ONCE = 1 << 19
ROUNDING = 1e-9  # a mean of exact values may miss the threshold by its last bits


class Compared(NamedTuple):
    """One column of all rows, ready to be compared.

    Attributes:
        how: the column's settings.
        kind: of the column.
        values: (rows,) numbers, codes, or folded texts.
        known: (rows,) where there is a value.
    """

    how: Compare
    kind: str
    values: NDArray[Any]
    known: NDArray[np.bool_]


def compared_columns(rows: pd.DataFrame, schema: Schema, match: MatchSettings) -> list[Compared]:
    """The columns that are compared, texts last."""
    columns = []
    for name, how in match.compare.items():
        column = schema.column(name)
        known, values = ~is_missing(rows[name], column), rows[name].to_numpy()
        if column.kind == "text":
            values = np.empty(len(rows), dtype=object)
            values[known] = [_fold(text) for text in rows[name].to_numpy(dtype=object)[known]]
        elif column.kind == "number":
            values = column_values(rows, name)
        columns.append(Compared(how, column.kind, values, known))
    return sorted(columns, key=lambda each: each.kind == "text")


def pairs_in_blocks(
    block: NDArray[np.int64], asking: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Each row that asks, with every row that stands before it in its block.

    Args:
        block: (rows,) number of the block, rising.
        asking: (rows,) rows that look for a partner.
    Yields:
        Two arrays of rows, half a million pairs at once or those of one row.
    """
    ask = np.flatnonzero(asking)
    starts = np.searchsorted(block, block[ask])
    numbers = ask - starts
    ends = np.cumsum(numbers)
    begin, done = 0, 0
    while begin < len(ask):
        end = int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right"))
        end = max(begin + 1, end)
        width = numbers[begin:end]
        one = np.repeat(ask[begin:end], width)
        # each run of pairs counts its block's rows from the start
        run_starts = ends[begin:end] - width - done
        other = np.arange(len(one)) - np.repeat(run_starts - starts[begin:end], width)
        yield one, other
        begin, done = end, int(ends[end - 1])


def alike(
    columns: list[Compared],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    match: MatchSettings,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which pairs may be of the same thing.

    Args:
        columns: from ``compared_columns``.
        left, right: (pairs,) rows.
        match: with the threshold.
    Returns:
        (alike,) places among the pairs, rising, and their scores, at least the threshold.
    """
    known = [each.known[left] & each.known[right] for each in columns]
    weights = [
        np.where(here, each.how.weight, 0.0) for each, here in zip(columns, known, strict=True)
    ]
    total = np.add.reduce(weights)
    least = match.least_evidence * sum(each.how.weight for each in columns)
    places = np.flatnonzero((total > 0) & (total >= least - ROUNDING))
    # the score as it would be if all that has not been compared yet were equal
    best = total.copy()
    for each, weight in zip(columns, weights, strict=True):
        some = places[weight[places] > 0]
        similarity = _similarity(each, left[some], right[some])
        best[some] -= weight[some] * (1.0 - similarity)
        places = places[best[places] >= (match.threshold - ROUNDING) * total[places]]
    return places, best[places] / total[places]


def _similarity(
    column: Compared, left: NDArray[np.intp], right: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(pairs,) from 0 to 1; both values are known."""
    one, other = column.values[left], column.values[right]
    if column.kind == "category":
        return np.asarray(one == other, dtype=np.float64)
    if column.kind == "text":
        scorer = RATIOS[column.how.ratio]
        scores = process.cpdist(one.tolist(), other.tolist(), scorer=scorer, dtype=np.float64)
        return np.asarray(scores) / 100.0
    difference = np.abs(one - other)
    allowed = column.how.tolerance * np.maximum(np.abs(one), np.abs(other))
    if not column.how.tolerance:
        return np.asarray(difference == 0, dtype=np.float64)
    far = np.divide(difference, allowed, out=np.zeros_like(difference), where=allowed > 0)
    return np.asarray(np.clip(2.0 - far, 0.0, 1.0))


def _fold(text: str) -> str:
    """The text without regard to case and to how many blanks there are."""
    return " ".join(text.casefold().split())
