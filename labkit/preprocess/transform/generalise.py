"""Generalisation: a value is replaced by a concept above it: city, province, country.

The hierarchy is data, not code. Numbers climb too: an interval has a name (7.4 cm is small), and
names have names above them. Source: Han, Cai & Cercone 1993, "Data-driven discovery of quantitative
rules in relational databases", doi:10.1109/69.204089.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.schema import MISSING
from labkit.preprocess.transform.settings import Generalise

OTHER = "other"  # what the hierarchy does not place


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """How the values of one column climb.

    Attributes:
        edges: ends of a number's intervals, ``edges[i - 1] <= value < edges[i]``; empty where the
            column holds categories.
        target: for each category or interval, the code of the concept above.
        names: of the concepts.
        unplaced: categories that the hierarchy does not place; they became ``OTHER``.
    """

    edges: tuple[float, ...]
    target: tuple[int, ...]
    names: tuple[str, ...]
    unplaced: tuple[str, ...] = ()

    def codes(self, values: NDArray[np.float64] | NDArray[np.int32]) -> NDArray[np.int32]:
        """(rows,) codes of concepts from numbers or categories; a gap stays ``MISSING``."""
        if self.edges:
            low = np.searchsorted(np.asarray(self.edges), values, side="right")
            low[np.isnan(values)] = MISSING
        else:
            low = np.asarray(values, dtype=np.int64)
        # one more at the end, so that what is missing or unknown is looked up there
        table = np.array([*self.target, MISSING], dtype=np.int32)
        lifted: NDArray[np.int32] = table[
            np.where((low < 0) | (low >= len(self.target)), len(self.target), low)
        ]
        return lifted


def make_lift(names: Sequence[str], settings: Generalise) -> Lift:
    """The climb of one column.

    Args:
        names: of the column's categories; not looked at where the settings give intervals.
        settings: the hierarchy and how far up.
    """
    low = settings.names if settings.edges else tuple(names)
    above = [settings.above(name) for name in low]
    unplaced = tuple(name for name, concept in zip(low, above, strict=True) if concept is None)
    concepts = list(dict.fromkeys(concept for concept in above if concept is not None))
    if unplaced and OTHER not in concepts:
        concepts.append(OTHER)
    code = {concept: place for place, concept in enumerate(concepts)}
    return Lift(
        edges=settings.edges,
        target=tuple(code[OTHER if concept is None else concept] for concept in above),
        names=tuple(concepts),
        unplaced=unplaced,
    )
