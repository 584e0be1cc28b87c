"""Every repair is written down and can be taken back to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.clean.fit import find_rules
from labkit.preprocess.clean.repairs import (
    COLUMNS,
    load_repairs,
    repairs,
    save_repairs,
    undo,
)
from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.clean.settings import CleaningSettings, ColumnCleaning
from labkit.preprocess.parts import parts_of
from labkit.preprocess.schema import KEY, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.tasks import InThisProcess


@pytest.fixture
def spoilt(stones: pd.DataFrame) -> pd.DataFrame:
    stones.loc[::40, "mass_g"] *= 1000
    stones.loc[3::70, "grey"] = -999.0
    stones.loc[4::200, "grey"] += 900 + np.arange(20)
    stones.loc[5::90, "edge_mm"] = np.nan
    stones.loc[7::90, "edge_mm"] = -0.0
    stones.loc[11::80, "quarry"] = -1
    stones.loc[13::100, "kind"] = 1 - stones.loc[13::100, "kind"]
    return stones


@pytest.fixture
def rules(spoilt: pd.DataFrame, schema: Schema) -> CleaningRules:
    settings = CleaningSettings(
        columns={"mass_g": ColumnCleaning(unit_slips=(1000.0,))}, evidence=("edge_mm", "grey")
    )
    return find_rules(InThisProcess(), parts_of(spoilt, 2), schema, settings).rules


def bits(frame: pd.DataFrame) -> list[bytes]:
    return [frame[name].to_numpy().tobytes() for name in frame]


def test_undo_restores_every_bit(spoilt: pd.DataFrame, rules: CleaningRules) -> None:
    after = rules.apply(spoilt)
    log = repairs(spoilt, after, rules)
    assert tuple(log.columns) == COLUMNS
    assert bits(after) != bits(spoilt)
    again = undo(after, log)
    assert bits(again) == bits(spoilt)
    pd.testing.assert_frame_equal(again, spoilt)


def test_the_log_says_what_was_changed_and_why(spoilt: pd.DataFrame, rules: CleaningRules) -> None:
    after = rules.apply(spoilt)
    log = repairs(spoilt, after, rules)
    assert set(log["kind"]) == {"sentinel", "slip", "noise", "missing", "label"}
    slips = log[log["kind"] == "slip"]
    assert set(slips["column"]) == {"mass_g"}
    np.testing.assert_allclose(slips["before"], slips["after"] * 1000)
    assert (log["key"] == spoilt[KEY].to_numpy()[log["row"]]).all()
    for name, each in log.groupby("column", observed=True):
        rows = each["row"].to_numpy()
        np.testing.assert_array_equal(each["before"], spoilt[name].to_numpy()[rows])
        np.testing.assert_array_equal(each["after"], after[name].to_numpy()[rows])
    test = is_test(log["key"].to_numpy())
    assert (log["kind"][test] != "label").all()
    unchanged = spoilt.drop(index=log["row"].unique())
    pd.testing.assert_frame_equal(after.loc[unchanged.index], unchanged)


def test_the_log_of_a_part_is_kept_beside_the_shards(
    spoilt: pd.DataFrame, rules: CleaningRules, tmp_path: Path
) -> None:
    (tmp_path / "repairs").mkdir()
    after = rules.apply(spoilt)
    save_repairs(repairs(spoilt, after, rules), 3, folder=str(tmp_path))
    assert [path.name for path in (tmp_path / "repairs").iterdir()] == ["part-00003.parquet"]
    log = load_repairs(str(tmp_path), 3)
    assert len(log) > 0
    pd.testing.assert_frame_equal(
        log.astype({"column": str, "kind": str}),
        repairs(spoilt, after, rules).astype({"column": str, "kind": str}),
    )
    assert bits(undo(after, log)) == bits(spoilt)


def test_a_part_without_rows_or_repairs_has_an_empty_log(
    spoilt: pd.DataFrame, rules: CleaningRules, tmp_path: Path
) -> None:
    nothing = spoilt.iloc[:0]
    (tmp_path / "repairs").mkdir()
    save_repairs(repairs(nothing, rules.apply(nothing), rules), 0, folder=str(tmp_path))
    log = load_repairs(str(tmp_path), 0)
    assert tuple(log.columns) == COLUMNS
    pd.testing.assert_frame_equal(undo(nothing, log), nothing)
