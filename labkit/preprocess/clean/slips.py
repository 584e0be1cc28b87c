"""Unit slips: a value ten times too large or too small is put right, not thrown away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def corrected(
    values: NDArray[np.float64],
    slips: Sequence[float],
    fits: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """(rows,) each value divided or multiplied by the one factor that makes it fit.

    Args:
        values: (rows,) that are not believed as they are.
        slips: factors above 1; each is tried both ways.
        fits: whether corrected values, (rows,), are well inside what is believed.
    Returns:
        NaN where no factor fits, or several do: then nobody can tell.
    """
    found = np.full(len(values), np.nan)
    count = np.zeros(len(values), dtype=np.int8)
    for slip in slips:
        for candidate in (values / slip, values * slip):
            fitting = fits(candidate)
            found[fitting] = candidate[fitting]
            count += fitting
    return np.where(count == 1, found, np.nan)
