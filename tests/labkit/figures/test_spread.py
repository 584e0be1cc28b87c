"""Labels beside lines that meet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from labkit.figures.spread import spread_apart


def test_labels_that_do_not_touch_stay_where_they_are() -> None:
    assert spread_apart([0.2, 0.8, 0.5], [0.1, 0.1, 0.1]) == pytest.approx([0.2, 0.8, 0.5])


def test_labels_that_meet_are_pushed_apart_evenly() -> None:
    assert spread_apart([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])
    assert spread_apart([0.52, 0.5, 0.5], [0.2, 0.1, 0.1]) == pytest.approx([0.64, 0.39, 0.49])


def test_no_label_leaves_the_axis_while_all_of_them_fit() -> None:
    assert spread_apart([0.0, 0.0], [0.2, 0.2]) == pytest.approx([0.1, 0.3])
    assert spread_apart([1.0, 1.0], [0.2, 0.2]) == pytest.approx([0.7, 0.9])


def test_labels_never_overlap_and_keep_their_order() -> None:
    random = np.random.default_rng(0)
    for count in range(1, 9):
        wanted, sizes = random.random(count).tolist(), (0.2 * random.random(count)).tolist()
        places = spread_apart(wanted, sizes)
        order = sorted(range(count), key=lambda i: wanted[i])
        for lower, upper in pairwise(order):
            assert places[upper] - places[lower] >= (sizes[lower] + sizes[upper]) / 2 - 1e-9


def test_no_label_needs_no_place() -> None:
    assert spread_apart([], []) == []
