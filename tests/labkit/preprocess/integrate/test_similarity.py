"""Scores of pairs, and that leaving hopeless pairs out early changes none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rapidfuzz import fuzz

from labkit.preprocess.integrate import similarity
from labkit.preprocess.integrate.settings import Compare, MatchSettings
from labkit.preprocess.integrate.similarity import alike, compared_columns, pairs_in_blocks
from labkit.preprocess.schema import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="name", kind="text"),
        Column(name="weight_g"),
        Column(name="city", kind="category", names=("Faro", "Fresno")),
    )
)


def settings(threshold: float = 0.01, **compare: Compare) -> MatchSettings:
    return MatchSettings(block=("city",), compare=compare, threshold=threshold, least_evidence=0.5)


def rows(name: list[str | None], weight_g: list[float], city: list[int]) -> pd.DataFrame:
    texts = pd.Series(name, dtype=object)
    return pd.DataFrame(
        {"name": texts, "weight_g": weight_g, "city": np.array(city, dtype=np.int32)}
    )


def score(frame: pd.DataFrame, match: MatchSettings) -> float | None:
    columns = compared_columns(frame, SCHEMA, match)
    places, scores = alike(columns, np.array([0]), np.array([1]), match)
    return float(scores[0]) if len(places) else None


def test_texts_are_compared_without_case_and_blanks() -> None:
    frame = rows([" Ana  Lopez", "ANA LOPEZ "], [1, 1], [0, 0])
    assert score(frame, settings(name=Compare())) == 1.0
    frame = rows(["Lopez Ana", "Ana Lopez"], [1, 1], [0, 0])
    assert score(frame, settings(name=Compare())) == pytest.approx(
        fuzz.ratio("lopez ana", "ana lopez") / 100
    )
    assert score(frame, settings(name=Compare(ratio="words"))) == 1.0


@pytest.mark.parametrize(
    ("weight", "tolerance", "expected"),
    [
        (98.0, 0.02, 1.0),
        (97.0, 0.02, 0.5),
        (96.0, 0.02, None),
        (100.0, 0.0, 1.0),
        (99.9, 0.0, None),
    ],
)
def test_numbers_are_equal_within_the_tolerance_and_unlike_at_twice_of_it(
    weight: float, tolerance: float, expected: float | None
) -> None:
    found = score(
        rows(["a", "b"], [100.0, weight], [0, 0]), settings(weight_g=Compare(tolerance=tolerance))
    )
    assert found == (None if expected is None else pytest.approx(expected))


def test_zero_and_zero_are_equal() -> None:
    assert score(rows(["a", "b"], [0.0, 0.0], [0, 0]), settings(weight_g=Compare())) == 1.0


def test_the_score_is_the_weighted_mean_of_what_both_know() -> None:
    match = settings(
        name=Compare(weight=2), weight_g=Compare(tolerance=0.02), city=Compare(weight=1)
    )
    assert score(rows(["ab", "ab"], [100, 97], [0, 1]), match) == pytest.approx(2.5 / 4)
    assert score(rows(["ab", "ab"], [100, np.nan], [0, 1]), match) == pytest.approx(2 / 3)
    # only weight and city are known: half of the evidence, just enough
    assert score(rows(["ab", None], [100, 100], [0, 0]), match) == 1.0
    assert score(rows(["ab", None], [100, np.nan], [0, 0]), match) is None
    assert score(rows([None, None], [np.nan, np.nan], [-1, -1]), match) is None


def test_pairs_that_are_left_out_early_would_not_have_reached_the_threshold() -> None:
    rng = np.random.default_rng(2)
    names = ["".join(rng.choice(list("abc"), 4)) for _ in range(60)]
    frame = rows(list(names), rng.uniform(95, 105, 60).tolist(), rng.integers(-1, 2, 60).tolist())
    compare = {"name": Compare(weight=2), "weight_g": Compare(), "city": Compare()}
    left, right = (each.ravel() for each in np.meshgrid(np.arange(60), np.arange(60)))
    every = settings(1e-9, **compare)
    _, scores = alike(compared_columns(frame, SCHEMA, every), left, right, every)
    match = settings(0.8, **compare)
    places, found = alike(compared_columns(frame, SCHEMA, match), left, right, match)
    expected = scores[scores >= 0.8 - 1e-9]
    assert 0 < len(found) < len(left) / 2
    np.testing.assert_array_equal(found, expected)
    assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_every_pair_of_a_block_comes_once(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "PAIRS_AT_ONCE", at_once)
    block = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    asking = np.array([False, True, True, True, False, False, True, True])
    pairs = [
        pair
        for one, other in pairs_in_blocks(block, asking)
        for pair in zip(one.tolist(), other.tolist(), strict=True)
    ]
    assert pairs == [(1, 0), (2, 0), (2, 1), (6, 4), (6, 5), (7, 4), (7, 5), (7, 6)]


def test_nobody_asks() -> None:
    assert list(pairs_in_blocks(np.array([0, 0]), np.array([False, False]))) == []
