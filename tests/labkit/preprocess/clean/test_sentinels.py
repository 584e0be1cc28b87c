"""Numbers that stand for "missing" are known by how often they repeat."""

from __future__ import annotations

from labkit.preprocess.clean.sentinels import find_heavy, find_sentinels

MEASURED = [(1.0, 1), (5.0, 1), (9.0, 1), (10.0, 1), (11.0, 1), (15.0, 1), (19.0, 1)]


def test_a_value_far_out_that_repeats_is_a_sentinel() -> None:
    outside = {-999.0: 40, -99.9: 12, 55.5: 2, 61.0: 1, 9999.0: 9}
    assert find_sentinels(outside, MEASURED) == (-999.0, -99.9)


def test_it_may_be_a_quantile_itself() -> None:
    edges = [(-999.0, 400), *MEASURED[1:]]
    assert find_sentinels({-999.0: 400}, edges) == (-999.0,)
    assert find_sentinels({-999.0: 400, -1.0: 50}, edges) == (-999.0,), "-1: once -999 is known"


def test_a_value_of_a_tail_whose_values_repeat_anyway_is_none() -> None:
    whole = [(edge, 300) for edge, _ in MEASURED[:-1]]
    outside = {240.0: 60, 300.0: 55, 9999.0: 2500}
    assert find_sentinels(outside, [*whole, (190.0, 120)]) == (9999.0,)
    assert find_sentinels(outside, [*whole, (190.0, 300)]) == ()
    assert find_sentinels({}, MEASURED) == ()
    minutes = {float(minute): 50 for minute in range(60, 70)}
    assert find_sentinels({-99.0: 50} | minutes, MEASURED) == (-99.0,), "ten on a side are a tail"


def test_sentinels_that_are_a_third_of_a_column_leave_no_fence_but_lie_apart() -> None:
    third = [(-999.0, 300)] * 3 + MEASURED[3:]
    assert find_heavy(third) == (-999.0,)
    assert find_heavy([*MEASURED[:4], *[(9e4, 300)] * 3]) == (90_000.0,)
    assert find_heavy(MEASURED) == ()


def test_many_zeros_are_none() -> None:
    zeros = [(0.0, 300)] * 4
    assert find_heavy([*zeros, (1.0, 9), (2.0, 9), (9.0, 1)]) == (), "the rest begins nearby"
    assert find_heavy([*zeros, (1.0, 300), (1.0, 300), (1.0, 300)]) == (), "yes and no"
    nan = float("nan")
    assert find_heavy([(nan, 0)] * 7) == ()
