"""Tables for the tests of transformation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.parts import Part, parts_of
from labkit.preprocess.schema import KEY, Column, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.step import StepResult, read_settings
from labkit.preprocess.tasks import InThisProcess
from labkit.preprocess.transform.settings import TransformationSettings
from labkit.preprocess.transform.step import transform

CITIES = ("Faro", "Lagos", "Porto", "Seville", "Nowhere")
ROWS = 2000


@dataclass(frozen=True)
class Table:
    """Rows and what they are."""

    frame: pd.DataFrame
    schema: Schema

    @property
    def train(self) -> np.ndarray:
        """(rows,) which rows train."""
        return ~is_test(self.frame[KEY].to_numpy())

    def parts(self, number: int = 3) -> list[Part]:
        """The rows in parts."""
        return parts_of(self.frame, number)


@pytest.fixture
def table() -> Table:
    """Sizes and masses with gaps, a city, a remark, and a class."""
    random = np.random.default_rng(0)
    size = random.normal(7.4, 1.5, ROWS)
    frame = pd.DataFrame(
        {
            KEY: np.arange(ROWS),
            "size_cm": np.where(random.random(ROWS) < 0.05, np.nan, size),
            "mass_g": np.exp(random.normal(5, 1, ROWS)).round(1),
            "city": random.integers(-1, 4, ROWS).astype(np.int32),
            "remark": pd.Series(["x"] * ROWS, dtype=object),
            "kind": (size + random.normal(0, 0.3, ROWS) > 8).astype(np.int32),
        }
    )
    schema = Schema(
        columns=(
            Column(name="size_cm", unit="cm"),
            Column(name="mass_g", unit="g"),
            Column(name="city", kind="category", names=CITIES),
            Column(name="remark", kind="text"),
            Column(name="kind", kind="category", names=("small", "large")),
        ),
        label="kind",
    )
    return Table(frame, schema)


Transform = Callable[..., StepResult]


@pytest.fixture
def run(table: Table) -> Transform:
    """``run(parts=3, **settings)`` transforms the table."""

    def call(num_parts: int = 3, of: Table = table, **settings: object) -> StepResult:
        read = read_settings(TransformationSettings, settings, "[transformation]")
        return transform(InThisProcess(), of.parts(num_parts), of.schema, read, len(of.frame))

    return call
