"""A label is changed only where the evidence speaks for exactly one other class."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labkit.preprocess.clean.fences import FRACTIONS, Fences, tukey
from labkit.preprocess.clean.labels import grouped, right_labels, suspects


def fences_of(*middles: float, sigma: float = 1.0) -> Fences:
    random = np.random.default_rng(1)
    groups = [random.normal(middle, sigma, 5000) for middle in middles]
    groups.append(np.concatenate(groups))
    return tukey(
        [dict(zip(FRACTIONS, np.quantile(g, FRACTIONS), strict=True)) for g in groups],
        log=False,
        factor=3.0,
    )


SIZE = fences_of(0.0, 10.0, 20.0)
COLOUR = fences_of(0.0, 10.0, 0.0)
ODDS = math.log(1000)


def right(size: float, colour: float, own: int, *, related: bool = False) -> int:
    columns = [np.array([size]), np.array([colour])]
    groups = [columns] if related else [[column] for column in columns]
    fences = [[SIZE, COLOUR]] if related else [[SIZE], [COLOUR]]
    return int(right_labels(groups, fences, np.array([own], dtype=np.int32), ODDS)[0])


@pytest.mark.parametrize(
    ("size", "colour", "own", "expected"),
    [
        (10.0, 10.0, 0, 1),  # both say the other class
        (10.0, np.nan, 0, 1),  # one says so, the other says nothing
        (np.nan, np.nan, 0, 0),  # nothing is said
        (np.nan, 0.0, 1, 1),  # two others fit as well: nobody can tell
        (20.0, 0.0, 1, 2),  # two others by colour, one by size
        (5.0, np.nan, 0, 0),  # halfway between
        (10.0, 0.0, 0, 0),  # one against, one for: no class fits both
        (0.3, 0.2, 0, 0),  # as it should be
    ],
)
def test_the_evidence_decides(size: float, colour: float, own: int, expected: int) -> None:
    assert right(size, colour, own) == expected


def test_columns_that_say_the_same_thing_count_once() -> None:
    # 5.6 sigma from the own class and 4.4 from the other: each column gives odds of exp(6)
    assert right(5.6, 5.6, 0) == 1, "two columns give exp(12)"
    assert right(5.6, 5.6, 0, related=True) == 0, "said twice, it is not twice as sure"
    assert right(6.0, np.nan, 0, related=True) == 1, "the one that is there counts in full"
    assert right(5.0, 5.2, 0) == 0, "outside the other class's fences"


def test_a_class_without_spread_says_nothing_about_its_rows() -> None:
    constant = dict.fromkeys(FRACTIONS, 3.0)
    fences = tukey([constant, constant, constant], log=False, factor=3.0)
    own = np.array([0, 1], dtype=np.int32)
    assert right_labels([[np.array([3.0, 9.0])]], [[fences]], own, ODDS).tolist() == [0, 1]


def test_only_rows_at_odds_with_their_own_class_are_looked_at() -> None:
    own = np.array([0, 0, 0, -1], dtype=np.int32)
    rows = suspects({"size": np.array([0.0, 10.0, np.nan, 99.0])}, {"size": SIZE}, own)
    assert rows.tolist() == [1]


def test_related_columns_are_heard_together() -> None:
    assert grouped(["a", "b", "c", "d"], [("c", "a")]) == [["a", "c"], ["b"], ["d"]]
    assert grouped(["a"], [("x", "y")]) == [["a"]]
