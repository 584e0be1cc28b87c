"""Counts between edges, over partitions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labkit.preprocess.histogram import count_missing, count_values, merge
from labkit.preprocess.schema import NUMERIC, Partition


def test_counts_by_class_with_what_lies_outside() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"weight_g": random.normal(0, 1, 900), "fruit": random.integers(0, 2, 900)}
    )
    frame.loc[:50, "weight_g"] = np.nan
    edges = [-1.0, 0.0, 0.5, 1.0]
    parts = [Partition(frame=frame.iloc[:300]), Partition(frame=frame.iloc[300:])]
    counted = [count_values(part, columns=["weight_g"], edges=edges) for part in parts]
    found = merge(counted, "weight_g")
    oranges = frame.loc[frame["fruit"] == 0, "weight_g"].dropna()
    assert found["counts"]["orange"] == np.histogram(oranges, edges)[0].tolist()
    assert found["below"] == (frame["weight_g"] < -1).sum()
    assert found["above"] == (frame["weight_g"] >= 1).sum()


def test_gaps_are_counted_by_column() -> None:
    frame = pd.DataFrame({column: [1.0, np.nan] for column in NUMERIC}).assign(red=1.0)
    missing = count_missing(Partition(frame=frame))
    assert missing == {column: 1 for column in NUMERIC} | {"red": 0}
