"""A table with every kind of useless column, for the tests of reduction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.schema import KEY, MISSING, SOURCE, Column, Schema

ROWS = 3000
MEASURES = ("length", "width", "depth", "mass")


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Four measures that matter, and columns that do not."""
    numbers = [*MEASURES, "mass_again", "mass_g", "noise", "ticket", "year", "nothing"]
    return Schema(
        columns=(
            Column(name="id"),
            *(Column(name=name) for name in numbers),
            Column(name="kind", kind="category", names=("small", "middle", "large")),
            Column(name="colour", kind="category", names=("red", "blue", "green")),
            Column(name="remark", kind="text"),
        ),
        key=("id",),
        label="kind",
    )


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """``ROWS`` rows of two hidden measures, sorted by key; not to be changed."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(ROWS, 2))
    measures = hidden @ random.normal(size=(2, 4)) + 0.05 * random.normal(size=(ROWS, 4))
    frame = pd.DataFrame(measures * [1, 100, 5, 2] + 10, columns=MEASURES)
    size = np.digitize(hidden[:, 0], [-0.5, 0.8]).astype(np.int32)
    colour = np.where(random.random(ROWS) < 0.8, size, random.integers(0, 3, ROWS))
    frame = frame.assign(
        mass_again=frame["mass"],
        mass_g=1000 * frame["mass"] + random.normal(0, 1, ROWS),
        noise=random.normal(size=ROWS),
        ticket=random.permutation(ROWS) + 1.0,
        year=2024.0,
        nothing=np.nan,
        kind=size,
        colour=np.where(random.random(ROWS) < 0.1, MISSING, colour).astype(np.int32),
        remark=pd.Series(["fine"] * ROWS, dtype=object),
    )
    keys = np.sort(random.choice(10**12, ROWS, replace=False)).astype(np.int64)
    frame.insert(0, KEY, keys)
    frame.insert(1, SOURCE, np.zeros(ROWS, dtype=np.int8))
    frame.insert(2, "id", np.arange(ROWS) * 3.0)
    return frame
