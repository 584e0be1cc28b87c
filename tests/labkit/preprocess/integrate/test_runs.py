"""Rows of a thing are found as a sort by key and source would find them."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.preprocess.integrate import runs
from labkit.preprocess.integrate.runs import first_present, order_by_thing, runs_of


@pytest.mark.parametrize("most_bits", [27, 3])
def test_the_order_is_that_of_a_stable_sort_by_key_and_source(
    most_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the number of rows that fit beside a key it is that sort itself."""
    monkeypatch.setattr(runs, "MOST_ROW_BITS", most_bits)
    random = np.random.default_rng(0)
    for num_rows in (0, 1, 2, 5000):
        keys = random.choice(np.array([-(2**63), -7, 0, 1, 2**62, 2**63 - 1]), num_rows)
        keys = np.where(random.random(num_rows) < 0.5, keys, random.integers(0, 2000, num_rows))
        said_by = random.integers(0, 127, num_rows).astype(np.int8)
        order = order_by_thing(keys, said_by)
        np.testing.assert_array_equal(order, np.lexsort((said_by, keys)))


def test_things_of_several_rows_are_told_from_the_others() -> None:
    found = runs_of(np.array([0, 1, 4, 5]), 8)
    assert found.many.tolist() == [1, 3]
    assert found.rows.tolist() == [1, 2, 3, 5, 6, 7]
    assert found.offsets.tolist() == [0, 3]
    present = np.array([False, False, True, True, True, False, False, False])
    assert first_present(present, found).tolist() == [-1, 2, 4, -1]
    alone = runs_of(np.arange(3), 3)
    assert first_present(np.array([True, False, True]), alone).tolist() == [0, -1, 2]
    nothing = runs_of(np.empty(0, dtype=np.intp), 0)
    assert first_present(np.empty(0, dtype=bool), nothing).tolist() == []
