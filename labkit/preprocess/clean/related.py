"""Columns that vary together: an error that each alone would hide, and the best guess at a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.clean.fences import Fences
from labkit.preprocess.clean.kinds import NOISE, SLIP
from labkit.preprocess.clean.settings import Related
from labkit.preprocess.clean.slips import corrected
from labkit.preprocess.schema import MISSING


def log_ratio(
    first: NDArray[np.float64], second: NDArray[np.float64], power: float
) -> NDArray[np.float64]:
    """(rows,) log(first / second ** power), NaN where either is missing or not above 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = [np.log(np.where(values > 0, values, np.nan)) for values in (first, second)]
    ratio: NDArray[np.float64] = logs[0] - power * logs[1]
    return ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A relation as it was found: the fences of its log ratio."""

    relation: Related
    ratio: Fences


def repair_pair(
    values: dict[str, NDArray[np.float64]],
    kinds: Mapping[str, NDArray[np.int8]],
    own: NDArray[np.int32],
    pair: Pair,
    fences: Mapping[str, Fences],
    slips: Mapping[str, Sequence[float]],
) -> None:
    """Put right or remove the value that breaks a relation; ``values`` and ``kinds`` are changed.

    A column is to blame when one of its unit slips mends the row: both values and their ratio are
    then well inside one class. Else, when it alone lies outside its near fences. Where neither can
    be told from the other, both are kept.
    """
    columns = pair.relation.columns
    ratio = log_ratio(values[columns[0]], values[columns[1]], pair.relation.power)
    rows = np.flatnonzero(~np.isnan(ratio) & ~pair.ratio.believed(ratio, own))
    if not len(rows):
        return
    first, second = (values[name][rows] for name in columns)
    label = own[rows]
    mended = [
        corrected(first, slips[columns[0]], lambda new: _fit(new, second, label, pair, fences)),
        corrected(second, slips[columns[1]], lambda new: _fit(first, new, label, pair, fences)),
    ]
    odd = [~fences[name].believed(values[name][rows], label, near=True) for name in columns]
    for name, new, other_new, alone in (
        (columns[0], mended[0], mended[1], odd[0] & ~odd[1]),
        (columns[1], mended[1], mended[0], odd[1] & ~odd[0]),
    ):
        slip = ~np.isnan(new) & np.isnan(other_new)
        noise = alone & np.isnan(new) & np.isnan(other_new)
        values[name][rows[slip]] = new[slip]
        kinds[name][rows[slip]] = SLIP
        values[name][rows[noise]] = np.nan
        kinds[name][rows[noise]] = NOISE


def _fit(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    own: NDArray[np.int32],
    pair: Pair,
    fences: Mapping[str, Fences],
) -> NDArray[np.bool_]:
    """(rows,) whether both values and their ratio are well inside one and the same class."""
    ratio = log_ratio(first, second, pair.relation.power)
    fit = np.zeros(len(own), dtype=bool)
    for code in pair.ratio.classes:
        fit |= (
            ((own == code) | (own == MISSING))
            & fences[pair.relation.columns[0]].inside(first, code, near=True)
            & fences[pair.relation.columns[1]].inside(second, code, near=True)
            & pair.ratio.inside(ratio, code, near=True)
        )
    return fit


def predicted(
    values: Mapping[str, NDArray[np.float64]], own: NDArray[np.int32], pair: Pair, column: str
) -> NDArray[np.float64]:
    """(rows,) one column of a pair from the other and the usual ratio; NaN without it."""
    first, second = pair.relation.columns
    usual = np.take(pair.ratio.middle, own, mode="wrap")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if column == first:
            guess = np.exp(usual) * np.power(values[second], pair.relation.power)
        else:
            guess = np.power(values[first] / np.exp(usual), 1 / pair.relation.power)
    found: NDArray[np.float64] = np.where(np.isfinite(guess), guess, np.nan)
    return found
