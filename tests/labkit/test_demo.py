"""The demo's choice of device counts."""

from __future__ import annotations

import pytest

from labkit.demo import device_counts


@pytest.mark.parametrize(
    ("num_workers", "counts"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2)), (4, (1, 2, 4)), (7, (1, 2, 4)), (16, (1, 2, 4, 8))],
)
def test_the_sweep_goes_to_the_greatest_count_that_every_strategy_can_use(
    num_workers: int, counts: tuple[int, ...]
) -> None:
    assert device_counts(num_workers) == counts
