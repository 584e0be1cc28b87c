"""The whole step: the same for any partitioning, for any table, and on new data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SettingError, SourceError
from labkit.preprocess.schema import KEY, Column, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.transform.fitted import Transformation

EVERYTHING = {
    "scale": "robust",
    "discretise": {"mass_g": {"method": "entropy", "output": "one_hot"}},
    "generalise": {
        "city": {
            "hierarchy": [["Faro", "Portugal"], ["Lagos", "Portugal"], ["Porto", "Portugal"],
                          ["Seville", "Spain"]],
        }
    },
}  # fmt: skip
INPUTS = ("size_cm", "mass_g", "city=Faro", "city=Lagos", "city=Porto", "city=Seville")


def loaded(result) -> pd.DataFrame:
    return pd.concat([part.load() for part in result.parts], ignore_index=True)


def test_inputs_are_float32_without_gaps_and_key_and_label_come_along(run, table) -> None:
    result = run()
    assert result.fitted.names == INPUTS
    after = loaded(result)
    assert list(after.columns) == [KEY, "kind", *INPUTS]
    assert set(after[list(INPUTS)].dtypes) == {np.dtype(np.float32)}
    assert np.isfinite(after[list(INPUTS)].to_numpy()).all()
    np.testing.assert_array_equal(after["kind"], table.frame["kind"])
    assert result.schema.numbers == INPUTS
    assert result.schema.label == "kind"
    assert result.details["dropped"] == {"remark": "text: it is compared, never computed with"}
    assert "2 numbers brought to mean 0 and deviation 1, 1 categories encoded" in result.note


@pytest.mark.parametrize("num_parts", [1, 2, 7])
@pytest.mark.parametrize("settings", [{}, EVERYTHING])
def test_any_number_of_parts_gives_the_same_bits(run, num_parts: int, settings: dict) -> None:
    one, other = run(3, **settings), run(num_parts, **settings)
    assert one.fitted == other.fitted
    pd.testing.assert_frame_equal(loaded(one), loaded(other), check_exact=True)
    assert one.picture == other.picture
    assert one.note == other.note


def test_only_training_rows_are_fitted(run, table) -> None:
    wild = table.frame.copy()
    wild.loc[~table.train, ["size_cm", "mass_g"]] = 1e6
    wild.loc[~table.train, "city"] = 4
    result = run(of=type(table)(wild, table.schema), **EVERYTHING)
    assert result.fitted == run(**EVERYTHING).fitted
    unseen = run(of=type(table)(wild, table.schema))
    assert unseen.details["unseen"] == {"city": (~table.train).sum()}
    assert unseen.details["beyond"]["size_cm"] == (~table.train).sum()
    assert "values never seen in training" in unseen.note


@pytest.mark.parametrize("settings", [{}, EVERYTHING])
def test_the_fitted_values_survive_the_manifest_and_treat_new_data(
    run, table, settings: dict
) -> None:
    result = run(**settings)
    text = json.dumps(result.fitted.to_dict(), allow_nan=False)
    again = Transformation.from_dict(json.loads(text))
    assert again == result.fitted
    new = table.frame.drop(columns=["kind", KEY, "remark"]).head(9)
    made = again.apply(new)
    assert list(made.columns) == list(again.names)
    np.testing.assert_array_equal(made, loaded(result)[list(again.names)].head(9))


def test_the_frame_that_is_given_is_not_changed(run, table) -> None:
    before = table.frame.copy()
    loaded(run(**EVERYTHING))
    pd.testing.assert_frame_equal(table.frame, before)


def test_the_picture_counts_every_row_before_and_after(run, table) -> None:
    picture = run().picture
    assert picture["columns"] == ["size_cm", "mass_g"]
    assert len(picture["edges"]) == 41
    rows = (~table.frame["size_cm"].isna()).sum()
    for side, expected in (("before", rows), ("own_before", rows), ("after", len(table.frame))):
        shown = picture[side]["size_cm"]
        counted = sum(map(sum, shown["counts"].values())) + shown["below"] + shown["above"]
        assert counted == expected, side
    assert list(picture["after"]["mass_g"]["counts"]) == ["small", "large"]
    assert sum(picture["categories"]["city"].values()) == (table.frame["city"] >= 0).sum()


def test_rows_without_a_class_are_not_counted(run, table) -> None:
    frame = table.frame.assign(kind=table.frame["kind"].where(table.frame.index % 10 > 0, -1))
    result = run(of=type(table)(frame.astype({"kind": np.int32}), table.schema))
    assert result.rows_out == 1800
    assert "200 rows without a class left out" in result.note


def test_a_table_without_label_gaps_only_and_constant_columns_works(run, table) -> None:
    frame = pd.DataFrame({KEY: np.arange(50), "empty": np.nan, "same": 3.0, "none": np.int32(-1)})
    schema = Schema(
        columns=(
            Column(name="empty"),
            Column(name="same"),
            Column(name="none", kind="category", names=("a",)),
        )
    )
    for settings in ({}, {"scale": "robust", "discretise": {"empty": {"bins": 3}}}):
        result = run(4, of=type(table)(frame, schema), **settings)
        after = loaded(result)
        assert list(after.columns) == [KEY, "empty", "same"]
        assert (after["same"] == 0).all()
        assert list(result.picture["after"]["same"]["counts"]) == ["all"]


def test_parts_without_rows_and_a_table_without_training_rows_work(run, table) -> None:
    only_test = table.frame[is_test(table.frame[KEY].to_numpy())]
    for frame in (table.frame.iloc[:0], table.frame.iloc[:2], only_test):
        for settings in ({}, EVERYTHING):
            result = run(3, of=type(table)(frame.reset_index(drop=True), table.schema), **settings)
            assert len(loaded(result)) == len(frame)


def test_infinite_values_are_gaps(run, table) -> None:
    frame = table.frame.assign(size_cm=table.frame["size_cm"].where(table.frame.index > 5, np.inf))
    result = run(of=type(table)(frame, table.schema))
    assert np.isfinite(loaded(result)["size_cm"]).all()
    assert np.isfinite(result.fitted.rules[0].scale.mean)


def test_no_input_at_all_is_an_error(run, table) -> None:
    schema = Schema(columns=(table.schema.column("kind"), table.schema.column("remark")),
                    label="kind")  # fmt: skip
    with pytest.raises(SourceError, match="no column is left to learn from"):
        run(of=type(table)(table.frame, schema))


def test_settings_for_numbers_refuse_categories(run) -> None:
    with pytest.raises(SettingError, match="discretise names 'city', which is a category"):
        run(discretise={"city": {"bins": 3}})
    with pytest.raises(SettingError, match="scale_columns names 'city', which is a category"):
        run(scale_columns={"city": "robust"})


def test_new_data_without_a_column_is_refused_with_its_name(run, table) -> None:
    with pytest.raises(SourceError, match=r"the rows lack mass_g, .* give all of size_cm, mass_g"):
        run().fitted.apply(table.frame.drop(columns="mass_g"))


@pytest.mark.parametrize("extreme", [5e-324, 1e-300, 1e300, 1.7e308])
@pytest.mark.parametrize("scale", ["standard", "min_max", "robust", "none"])
def test_the_least_and_the_greatest_of_doubles_stay_finite(
    run, table, extreme: float, scale: str
) -> None:
    frame = table.frame.assign(size_cm=np.where(table.frame.index % 2, extreme, -extreme))
    result = run(of=type(table)(frame, table.schema), scale=scale)
    assert np.isfinite(loaded(result)["size_cm"]).all()
    json.dumps([result.picture, result.details, result.fitted.to_dict()], allow_nan=False)
