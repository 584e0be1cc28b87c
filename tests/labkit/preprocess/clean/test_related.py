"""Two columns that vary together show which of them is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from labkit.preprocess.clean.fences import FRACTIONS, Fences, tukey
from labkit.preprocess.clean.kinds import KEPT, NOISE, SLIP
from labkit.preprocess.clean.related import Pair, log_ratio, predicted, repair_pair
from labkit.preprocess.clean.settings import Related

RANDOM = np.random.default_rng(3)
EDGE = np.exp(RANDOM.normal(3.0, 0.5, 20_000))
MASS = 0.5 * EDGE**3 * np.exp(RANDOM.normal(0, 0.05, 20_000))


def fences_of(values: NDArray[np.float64], *, log: bool) -> Fences:
    quantiles = dict(zip(FRACTIONS, np.quantile(values, FRACTIONS), strict=True))
    return tukey([quantiles], log=log, factor=3.0)


PAIR = Pair(
    relation=Related(columns=("mass", "edge"), power=3.0),
    ratio=fences_of(log_ratio(MASS, EDGE, 3.0), log=False),
)
FENCES = {"mass": fences_of(MASS, log=True), "edge": fences_of(EDGE, log=True)}


def repaired(
    mass: float, edge: float, *, slips: dict[str, tuple[float, ...]]
) -> tuple[float, float, int, int]:
    values = {"mass": np.array([mass]), "edge": np.array([edge])}
    kinds = {name: np.zeros(1, dtype=np.int8) for name in values}
    repair_pair(values, kinds, np.array([-1], dtype=np.int32), PAIR, FENCES, slips)
    return (*(float(v[0]) for v in values.values()), *(int(k[0]) for k in kinds.values()))  # type: ignore[return-value]


SLIPS = {"mass": (1000.0,), "edge": (10.0,)}
USUAL = (0.5 * 20.0**3, 20.0)


def test_the_slip_that_mends_the_row_is_put_right_though_each_value_alone_is_believed() -> None:
    mass, edge = 0.5 * 8.0**3, 80.0
    unknown = np.array([-1], dtype=np.int32)
    assert FENCES["edge"].believed(np.array([edge]), unknown).all()
    assert repaired(mass, edge, slips=SLIPS) == (mass, 8.0, KEPT, SLIP)


def test_without_a_slip_the_value_that_is_odd_alone_is_removed() -> None:
    nothing: dict[str, tuple[float, ...]] = {"mass": (), "edge": ()}
    found = repaired(USUAL[0], 200.0, slips=nothing)
    assert found[0] == USUAL[0]
    assert np.isnan(found[1])
    assert found[2:] == (KEPT, NOISE)


def test_where_neither_is_odd_alone_both_are_kept() -> None:
    nothing: dict[str, tuple[float, ...]] = {"mass": (), "edge": ()}
    assert repaired(USUAL[0], 35.0, slips=nothing) == (USUAL[0], 35.0, KEPT, KEPT)


def test_rows_that_agree_or_lack_a_value_are_left_alone() -> None:
    assert repaired(*USUAL, slips=SLIPS) == (*USUAL, KEPT, KEPT)
    assert repaired(5.0, np.nan, slips=SLIPS)[2:] == (KEPT, KEPT)


def test_one_column_is_predicted_from_the_other() -> None:
    own = np.array([-1, -1], dtype=np.int32)
    values = {"mass": np.array([USUAL[0], np.nan]), "edge": np.array([np.nan, 20.0])}
    assert predicted(values, own, PAIR, "edge")[0] == pytest.approx(20.0, rel=0.01)
    assert predicted(values, own, PAIR, "mass")[1] == pytest.approx(USUAL[0], rel=0.01)
    assert np.isnan(predicted(values, own, PAIR, "mass")[0])
    odd = {"mass": np.array([-1.0, 0.0]), "edge": np.array([1.0, 1.0])}
    assert np.isnan(predicted(odd, own, PAIR, "edge")[0]), "no root of a negative mass"
