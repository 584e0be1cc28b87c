"""A harvest whose days are not alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from labkit.runs.engines import parquet_parts
from labkit.runs.harvest import DAYS, write_harvest


def test_a_day_is_a_part_and_the_median_of_the_days_is_not_that_of_the_harvest(
    tmp_path: Path,
) -> None:
    write_harvest(tmp_path / "a.parquet", 24_000, seed=1)
    parts = parquet_parts(tmp_path / "a.parquet")
    assert len(parts) == len(DAYS)
    days = [part.load()["weight_g"] for part in parts]
    assert len(days[0]) > 3 * len(days[-1])
    whole = pd.concat(days)
    assert abs(len(whole) - 24_000) < len(DAYS)
    assert whole.notna().all()
    assert float(np.median([day.median() for day in days])) > 5 * whole.median()


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_harvest(tmp_path / name, 1_000, seed=2)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
