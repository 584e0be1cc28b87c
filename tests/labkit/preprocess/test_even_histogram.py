"""Histograms with even edges are those of a search."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.preprocess.even_histogram import count_even


@pytest.mark.parametrize(("low", "high"), [(-6.0, 6.0), (0.1, 0.7), (1e9, 1e9 + 1), (0.0, 1e-300)])
def test_counts_are_those_of_a_search_to_the_last_edge(low: float, high: float) -> None:
    edges = np.linspace(low, high, 41)
    random = np.random.default_rng(0)
    values = np.concatenate(
        [
            random.uniform(2 * low - high, 2 * high - low, 500),
            edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf),
            [np.nan, -1e300, 1e300],
        ]
    )  # fmt: skip
    labels = random.integers(-1, 2, len(values)).astype(np.int32)
    counts = count_even(values, labels, edges, ("a", "b"))
    for code, name in enumerate(("a", "b")):
        mine = values[(labels == code) & ~np.isnan(values)]
        places = np.searchsorted(edges, mine, side="right")
        np.testing.assert_array_equal(counts[name], np.bincount(places, minlength=42))
