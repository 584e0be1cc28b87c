"""Fruit sources for the preprocessing tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from labkit.preprocess.tasks import InThisProcess

ROWS = 9000
SEED = 3


@pytest.fixture(scope="session")
def fruit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sources`` and ``truth`` of 9,000 fruits."""
    from labkit.preprocess.fruit_files import write_fruit_sources

    folder = tmp_path_factory.mktemp("fruit")
    write_fruit_sources(str(folder), ROWS, SEED, InThisProcess())
    return folder


@pytest.fixture(scope="session")
def truth(fruit_folder: Path) -> pd.DataFrame:
    """What the fruits really are, by identifier."""
    files = sorted((fruit_folder / "truth").glob("part-*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files]).set_index("fruit_id")


@pytest.fixture(scope="session")
def errors(fruit_folder: Path) -> pd.DataFrame:
    """Which errors were made: fruit_id, source, column, error."""
    files = sorted((fruit_folder / "truth").glob("errors-*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
