"""Joining what is alike, the best first and one-to-one."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from labkit.preprocess.integrate.clusters import join_best


def join(
    has_key: list[bool], said_by: list[int], pairs: list[tuple[int, int, float]]
) -> tuple[list[int], list[float]]:
    one, other, scores = zip(*pairs, strict=True)
    roots, joined = join_best(
        has_key, said_by, np.array(one), np.array(other), np.array(scores, dtype=np.float64)
    )
    return roots.tolist(), joined.tolist()


def test_the_most_alike_is_taken_and_the_other_stays_alone() -> None:
    roots, joined = join([True, False, False], [1, 2, 2], [(1, 0, 0.91), (2, 0, 0.95)])
    assert roots == [0, 1, 0]
    assert joined == [0.95]


def test_two_things_with_keys_are_never_joined_not_even_by_a_third() -> None:
    roots, _ = join([True, True, False], [1, 2, 4], [(2, 0, 0.99), (2, 1, 0.98), (1, 0, 1.0)])
    assert roots == [0, 1, 0]


def test_three_sources_without_keys_find_each_other() -> None:
    roots, joined = join([False] * 3, [1, 2, 4], [(2, 1, 0.9), (1, 0, 0.95)])
    assert roots == [0, 0, 0]
    assert joined == [0.95, 0.9]


def test_one_source_does_not_describe_a_thing_twice_through_others() -> None:
    roots, _ = join([False] * 3, [1, 2, 1], [(1, 0, 0.95), (2, 1, 0.94)])
    assert roots == [0, 0, 2]


def test_equal_scores_do_not_depend_on_the_order_of_pairs() -> None:
    pairs = [(2, 0, 0.9), (2, 1, 0.9), (3, 0, 0.9), (3, 1, 0.9)]
    found = {
        tuple(join([True, True, False, False], [1, 1, 2, 2], list(each))[0])
        for each in permutations(pairs)
    }
    assert found == {(0, 1, 0, 1)}


def test_no_pairs_leave_all_alone() -> None:
    none = np.empty(0, dtype=np.int64)
    roots, joined = join_best([True, False], [1, 2], none, none, np.empty(0))
    assert roots.tolist() == [0, 1]
    assert joined.tolist() == []
