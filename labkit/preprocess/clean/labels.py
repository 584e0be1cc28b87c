"""Wrong labels: a row whose evidence speaks for exactly one other class.

Every evidence column is compared with each class's median and robust spread, as if it were normal
on its scale; log-likelihoods are added up. Columns that vary together say the same thing twice, so
related ones count once, by their mean. One column says no more than at ``CAP`` standard
deviations: it may be wrong itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.clean.fences import Fences

CAP = 6.0


def right_labels(
    evidence: Sequence[Sequence[NDArray[np.float64]]],
    fences: Sequence[Sequence[Fences]],
    own: NDArray[np.int32],
    log_odds: float,
) -> NDArray[np.int32]:
    """(rows,) the label, or the one class that the evidence speaks for against it.

    Args:
        evidence: groups of related columns, (rows,) each, NaN where not known or not believed.
        fences: of each of these columns.
        own: (rows,) codes of the labels, none ``MISSING``.
        log_odds: natural logarithm of how many times likelier the other class must be than the
            row's own and than any third.
    """
    num_classes = len(fences[0][0].middle) - 1
    score = np.zeros((num_classes, len(own)))
    possible = np.ones((num_classes, len(own)), dtype=bool)
    for columns, their_fences in zip(evidence, fences, strict=True):
        present = np.stack([~np.isnan(values) for values in columns])
        weight = 1 / np.maximum(present.sum(axis=0), 1)
        for values, fence in zip(columns, their_fences, strict=True):
            known = ~np.isnan(values)
            for code in range(num_classes):
                said = _log_likelihood(fence.scaled(values), fence, code)
                score[code] += np.where(known, said * weight, 0.0)
                possible[code] &= ~known | fence.inside(values, code)
    rows = np.arange(len(own))
    own_score = score[own, rows].copy()
    score[own, rows] = -np.inf
    best = score.argmax(axis=0)
    best_score = score[best, rows].copy()
    score[best, rows] = -np.inf
    rival = np.maximum(own_score, score.max(axis=0))
    sure = possible[best, rows] & (best_score - rival >= log_odds)
    return np.where(sure, best, own).astype(np.int32)


def suspects(
    evidence: Mapping[str, NDArray[np.float64]],
    fences: Mapping[str, Fences],
    own: NDArray[np.int32],
) -> NDArray[np.intp]:
    """Rows some of whose evidence lies outside the near fences of their own class."""
    doubtful = np.zeros(len(own), dtype=bool)
    for name, values in evidence.items():
        doubtful |= ~np.isnan(values) & ~fences[name].believed(values, own, near=True)
    return np.flatnonzero(doubtful & (own >= 0))


def grouped(evidence: Sequence[str], related: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The evidence columns, related ones together, in their order."""
    groups: list[list[str]] = []
    for name in evidence:
        partners = {other for pair in related if name in pair for other in pair}
        home = next((group for group in groups if partners & set(group)), None)
        if home is None:
            groups.append([name])
        else:
            home.append(name)
    return groups


def _log_likelihood(scaled: NDArray[np.float64], fences: Fences, code: int) -> NDArray[np.float64]:
    sigma, middle = fences.sigma[code], fences.middle[code]
    if not sigma > 0:  # a class without values or without spread: nothing to go by
        return np.full(len(scaled), -(CAP**2) / 2)
    z = np.minimum(np.abs(scaled - middle) / sigma, CAP)
    likelihood: NDArray[np.float64] = -(z**2) / 2 - np.log(sigma)
    return likelihood
