"""Cells as people and machines write them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from labkit.preprocess.cells import READS
from labkit.preprocess.fruit_files import SPELLINGS

NAN = float("nan")


@pytest.mark.parametrize(
    ("read", "cells", "values", "unreadable"),
    [
        ("number", [1.5, None, NAN, np.inf], [1.5, NAN, NAN, NAN], [0, 0, 0, 1]),
        ("number", ["3", " ", "about 4", ""], [3.0, NAN, NAN, NAN], [0, 0, 1, 0]),
        ("size_cm", ["2 in", "7,5 cm", "75mm", "big", "7.5", ""],
         [5.08, 7.5, 7.5, NAN, NAN, NAN], [0, 0, 0, 1, 1, 0]),
        ("hex_red", ["#ff8000", "#FF8000", "ff8000", "#zz8000", None],
         [255, 255, NAN, NAN, NAN], [0, 0, 1, 1, 0]),
        ("hex_green", ["#ff8000"], [128], [0]),
        ("hex_blue", ["#ff8010"], [16], [0]),
        ("word_green", ["Dark Green", "pink", ""], [140, NAN, NAN], [0, 1, 0]),
        ("city", ["Faro", "FARO", "Paris"], [2, 2, NAN], [0, 0, 1]),
    ],
)  # fmt: skip
def test_cells_are_read_or_counted_as_unreadable(
    read: str, cells: list[object], values: list[float], unreadable: list[int]
) -> None:
    found = READS[read](pd.Series(cells), 1.0)
    np.testing.assert_allclose(found.values, values)
    assert_array_equal(found.unreadable, np.array(unreadable, dtype=bool))


def test_factors_change_the_unit() -> None:
    assert READS["number"](pd.Series(["2"]), 453.59237).values[0] == pytest.approx(907.18474)


@pytest.mark.parametrize("code", [0, 1])
def test_every_spelling_of_a_fruit_is_known(code: int) -> None:
    found = READS["fruit"](pd.Series(SPELLINGS[code]), 1.0)
    assert_array_equal(found.values, np.full(len(SPELLINGS[code]), float(code)))


def test_a_column_of_nulls_is_empty_and_not_unreadable() -> None:
    found = READS["number"](pd.Series([None, None], dtype=object), 1.0)
    assert np.isnan(found.values).all()
    assert not found.unreadable.any()
