"""A value is put right by the one factor that makes it fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labkit.preprocess.clean.slips import corrected


def between_5_and_15(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values > 5) & (values < 15)


def test_the_factor_is_tried_both_ways() -> None:
    new = corrected(np.array([70.0, 0.9, 9000.0, 300.0]), (10.0, 1000.0), between_5_and_15)
    np.testing.assert_array_equal(new, [7.0, 9.0, 9.0, np.nan])


def test_where_several_factors_fit_nobody_can_tell() -> None:
    new = corrected(np.array([100.0, np.nan]), (10.0, 12.0), between_5_and_15)
    assert np.isnan(new).all()
    assert np.isnan(corrected(np.array([100.0]), (), between_5_and_15)).all()
