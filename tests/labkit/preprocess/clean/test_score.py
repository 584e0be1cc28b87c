"""Scores are counted as they are defined."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.clean.fit import find_rules
from labkit.preprocess.clean.score import (
    UNEXPLAINED,
    Tally,
    imputation,
    merge_tallies,
    scores,
    tally,
)
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.parts import parts_of
from labkit.preprocess.schema import KEY, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.tasks import InThisProcess


@pytest.fixture
def total(stones: pd.DataFrame, schema: Schema) -> Tally:
    truth, spoilt = stones.copy(), stones.copy()
    spoilt.loc[::100, "grey"] += 500.0  # 40 that are found
    spoilt.loc[7::100, "grey"] *= 1.12  # 40 that are not
    spoilt.loc[8::100, "mass_g"] *= 1e6  # not in the log
    spoilt.loc[5::100, "edge_mm"] = np.nan
    spoilt.loc[9::100, "kind"] = 1 - spoilt.loc[9::100, "kind"]
    errors = pd.DataFrame(
        {
            "row": [*range(0, 4000, 100), *range(7, 4000, 100), *range(9, 4000, 100)],
            "column": ["grey"] * 80 + ["kind"] * 40,
            "error": ["noise"] * 40 + ["drift"] * 40 + ["flip"] * 40,
        }
    )
    settings = CleaningSettings(evidence=("grey", "edge_mm"), fill="group_median")
    rules = find_rules(InThisProcess(), parts_of(spoilt, 1), schema, settings).rules
    tallies = []
    for start, stop in ((0, 1000), (1000, 4000)):
        mine = errors[errors["row"].between(start, stop - 1)]
        tallies.append(
            tally(
                spoilt.iloc[start:stop].reset_index(drop=True),
                truth.iloc[start:stop].reset_index(drop=True),
                mine.assign(row=mine["row"] - start),
                rules=rules,
                schema=schema,
            )
        )
    return merge_tallies(tallies)


def test_errors_are_counted_by_kind_and_split(total: Tally) -> None:
    table = {(row["column"], row["error"], row["rows"]): row for row in scores(total)}
    grey = table["grey", "all", "all"]
    assert (grey["wrong"], grey["found"], grey["flagged"]) == (80, 40, 40)
    assert (grey["precision"], grey["recall"]) == (1.0, 0.5)
    assert table["grey", "noise", "all"]["recall"] == 1.0
    assert table["grey", "drift", "all"]["recall"] == 0.0
    assert table["grey", "noise", "all"]["precision"] is None
    parts = [table["grey", "noise", rows]["wrong"] for rows in ("train", "test")]
    assert sum(parts) == 40
    assert table["mass_g", UNEXPLAINED, "all"]["found"] == 40


def test_labels_count_where_they_may_be_changed(total: Tally, stones: pd.DataFrame) -> None:
    table = {(row["column"], row["error"], row["rows"]): row for row in scores(total)}
    flipped = ~is_test(stones[KEY].to_numpy()[9::100])
    label = table["kind", "flip", "all"]
    assert (label["wrong"], label["found"], label["restored"]) == (flipped.sum(),) * 3
    assert ("kind", "flip", "test") not in table


def test_guesses_are_compared_with_the_truth(total: Tally) -> None:
    guesses = imputation(total)["edge_mm"]
    removed = sum(
        count
        for (name, _, what), count in total.counts.items()
        if (name, what) == ("edge_mm", "flagged")
    )
    assert guesses["gaps"] == 40 + removed < 45
    assert 0 < guesses["rmse"] < guesses["rmse_median"]
    assert scores(Tally()) == []
