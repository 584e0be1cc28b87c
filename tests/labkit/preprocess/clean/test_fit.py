"""Rules from the training rows of any table: every method, and tables that lack something."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SettingError, SourceError
from labkit.preprocess.clean.fit import Found, find_rules
from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.parts import parts_of
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.step import read_settings
from labkit.preprocess.tasks import InThisProcess


def fit(frame: pd.DataFrame, schema: Schema, parts: int = 3, **values: Any) -> Found:
    settings = read_settings(CleaningSettings, values, "[cleaning]")
    return find_rules(InThisProcess(), parts_of(frame, parts), schema, settings)


def train(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~is_test(frame[KEY].to_numpy())]


def test_the_number_of_parts_changes_no_bit(stones: pd.DataFrame, schema: Schema) -> None:
    stones.loc[::50, "edge_mm"] = np.nan
    stones.loc[1::90, "mass_g"] *= 1000
    stones.loc[2::40, "grey"] = -1.0
    settings: dict[str, Any] = {
        "fill": "group_mean",
        "columns": {
            "mass_g": {"outliers": "robust_z", "unit_slips": [1000]},
            "grey": {"fill": "mode"},
        },
        "related": [{"columns": ["mass_g", "edge_mm"], "power": 3}],
        "evidence": ["edge_mm", "grey"],
    }
    found = [fit(stones, schema, parts, **settings).rules.to_dict() for parts in (1, 4, 7)]
    assert found[0] == found[1] == found[2]
    assert found[0]["columns"]["grey"]["sentinels"] == [-1.0]
    empty = [*parts_of(stones.iloc[:0], 1), *parts_of(stones, 2), *parts_of(stones.iloc[:0], 1)]
    again = find_rules(
        InThisProcess(), empty, schema, read_settings(CleaningSettings, settings, "[cleaning]")
    )
    assert again.rules.to_dict() == found[0], "parts without rows change nothing"


def test_rules_survive_the_manifest(stones: pd.DataFrame, schema: Schema) -> None:
    rules = fit(
        stones,
        schema,
        columns={"grey": {"least": 0, "sentinels": [-1], "outliers": "none"}},
        rules=[{"expression": "mass_g / edge_mm ** 3", "least": 0.001, "blame": ["mass_g"]}],
        related=[{"columns": ["mass_g", "edge_mm"], "power": 3}],
        evidence=["grey"],
    ).rules
    again = CleaningRules.from_dict(json.loads(json.dumps(rules.to_dict(), allow_nan=False)))
    assert again.to_dict() == rules.to_dict()
    stones.loc[5:60, "grey"] = -1
    pd.testing.assert_frame_equal(again.apply(stones), rules.apply(stones))


def test_every_way_to_fill(stones: pd.DataFrame, schema: Schema) -> None:
    gaps = np.arange(len(stones)) % 11 == 0
    whole = stones.copy()
    stones.loc[gaps, ["mass_g", "edge_mm", "grey"]] = np.nan
    stones.loc[gaps, "quarry"] = -1
    stones.loc[~gaps & (np.arange(len(stones)) % 3 == 0), "grey"] = 90.0
    known = train(stones)
    test = is_test(stones[KEY].to_numpy())
    kind = stones["kind"]

    def filled(column: str, **values: Any) -> pd.Series[Any]:
        return fit(stones, schema, outliers="none", **values).rules.apply(stones)[column][gaps]

    assert (filled("mass_g", fill="mean") == known["mass_g"].mean()).all()
    assert (filled("mass_g", fill="median") == known["mass_g"].median()).all()
    assert (filled("grey", fill="mode") == 90.0).all()
    assert (filled("mass_g", fill="mode") == known["mass_g"].median()).all(), "no value repeats"
    assert filled("mass_g", fill="none").isna().all()
    constant = {"mass_g": {"fill": "constant", "constant": -5}}
    assert (filled("mass_g", columns=constant) == -5).all()
    for fill, figure in (("group_mean", "mean"), ("group_median", "median")):
        by_class = known.groupby("kind")["mass_g"].agg(figure)
        expected = np.where(test, known["mass_g"].agg(figure), by_class[kind])[gaps]
        np.testing.assert_allclose(filled("mass_g", fill=fill), expected, rtol=1e-14)
    by_quarry = filled("grey", fill="group_median", columns={"grey": {"group": "quarry"}})
    assert (by_quarry == known["grey"].median()).all(), "the quarry is not known here either"
    assert (filled("quarry") == known.loc[known["quarry"] >= 0, "quarry"].mode()[0]).all()
    assert (filled("quarry", fill_categories="none") == -1).all()
    west = {"quarry": {"fill": "constant", "constant": "west"}}
    assert (filled("quarry", columns=west) == 2).all()
    assert (filled("kind") == whole["kind"][gaps]).all()


def test_known_groups_fill_test_rows_too(stones: pd.DataFrame, schema: Schema) -> None:
    stones["grey"] = stones["quarry"] * 100.0 + np.arange(len(stones)) % 3
    stones.loc[::9, "grey"] = np.nan
    for fill in ("group_median", "group_mean"):
        rules = fit(stones, schema, columns={"grey": {"fill": fill, "group": "quarry"}}).rules
        filled = rules.apply(stones)["grey"][::9]
        np.testing.assert_allclose(filled, stones["quarry"][::9] * 100.0 + 1, atol=0.3)


def test_related_columns_fill_each_other(stones: pd.DataFrame, schema: Schema) -> None:
    whole = stones.copy()
    stones.loc[::9, "mass_g"] = np.nan
    stones.loc[1::9, "edge_mm"] = np.nan
    stones.loc[::18, "edge_mm"] = np.nan
    pair = [{"columns": ["mass_g", "edge_mm"], "power": 3}]
    found = fit(stones, schema, fill="related", related=pair)
    after = found.rules.apply(stones)
    off = np.abs(np.log(after["mass_g"] / whole["mass_g"]))
    assert off[9::18].median() < 0.05, "from the edge"
    assert off[::18].median() > 0.2, "from the median, where the edge is missing too"
    assert np.abs(np.log(after["edge_mm"] / whole["edge_mm"]))[1::9].max() < 0.1
    assert found.rules.fills["grey"].method == "median"
    assert after[["mass_g", "edge_mm"]].notna().all(axis=None)


@pytest.mark.parametrize("method", ["auto", "tukey", "log_tukey", "robust_z"])
def test_every_way_to_find_noise(stones: pd.DataFrame, schema: Schema, method: str) -> None:
    stones.loc[::200, "edge_mm"] *= 40
    rules = fit(stones, schema, outliers=method, fill="none").rules
    removed = rules.apply(stones)["edge_mm"].isna()
    assert removed[::200].all()
    assert removed.sum() <= 0.012 * len(stones)
    assert (
        not fit(stones, schema, outliers="none", fill="none")
        .rules.apply(stones)["edge_mm"]
        .isna()
        .any()
    )


def test_scales_are_chosen_and_said(stones: pd.DataFrame, schema: Schema) -> None:
    scales = fit(stones, schema).scales
    assert scales == {"mass_g": "log", "edge_mm": "log", "grey": "linear"}
    stones["mass_g"] -= 10_000
    assert fit(stones, schema).scales["mass_g"] == "linear"
    with pytest.raises(SettingError, match=r"columns.mass_g\].*choose outliers = \"tukey\""):
        fit(stones, schema, columns={"mass_g": {"outliers": "log_tukey"}})


def test_a_long_tail_is_no_noise(stones: pd.DataFrame, schema: Schema) -> None:
    random = np.random.default_rng(1)
    stones["grey"] = random.standard_t(1, len(stones))  # one in twenty lies far outside
    found = fit(stones, schema)
    assert 0.02 < found.tails["grey"] < 0.2
    pd.testing.assert_series_equal(found.rules.apply(stones)["grey"], stones["grey"])
    forced = fit(stones, schema, columns={"grey": {"outliers": "tukey"}})
    assert not forced.tails
    assert not forced.rules.apply(stones)["grey"].equals(stones["grey"])


def test_slips_and_wrong_labels_are_no_tail(stones: pd.DataFrame, schema: Schema) -> None:
    stones.loc[::30, "mass_g"] *= 1000
    assert fit(stones, schema).tails["mass_g"] > 0.03
    assert not fit(stones, schema, unit_slips=[1000]).tails
    stones.loc[1::30, "kind"] = 1 - stones.loc[1::30, "kind"]
    assert fit(stones, schema, unit_slips=[1000]).tails["grey"] > 0.03
    assert not fit(stones, schema, unit_slips=[1000], evidence=["grey"]).tails


def test_sentinels_that_move_the_quartiles_are_found_first(
    stones: pd.DataFrame, schema: Schema
) -> None:
    clean = fit(stones, schema).rules.columns["grey"].fences
    spoilt = stones.copy()
    spoilt.loc[np.arange(len(stones)) % 10 < 2, "grey"] = -999.0
    spoilt.loc[7::100, "grey"] = 9999.0
    rules = fit(spoilt, schema).rules
    assert rules.columns["grey"].sentinels == (-999.0, 9999.0)
    assert rules.columns["grey"].fences.high == pytest.approx(clean.high, rel=0.05)
    spoilt.loc[np.arange(len(stones)) % 10 < 4, "grey"] = -999.0  # now the lower quartile is one
    assert fit(spoilt, schema).rules.columns["grey"].sentinels == (-999.0, 9999.0)
    given = fit(spoilt, schema, sentinels=[-999]).rules
    assert given.columns["mass_g"].sentinels == (-999,)
    assert fit(spoilt, schema, sentinels=[]).rules.columns["grey"].sentinels == ()


def test_values_that_are_usual_in_another_class_are_no_sentinels(
    stones: pd.DataFrame, schema: Schema
) -> None:
    marble = np.flatnonzero(stones["kind"] == 1)
    stones.loc[marble[:40], "kind"] = 0
    stones.loc[marble[:40], "grey"] = 200.0
    assert fit(stones, schema).rules.columns["grey"].sentinels == ()


def test_a_table_of_nothing_much(stones: pd.DataFrame) -> None:
    schema = Schema(columns=(Column(name="empty"), Column(name="constant"), Column(name="x")))
    frame = stones[[KEY, SOURCE]].assign(
        empty=np.nan, constant=3.0, x=np.where(stones.index % 500 == 0, 1e6, stones.index % 7)
    )
    frame.loc[::13, "constant"] = np.nan
    found = fit(frame, schema)
    assert found.empty == ("empty",)
    after = found.rules.apply(frame)
    assert after["empty"].isna().all(), "there is nothing to fill with"
    assert (after["constant"] == 3.0).all()
    assert after["x"].max() == 6
    methods = ("mean", "median", "mode", "group_mean", "group_median", "related")
    for method in methods:
        assert "empty" not in fit(frame, schema, fill=method).rules.fills


def test_a_class_that_never_occurs_and_a_table_without_numbers(
    stones: pd.DataFrame, schema: Schema
) -> None:
    stones["kind"] = np.int32(0)
    stones.loc[::10, "grey"] = np.nan
    rules = fit(stones, schema, fill="group_mean", evidence=["grey"]).rules
    after, kinds = rules.repair(stones)
    assert after["grey"].notna().all()
    assert not kinds["kind"].any()
    words = Schema(columns=tuple(c for c in schema.columns if c.kind == "category"), label="kind")
    frame = stones[[KEY, SOURCE, "kind", "quarry"]]
    pd.testing.assert_frame_equal(fit(frame, words).rules.apply(frame), frame)


def test_rows_without_a_label_are_judged_by_every_class(
    stones: pd.DataFrame, schema: Schema
) -> None:
    at = int(train(stones).index[0])
    stones.loc[at, "kind"] = -1
    stones.loc[at, ["grey", "edge_mm"]] = [145.0, 12.0]
    rules = fit(stones, schema, evidence=["grey", "edge_mm"], fill="none").rules
    after = rules.apply(stones).loc[at]
    assert (after["kind"], after["edge_mm"]) == (-1, 12.0)


def test_with_very_many_classes_all_rows_share_their_fences(stones: pd.DataFrame) -> None:
    names = tuple(f"k{n}" for n in range(100))
    schema = Schema(
        columns=(Column(name="grey"), Column(name="kind", kind="category", names=names)),
        label="kind",
    )
    frame = stones[[KEY, SOURCE, "grey", "kind"]]
    rules = fit(frame, schema, evidence=["grey"]).rules
    assert (rules.label, rules.evidence) == ("", ())
    assert len(rules.columns["grey"].fences.low) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": {"kind": {}}}, "no column of that name is cleaned; choose from mass_g"),
        ({"columns": {"weight": {}}}, r"\[cleaning.columns.weight\]: no column of that name"),
        ({"columns": {"quarry": {"fill": "mean"}}}, "a category has no mean; choose from mode"),
        (
            {"columns": {"quarry": {"fill": "constant", "constant": "east"}}},
            "constant 'east' is no category of the column; choose from north, south, west",
        ),
        (
            {"columns": {"grey": {"fill": "constant", "constant": "dark"}}},
            "constant 'dark' is no number",
        ),
        ({"evidence": ["quarry"]}, "evidence: quarry is no number column to be cleaned"),
        ({"rules": [{"expression": "a / grey", "least": 0}]}, "rule 'a / grey': a is no number"),
        ({"related": [{"columns": ["grey", "b"]}]}, r"related .*: b is no number column"),
        ({"group": "colour"}, "group 'colour' is no category; choose from kind, quarry"),
    ],
)
def test_settings_that_do_not_fit_the_columns_are_refused(
    stones: pd.DataFrame, schema: Schema, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        fit(stones, schema, **values)


def test_evidence_needs_a_label_and_cleaning_needs_rows(
    stones: pd.DataFrame, schema: Schema
) -> None:
    without = Schema(columns=schema.columns)
    with pytest.raises(SettingError, match="evidence needs a label to put right"):
        fit(stones, without, evidence=["grey"])
    with pytest.raises(SourceError, match="there are no rows to clean"):
        find_rules(InThisProcess(), [], schema, CleaningSettings())
    nothing = fit(stones.iloc[:0], schema, parts=2)
    assert nothing.empty == ("mass_g", "edge_mm", "grey")
    assert len(nothing.rules.apply(stones)) == len(stones)
