"""The order of samples: each once an epoch, decided by seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.train.order import BLOCK_SHUFFLE_FROM, BlockShuffle, FullShuffle, make_order


def test_small_data_are_permuted_as_a_whole_and_large_data_by_blocks() -> None:
    assert isinstance(make_order(BLOCK_SHUFFLE_FROM - 1, 0), FullShuffle)
    assert isinstance(make_order(BLOCK_SHUFFLE_FROM, 0), BlockShuffle)


def test_a_full_shuffle_is_the_permutation_that_runs_were_recorded_with() -> None:
    expected = np.random.default_rng((7, 2)).permutation(100)
    np.testing.assert_array_equal(FullShuffle(100, 7).indices(2, 10, 30), expected[10:30])


@pytest.mark.parametrize("num_samples", [1, 7, 8, 63, 64, 65, 100, 128, 1000])
def test_blocks_visit_every_sample_once_in_any_cut(num_samples: int) -> None:
    order = BlockShuffle(num_samples, 3, block=8, window=4)
    for epoch in range(3):
        whole = order.indices(epoch, 0, num_samples)
        assert sorted(whole) == list(range(num_samples))
        for size in (1, 5, 32, 33):
            pieces = [order.indices(epoch, at, at + size) for at in range(0, num_samples, size)]
            np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_epochs_and_seeds_give_other_orders_and_going_back_gives_the_same() -> None:
    order = BlockShuffle(500, 0, block=8, window=4)
    first = order.indices(0, 0, 500)
    assert not np.array_equal(first, order.indices(1, 0, 500))
    assert not np.array_equal(first, BlockShuffle(500, 1, block=8, window=4).indices(0, 0, 500))
    np.testing.assert_array_equal(first, order.indices(0, 0, 500))


def test_samples_of_a_window_come_from_its_blocks_only_and_mixed() -> None:
    order = BlockShuffle(1000, 0, block=10, window=5)
    window = order.indices(0, 50, 100)
    blocks = np.unique(window // 10)
    assert len(blocks) == 5
    assert sorted(window) == sorted(
        np.concatenate([np.arange(b * 10, b * 10 + 10) for b in blocks])
    )
    assert (np.diff(window) == 1).sum() < 10, "not stretches of neighbours"


def test_beyond_the_end_of_an_epoch_there_is_nothing() -> None:
    order = BlockShuffle(20, 0, block=8, window=2)
    assert len(order.indices(0, 18, 30)) == 2
    assert len(order.indices(0, 24, 30)) == 0
    assert order.pieces(0, 24, 30) == []
