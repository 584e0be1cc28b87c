"""The same statistics of the same file by every engine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.cluster.cluster import Cluster
from labkit.errors import SettingError
from labkit.runs.engines import ENGINES, parquet_parts, run_cluster, run_engine


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(5, 2, 4000), "b": random.exponential(1, 4000)})
    path = tmp_path_factory.mktemp("engines") / "table.parquet"
    frame.to_parquet(path, row_group_size=1000)
    return path


def test_all_engines_find_the_same(table: Path, cluster4: Cluster) -> None:
    parts = parquet_parts(table)
    assert len(parts) == 4
    ours = run_cluster(cluster4, parts)
    frame = pd.read_parquet(table)
    assert ours.figures["a"]["median"] == frame["a"].median()
    for engine in ("pandas", "polars"):
        run = run_engine(engine, table)
        assert ours.greatest_difference(run) < 1e-12
        assert run.seconds > 0
        assert run.peak_bytes > 1e7


def test_an_engine_that_cannot_run_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="engine 'excel' is unknown; choose from pandas, polars"):
        run_engine("excel", table)
    with pytest.raises(SettingError, match="pandas failed: "):
        run_engine("pandas", tmp_path / "none.parquet")
    assert "pyspark" in ENGINES


@pytest.mark.parametrize(
    ("code", "message"),
    [(-9, "pandas failed: killed by SIGKILL, silently"), (None, "pandas took longer than 100 s")],
)
def test_an_engine_that_ends_without_a_word_or_not_at_all_is_an_error(
    monkeypatch: pytest.MonkeyPatch, table: Path, code: int | None, message: str
) -> None:
    def run(command: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
        if code is None:
            raise subprocess.TimeoutExpired(command, settings["timeout"])
        return subprocess.CompletedProcess(command, code, stdout="", stderr="\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SettingError, match=message):
        run_engine("pandas", table)
