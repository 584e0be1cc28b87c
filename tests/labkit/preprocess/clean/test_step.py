"""The step as a whole: on fruit whose errors are known, here and on workers."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.cluster.cluster import Cluster
from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.clean.score import imputation, scores, tally
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.clean.step import clean
from labkit.preprocess.fruit import BLOCK_ROWS, FRUIT_ID, make_block
from labkit.preprocess.parts import Part, RowsInMemory, parts_of
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema
from labkit.preprocess.step import StepResult, read_settings
from labkit.preprocess.tasks import InThisProcess, OnCluster

BLOCKS = 5
ROWS = BLOCKS * BLOCK_ROWS


@pytest.fixture(scope="module")
def fruit() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """20,480 fruits as the sources tell of them, as they are, and what was done to them."""
    blocks = [make_block(0, number, BLOCK_ROWS) for number in range(BLOCKS)]
    told = pd.concat([view for block in blocks for view in block.views.values()])
    told = told.groupby(FRUIT_ID, sort=True).first().reset_index()
    told.insert(0, KEY, told[FRUIT_ID].astype(np.int64))
    told.insert(1, SOURCE, np.int8(0))
    told = told.astype({FRUIT_ID: np.float64, "fruit": np.int32, "city": np.int32})
    truth = pd.concat([block.truth for block in blocks], ignore_index=True)
    errors = pd.concat([block.errors for block in blocks], ignore_index=True)
    errors = errors[~errors["error"].isin(["missing", "duplicate"])]
    return told, truth, errors.assign(row=errors[FRUIT_ID])


@pytest.fixture(scope="module")
def fruit_spec() -> tuple[Schema, CleaningSettings]:
    text = (resources.files("labkit.preprocess") / "specs" / "fruit.toml").read_text("utf-8")
    spec = tomllib.loads(text)
    columns = [
        read_settings(Column, {"name": name, **each}, name)
        for name, each in spec["columns"].items()
    ]
    schema = Schema(columns=tuple(columns), key=(spec["key"],), label=spec["label"])
    return schema, read_settings(CleaningSettings, spec["cleaning"], "[cleaning]")


@pytest.fixture(scope="module")
def cleaned(fruit: Any, fruit_spec: Any) -> StepResult:
    return clean(InThisProcess(), parts_of(fruit[0], 3), *fruit_spec, ROWS)


def together(result: StepResult) -> pd.DataFrame:
    return pd.concat([part.load() for part in result.parts], ignore_index=True)


def test_precision_and_recall_against_the_truth(
    fruit: Any, fruit_spec: Any, cleaned: StepResult
) -> None:
    assert isinstance(cleaned.fitted, CleaningRules)
    found = tally(*fruit, rules=cleaned.fitted, schema=fruit_spec[0])
    table = {
        row["column"]: row for row in scores(found) if (row["error"], row["rows"]) == ("all",) * 2
    }
    for column in ("diameter_cm", "weight_g", "sweetness_brix", "fruit"):
        assert table[column]["wrong"] > 30
        assert table[column]["precision"] >= 0.97
        assert table[column]["recall"] >= 0.97
    for column in ("diameter_cm", "weight_g"):
        slips = next(
            row
            for row in scores(found)
            if row["column"] == column and row["error"] == "decimal_shift"
        )
        assert slips["restored"] >= 0.97 * slips["wrong"], "put right and not only removed"
        assert imputation(found)[column]["rmse"] < 0.25 * imputation(found)[column]["rmse_median"]


def test_nothing_is_missing_afterwards_and_details_say_what_was_done(
    fruit: Any, fruit_spec: Any, cleaned: StepResult
) -> None:
    told, details = fruit[0], cleaned.details
    after = together(cleaned)
    assert after[list(fruit_spec[0].numbers)].notna().all(axis=None)
    assert cleaned.rows_out == len(after) == ROWS
    assert details["sentinel_values"] == {"diameter_cm": [-999.0]}
    assert details["sentinels"] == {"diameter_cm": int((told["diameter_cm"] == -999).sum())}
    assert details["scales"]["weight_g"] == "log"
    assert details["scales"]["sweetness_brix"] == "linear"
    assert set(details["slips"]) == {"diameter_cm", "weight_g"}
    gaps = int(told["price_eur"].isna().sum()) + details["outliers"].get("price_eur", 0)
    assert details["filled"]["price_eur"] == gaps
    assert details["relabelled"] == int((told["fruit"] != after["fruit"]).sum()) > 50
    assert details["fills"]["price_eur"] == "median"
    filled = after.loc[told["price_eur"].isna(), "price_eur"]
    assert filled.nunique() == 1, "what fills a gap does not tell the class"
    for words in ("unit slips put right", "sentinels", "gaps filled", "relabelled"):
        assert words in cleaned.note
    json.dumps(dict(details), allow_nan=False)


def test_the_picture_shows_every_column_before_and_after(
    fruit: Any, fruit_spec: Any, cleaned: StepResult
) -> None:
    picture = cleaned.picture
    assert picture["column"] == "diameter_cm", "the one that was wrong most often"
    assert set(picture["columns"]) == set(fruit_spec[0].numbers) - {FRUIT_ID}
    told, after = fruit[0], together(cleaned)
    for frame, side, gaps in (
        (told, "before", "missing_before"),
        (after, "after", "missing_after"),
    ):
        assert picture[gaps]["weight_g"] == int(frame["weight_g"].isna().sum())
        for column, drawn in picture["columns"].items():
            for code, name in enumerate(("orange", "watermelon")):
                values = frame.loc[frame["fruit"] == code, column]
                edges = np.array(drawn["edges"])
                inside = values[(values >= edges[0]) & (values < edges[-1])]
                expected = np.bincount(np.searchsorted(edges, inside, side="right"), minlength=41)[
                    1:
                ]
                assert drawn[side]["counts"][name] == expected.tolist()
            outside = drawn[side]["below"] + drawn[side]["above"]
            total = sum(map(sum, drawn[side]["counts"].values())) + outside
            assert total == int(frame[column].notna().sum())
    json.dumps(dict(picture), allow_nan=False)


def test_workers_and_any_number_of_parts_give_the_same_bits(
    fruit: Any, fruit_spec: Any, cleaned: StepResult, cluster4: Cluster
) -> None:
    told: list[tuple[Any, ...]] = []
    executor = OnCluster(cluster4.client, on_progress=lambda *state: told.append(state))
    parts = [*parts_of(fruit[0], 4), *parts_of(fruit[0].iloc[:0], 1)]
    there = clean(executor, parts, *fruit_spec, ROWS)
    assert there.fitted.to_dict() == cleaned.fitted.to_dict()  # type: ignore[union-attr]
    assert (there.details, there.picture, there.note) == (
        cleaned.details,
        cleaned.picture,
        cleaned.note,
    )
    pd.testing.assert_frame_equal(together(there), together(cleaned))
    assert told[-1][:3] == ("cleaning", 20, 20), "every task was counted beforehand"


def test_rows_are_cleaned_once_and_read_from_their_files_from_then_on(
    fruit: Any, fruit_spec: Any, cleaned: StepResult, tmp_path: Path
) -> None:
    """A part that is done again, as after a worker's death, is the same to the last byte."""
    for name in ("work", "repairs"):
        (tmp_path / name).mkdir()
    parts = [*parts_of(fruit[0], 3), Part(3, RowsInMemory(fruit[0].iloc[:0]))]
    files = []
    for _ in range(2):
        kept = clean(InThisProcess(), parts, *fruit_spec, ROWS, folder=str(tmp_path))
        assert all(not part.steps for part in kept.parts)
        pd.testing.assert_frame_equal(together(kept), together(cleaned)[list(together(kept))])
        assert (kept.details, kept.picture) == (cleaned.details, cleaned.picture)
        files.append({path.name: path.read_bytes() for path in tmp_path.rglob("*.*")})
    assert files[0] == files[1]
    assert sorted(files[0]) == [
        *(f"cleaned-{number:05d}.arrow" for number in range(4)),
        *(f"part-{number:05d}.parquet" for number in range(4)),
    ]


def test_a_table_without_numbers_or_label_is_only_counted(stones: pd.DataFrame) -> None:
    schema = Schema(columns=(Column(name="quarry", kind="category", names=("n", "s", "w")),))
    frame = stones[[KEY, SOURCE, "quarry"]].copy()
    frame.loc[::10, "quarry"] = -1
    result = clean(InThisProcess(), parts_of(frame, 2), schema, CleaningSettings(), len(frame))
    assert result.details["filled"] == {"quarry": 400}
    assert result.picture["missing_before"] == {"quarry": 400}
    assert result.picture["missing_after"] == {"quarry": 0}
    assert result.picture["column"] == ""


def test_the_note_names_tails_and_columns_without_values(stones: pd.DataFrame) -> None:
    schema = Schema(columns=(Column(name="grey"), Column(name="nothing")))
    frame = stones[[KEY, SOURCE]].assign(
        grey=np.random.default_rng(1).standard_t(1, len(stones)), nothing=np.nan
    )
    result = clean(InThisProcess(), parts_of(frame, 2), schema, CleaningSettings(), len(frame))
    assert "far values of grey are its tail and are kept" in result.note
    assert "without any value: nothing" in result.note
    assert result.details["without_values"] == ["nothing"]
