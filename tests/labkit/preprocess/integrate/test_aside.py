"""Rows that are set aside keep their content and the reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.preprocess.integrate.aside import describe_rows, save_set_aside
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="weight_g"),
        Column(name="grower", kind="text"),
        Column(name="fruit", kind="category", names=("orange",)),
    )
)


def set_aside() -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            KEY: [7, 2**60],
            SOURCE: np.array([1, 0], dtype="int8"),
            "weight_g": [0.1 + 0.2, np.nan],
            "grower": ["橙子", None],
            "fruit": np.array([-1, 0], dtype="int32"),
        }
    )
    return describe_rows(rows, SCHEMA, ("orchard", "market"), "no class")


def test_content_is_in_words_and_loses_no_bit() -> None:
    found = set_aside()
    assert found["row"].tolist() == [7, 2**60]
    assert json.loads(found["content"][0]) == {
        "_source": "market",
        "weight_g": 0.1 + 0.2,
        "grower": "橙子",
        "fruit": None,
    }
    assert json.loads(found["content"][1])["fruit"] == "orange"


def test_rows_are_saved_by_part_and_counted_by_reason(tmp_path: Path) -> None:
    for _ in range(2):  # a task may be done again
        reasons = save_set_aside(set_aside(), 4, folder=str(tmp_path), stage="integration")
    assert reasons == {"no class": 2}
    assert [path.name for path in (tmp_path / "set_aside").iterdir()] == [
        "integration-00004.parquet"
    ]
    saved = pd.read_parquet(tmp_path / "set_aside" / "integration-00004.parquet")
    assert saved["content"].tolist() == set_aside()["content"].tolist()


def test_nothing_set_aside_writes_no_file(tmp_path: Path) -> None:
    assert save_set_aside(set_aside().iloc[:0], 0, folder=str(tmp_path), stage="reading") == {}
    assert list(tmp_path.iterdir()) == []
