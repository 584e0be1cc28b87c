"""A small table about stones, of two kinds, with numbers that behave in different ways."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.schema import KEY, SOURCE, Column, Schema

STONES = 4000


@pytest.fixture
def schema() -> Schema:
    """Stones: three numbers, two categories, one of them the label."""
    return Schema(
        columns=(
            Column(name="mass_g"),
            Column(name="edge_mm"),
            Column(name="grey"),
            Column(name="kind", kind="category", names=("granite", "marble")),
            Column(name="quarry", kind="category", names=("north", "south", "west")),
        ),
        label="kind",
    )


@pytest.fixture
def stones() -> pd.DataFrame:
    """4,000 stones without any error: mass grows with the cube of the edge, marble is larger."""
    random = np.random.default_rng(7)
    marble = random.random(STONES) < 0.4
    edge_mm = np.exp(np.where(marble, 4.0, 2.5) + random.normal(0, 0.15, STONES))
    return pd.DataFrame(
        {
            KEY: np.arange(STONES, dtype=np.int64),
            SOURCE: np.zeros(STONES, dtype=np.int8),
            "mass_g": 0.0026 * edge_mm**3 * np.exp(random.normal(0, 0.05, STONES)),
            "edge_mm": edge_mm,
            "grey": np.where(marble, 200.0, 90.0) + random.normal(0, 10, STONES),
            "kind": marble.astype(np.int32),
            "quarry": random.integers(0, 3, STONES).astype(np.int32),
        }
    )
