"""The split depends on the identifier alone."""

from __future__ import annotations

import numpy as np

from labkit.preprocess.split import hash_ids, is_test


def test_about_one_in_ten_tests_and_the_choice_does_not_depend_on_the_other_rows() -> None:
    ids = np.arange(100_000)
    test = is_test(ids)
    assert 0.095 < test.mean() < 0.105
    shuffled = np.random.default_rng(0).permutation(ids)[:1000]
    np.testing.assert_array_equal(is_test(shuffled), test[shuffled])


def test_hashes_are_those_of_the_published_generator() -> None:
    # first outputs of SplitMix64 with seed 1234567, whose state grows by a constant each time
    step = 0x9E3779B97F4A7C15
    state = np.array([1234567, 1234567 + step, 1234567 + 2 * step], dtype=object) % 2**64
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert hash_ids(state.astype(np.uint64).view(np.int64)).tolist() == expected


def test_hashes_spread_evenly_over_buckets() -> None:
    counts = np.bincount((hash_ids(np.arange(64_000)) % np.uint64(64)).astype(int))
    assert counts.min() > 850
    assert counts.max() < 1150
