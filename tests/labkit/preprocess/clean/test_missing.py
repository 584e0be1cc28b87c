"""What is put into gaps: by group, and exact however the rows are cut."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd

from labkit.preprocess.clean.missing import (
    Fill,
    fill_of,
    frequent,
    group_moments,
    merge_means,
    mode_of,
)


def test_each_row_is_filled_from_its_own_group_and_unknown_ones_from_all() -> None:
    frame = pd.DataFrame({"quarry": np.array([0, 1, -1], dtype=np.int32)})
    own = np.array([1, -1, 0], dtype=np.int32)
    by_label = Fill(method="group_median", values=(1.0, 2.0, 9.0))
    assert by_label.at(frame, own).tolist() == [2.0, 9.0, 1.0]
    by_quarry = Fill(method="group_median", values=(1.0, 2.0, 9.0), group="quarry")
    assert by_quarry.at(frame, own).tolist() == [1.0, 2.0, 9.0]
    assert Fill(method="constant", values=(5.0,)).at(frame, own).tolist() == [5.0] * 3


def test_a_group_without_values_borrows_that_of_all_rows() -> None:
    fill = fill_of("group_mean", [1.0, np.nan, 3.0], "")
    assert fill is not None
    assert fill.values == (1.0, 3.0, 3.0)
    assert fill_of("group_mean", [1.0, np.nan], "") is None
    assert Fill.from_dict(json.loads(json.dumps(fill.to_dict()))) == fill


def test_means_are_the_same_to_the_last_bit_however_rows_are_cut() -> None:
    random = np.random.default_rng(0)
    values = random.lognormal(0, 8, 5000)
    values[::7] = np.nan
    values[3] = np.inf
    codes = random.integers(-1, 3, 5000).astype(np.int32)
    found = [
        merge_means([group_moments(values[a:b], codes[a:b], 4) for a, b in pairwise(cuts)])
        for cuts in ([0, 5000], [0, 1, 1, 700, 5000])
    ]
    np.testing.assert_array_equal(found[0], found[1])
    finite = np.isfinite(values)
    for code in range(3):
        np.testing.assert_allclose(found[0][code], values[finite & (codes == code)].mean())
    assert np.isnan(found[0][3])
    np.testing.assert_allclose(found[0][4], values[finite].mean())


def test_the_mode_is_the_most_frequent_value_if_it_is_frequent() -> None:
    assert frequent(np.array([3.0, 3.0, 1.0, np.nan])) == [1.0, 3.0]
    assert frequent(np.arange(1000.0)) == []
    assert frequent(np.array([])) == []
    assert mode_of({3.0: 5, 1.0: 5, 2.0: 4}, 14) == 1.0, "the least of equals"
    assert np.isnan(mode_of({3.0: 2}, 1000)), "two of a thousand are luck"
    assert np.isnan(mode_of({}, 0))
