"""The step as a whole: each filter with its reason, the same bits from any number of parts."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from labkit.errors import SettingError, SourceError
from labkit.preprocess.parts import parts_of
from labkit.preprocess.reduce.fitted import Reduction
from labkit.preprocess.reduce.picture import SCATTER_POINTS
from labkit.preprocess.reduce.settings import FILTERS, ReductionSettings
from labkit.preprocess.reduce.step import TASKS_FOR_EXACT_BINS, TASKS_PER_PART, reduce
from labkit.preprocess.report import plain
from labkit.preprocess.schema import KEY, MISSING, SOURCE, Column, Schema
from labkit.preprocess.split import is_test
from labkit.preprocess.step import StepResult
from labkit.preprocess.tasks import InThisProcess

MEASURES = ["length", "width", "depth", "mass", "noise"]


def run(frame: pd.DataFrame, schema: Schema, num_parts: int = 3, **settings: Any) -> StepResult:
    parts = parts_of(frame, num_parts)
    return reduce(InThisProcess(), parts, schema, ReductionSettings(**settings), len(frame))


def fitted_of(result: StepResult) -> Reduction:
    assert isinstance(result.fitted, Reduction)
    return result.fitted


def rows_of(result: StepResult) -> pd.DataFrame:
    return pd.concat([part.load() for part in result.parts], ignore_index=True)


def train_values(frame: pd.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = frame.loc[~is_test(frame[KEY].to_numpy()), columns].to_numpy()
    return values


def without(schema: Schema, *names: str) -> Schema:
    columns = tuple(column for column in schema.columns if column.name not in names)
    left = [column.name for column in columns]
    key = schema.key if all(name in left for name in schema.key) else ()
    return Schema(columns=columns, key=key, label=schema.label if schema.label in left else "")


def test_useless_columns_are_dropped_with_the_reason_in_numbers(
    table: pd.DataFrame, schema: Schema
) -> None:
    dropped = fitted_of(run(table, schema)).dropped
    train = len(train_values(table, ["id"]))
    assert list(dropped) == [
        "id", "mass_again", "mass_g", "ticket", "year", "nothing", "colour", "remark"
    ]  # fmt: skip
    assert dropped["id"] == "the key: it says which row this is, not what it is like"
    assert dropped["mass_again"] == f"a duplicate: equal to mass in all {train} training rows"
    r = np.corrcoef(train_values(table, ["mass", "mass_g"]).T)[0, 1]
    assert dropped["mass_g"] == (
        f"correlated: it moves with mass (r = {r:.5f}, limit 0.99), which comes first and stays"
    )
    assert dropped["ticket"].startswith("an identifier: about ")
    assert dropped["ticket"].endswith("100% of them whole numbers that occur once (limit 90%)")
    assert dropped["year"] == f"constant: all {train} training values are 2024"
    assert dropped["nothing"] == f"empty: none of {train} training rows has a value"
    assert dropped["colour"] == "a name, without order"
    assert dropped["remark"] == "a text: it is compared and not computed with"


def test_few_whole_numbers_that_all_differ_are_counted_exactly(schema: Schema) -> None:
    frame = pd.DataFrame({KEY: np.arange(200), "ticket": np.arange(200.0), "x": 0.5})
    frame["x"] = np.sqrt(np.arange(200))
    small = Schema(columns=(Column(name="ticket"), Column(name="x")))
    train = len(train_values(frame, ["x"]))
    assert fitted_of(run(frame, small)).dropped == {
        "ticket": f"an identifier: {train} different values in {train} training values, 100% of "
        "them whole numbers that occur once (limit 90%)"
    }


@pytest.mark.parametrize("median", [1500.0, 1500.5])
def test_an_identifier_is_known_though_gaps_were_filled_with_one_value(
    table: pd.DataFrame, schema: Schema, median: float
) -> None:
    filled = table.copy()
    filled.loc[::4, "ticket"] = median
    assert fitted_of(run(filled, schema)).dropped["ticket"].startswith("an identifier: about ")


def test_whole_numbers_that_repeat_are_no_identifier(table: pd.DataFrame, schema: Schema) -> None:
    counts = np.random.default_rng(0).poisson(3, len(table)).astype(float)
    counts[:60] = np.arange(60) * 7.0 + 100  # many values occur once, but few rows hold them
    pairs = np.arange(len(table)) // 2
    for values in (counts, pairs * 1.0):
        assert "ticket" not in fitted_of(run(table.assign(ticket=values), schema)).dropped


@pytest.mark.parametrize(
    ("switched_off", "comes_back"),
    [
        ("constant", {"year", "nothing"}),
        ("identifier", {"ticket"}),
        ("duplicate", set()),  # a duplicate is correlated, too
        ("correlated", {"mass_g"}),
        ("unordered", {"colour"}),
    ],
)
def test_each_filter_can_be_switched_off(
    table: pd.DataFrame, schema: Schema, switched_off: str, comes_back: set[str]
) -> None:
    usual = set(fitted_of(run(table, schema)).dropped)
    drop = tuple(name for name in FILTERS if name != switched_off)
    result = run(table, schema, drop=drop)
    assert usual - set(fitted_of(result).dropped) == comes_back
    assert np.isfinite(rows_of(result)[list(fitted_of(result).names)].to_numpy()).all()


def test_what_is_to_be_kept_is_kept_and_the_other_of_the_pair_goes(
    table: pd.DataFrame, schema: Schema
) -> None:
    keep = ("mass_g", "mass_again", "ticket", "year", "remark")
    fitted = fitted_of(run(table, schema, keep=keep))
    assert fitted.dropped["mass"].startswith("a duplicate: equal to mass_again in all")
    assert not set(keep) & set(fitted.dropped)
    assert "remark" in fitted.carried
    fitted = fitted_of(run(table, without(schema, "mass_again"), keep=("mass_g",)))
    assert fitted.dropped["mass"].endswith("which is to be kept")


def test_columns_that_tell_too_little_are_dropped(table: pd.DataFrame, schema: Schema) -> None:
    result = run(table, schema, importance=0.05, keep_categories=("colour",))
    assert set(fitted_of(result).dropped) >= {"noise"}
    reason = fitted_of(result).dropped["noise"]
    bits, label_bits = result.details["importance"]["noise"], result.details["label_bits"]
    assert reason == (
        f"unimportant: it tells {bits:.4f} of the {label_bits:.4f} bits of kind (limit 0.05)"
    )
    assert result.details["importance"]["colour"] > 0.3
    assert "colour" in fitted_of(result).carried
    assert bits < 0.05 < result.details["importance"]["length"] < label_bits


def test_importance_does_not_depend_on_the_parts(table: pd.DataFrame, schema: Schema) -> None:
    one, many = (run(table, schema, parts, importance=0.05) for parts in (1, 7))
    assert one.details == many.details


def test_components_are_scikit_learns_on_the_training_rows(
    table: pd.DataFrame, schema: Schema
) -> None:
    result = run(table, schema, explained=0.9)
    components = fitted_of(result).components
    assert components is not None
    assert components.columns == MEASURES
    train = train_values(table, MEASURES)
    standard = (train - train.mean(axis=0)) / train.std(axis=0, ddof=1)
    expected = PCA(n_components=len(components.names), svd_solver="full").fit(standard)
    signs = np.sign((np.array(components.loadings) * expected.components_).sum(axis=1))
    theirs = expected.components_ * signs[:, np.newaxis]
    np.testing.assert_allclose(components.loadings, theirs, atol=1e-10)
    everything = (table[MEASURES].to_numpy() - train.mean(axis=0)) / train.std(axis=0, ddof=1)
    np.testing.assert_allclose(
        rows_of(result)[components.names], expected.transform(everything) * signs, atol=1e-10
    )


@pytest.mark.parametrize("method", ["pca", "pca_sampled", "none"])
@pytest.mark.parametrize("num_parts", [2, 5, 11])
def test_any_number_of_parts_gives_the_same_bits(
    table: pd.DataFrame, schema: Schema, method: str, num_parts: int
) -> None:
    settings = {"method": method, "keep_categories": ("colour",), "sample_rows": 500}
    one, many = run(table, schema, 1, **settings), run(table, schema, num_parts, **settings)
    assert fitted_of(one).to_dict() == fitted_of(many).to_dict()
    assert (one.note, one.schema) == (many.note, many.schema)
    assert plain(one.details) == plain(many.details)
    assert plain(one.picture) == plain(many.picture)
    pd.testing.assert_frame_equal(rows_of(one), rows_of(many), check_exact=True)


def test_tasks_that_travel_and_end_in_any_order_give_the_same_bits(
    table: pd.DataFrame, schema: Schema
) -> None:
    class Elsewhere(InThisProcess):
        def map(self, function: Any, /, *parts: Any, **settings: Any) -> list[Any]:
            calls = [pickle.dumps((function, each, settings)) for each in zip(*parts, strict=True)]
            results = []
            for call in reversed(calls):
                task, each, given = pickle.loads(call)
                results.append(pickle.dumps(task(*each, **given)))
            return [pickle.loads(result) for result in reversed(results)]

    settings = ReductionSettings(importance=0.05, keep_categories=("colour",))
    here, there = (
        reduce(executor, parts_of(table, 5), schema, settings, len(table))
        for executor in (InThisProcess(), Elsewhere())
    )
    assert fitted_of(here).to_dict() == fitted_of(there).to_dict()
    travelled = pickle.loads(pickle.dumps(there.parts[2])).load()
    pd.testing.assert_frame_equal(travelled, here.parts[2].load(), check_exact=True)


def test_parts_without_rows_change_nothing(table: pd.DataFrame, schema: Schema) -> None:
    few = table.iloc[:8]
    one = run(few, schema, 1, drop=("constant",))
    many = run(few, schema, 20, drop=("constant",))
    assert any(len(part.load()) == 0 for part in many.parts)
    assert fitted_of(one).to_dict() == fitted_of(many).to_dict()
    pd.testing.assert_frame_equal(rows_of(one), rows_of(many), check_exact=True)


def test_test_rows_are_not_looked_at(table: pd.DataFrame, schema: Schema) -> None:
    changed = table.copy()
    test = is_test(changed[KEY].to_numpy())
    changed.loc[test, ["length", "year", "nothing"]] = [1e9, 7.0, 3.0]
    changed.loc[test, "kind"] = 0
    before, after = (fitted_of(run(each, schema, importance=0.05)) for each in (table, changed))
    assert before.to_dict() == after.to_dict()


def test_components_of_a_sample_are_close_and_the_difference_is_shown(
    table: pd.DataFrame, schema: Schema
) -> None:
    result = run(table, schema, method="pca_sampled", sample_rows=1000, components=2)
    shown = result.details["sample"]
    assert 800 < shown["rows"] < 1000
    assert 0 < shown["angle_deg"] < 10
    np.testing.assert_allclose(shown["explained_sampled"], shown["explained_exact"], atol=0.03)
    components = fitted_of(result).components
    assert components is not None
    assert components.all_explained == shown["explained_sampled"]
    everything = run(table, schema, method="pca_sampled", sample_rows=10**6)
    assert everything.details["sample"]["angle_deg"] == pytest.approx(0, abs=1e-9)
    assert fitted_of(everything).components == fitted_of(run(table, schema)).components


def test_columns_go_on_as_they_are_when_nothing_is_asked_of_them(
    table: pd.DataFrame, schema: Schema
) -> None:
    gappy = table.copy()
    gappy.loc[5, "width"] = np.nan
    result = run(gappy, schema, method="none")
    reduced = rows_of(result)
    assert reduced.columns.tolist() == [KEY, SOURCE, *MEASURES, "kind"]
    assert [column.name for column in result.schema.columns] == [*MEASURES, "kind"]
    np.testing.assert_array_equal(reduced["length"], table["length"])
    filled = np.nanmean(train_values(gappy, ["width"]))
    assert reduced.loc[5, "width"] == pytest.approx(filled, rel=1e-12)
    assert result.note == "8 useless columns dropped, 5 go on as they are"


def test_the_schema_is_that_of_the_rows(table: pd.DataFrame, schema: Schema) -> None:
    result = run(table, schema, keep_categories=("colour",), components=2)
    names = [column.name for column in result.schema.columns]
    assert names == ["component_1", "component_2", "kind", "colour"]
    assert rows_of(result).columns.tolist() == [KEY, SOURCE, *names]
    assert result.schema.label == "kind"
    assert result.schema.key == ()
    assert result.schema.column("colour").names == ("red", "blue", "green")
    assert rows_of(result)["kind"].tolist() == table["kind"].tolist()


def test_new_rows_without_a_label_are_treated_alike(table: pd.DataFrame, schema: Schema) -> None:
    fitted = fitted_of(run(table, schema))
    again = Reduction.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.to_dict() == fitted.to_dict()
    new = table.iloc[:9].drop(columns=["kind", SOURCE, "remark", "year"])
    expected = fitted.apply(table.iloc[:9])[[KEY, *fitted.names]]
    pd.testing.assert_frame_equal(again.apply(new), expected, check_exact=True)


def test_rows_are_not_changed_in_place(table: pd.DataFrame, schema: Schema) -> None:
    before = table.copy()
    rows_of(run(table, schema))
    pd.testing.assert_frame_equal(table, before)


def test_without_a_label_importance_is_not_known(table: pd.DataFrame, schema: Schema) -> None:
    result = run(table, without(schema, "kind"))
    assert result.details["importance"] == {}
    assert set(result.picture["points"]["class"]) == {"unknown"}
    with pytest.raises(SettingError, match=r"importance 0.1 bits asks what .* there is none"):
        run(table, without(schema, "kind"), importance=0.1)


def test_labels_that_are_missing_tell_nothing(table: pd.DataFrame, schema: Schema) -> None:
    result = run(table.assign(kind=np.int32(MISSING)), schema)
    assert set(result.details["importance"].values()) == {0.0}
    assert set(result.picture["points"]["class"]) == {"unknown"}


def test_categories_alone_go_on(table: pd.DataFrame, schema: Schema) -> None:
    numbers = [name for name in schema.numbers if name != "year"]
    result = run(table, without(schema, *numbers), keep_categories=("colour",))
    assert rows_of(result).columns.tolist() == [KEY, SOURCE, "kind", "colour"]
    assert result.picture["explained"] == []


def test_a_composite_key_is_judged_by_what_its_columns_hold(table: pd.DataFrame) -> None:
    schema = Schema(columns=(Column(name="id"), Column(name="length")), key=("id", "length"))
    fitted = fitted_of(run(table, schema))
    assert list(fitted.dropped) == ["id"]
    assert fitted.dropped["id"].startswith("an identifier")


def test_too_few_rows_are_refused(table: pd.DataFrame, schema: Schema) -> None:
    train = table[~is_test(table[KEY].to_numpy())]
    with pytest.raises(SourceError, match="1 training rows are left after cleaning; give more"):
        run(train.iloc[:1], schema, 1)
    with pytest.raises(SourceError, match="0 training rows are left"):
        run(train.iloc[:0], schema, 2)


def test_nothing_left_is_refused_with_the_reasons(table: pd.DataFrame, schema: Schema) -> None:
    useless = without(schema, "mass_again", "mass_g", *MEASURES)
    with pytest.raises(SourceError, match=r"no column is left to learn from \(id: the key.*year:"):
        run(table, useless)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": ("size",)}, "keep names 'size'; choose from id, length"),
        ({"keep_categories": ("mass",)}, "keep_categories names 'mass'; choose from kind, colour"),
        ({"components": 9}, "components = 9, but only 5 columns are left"),
    ],
)
def test_settings_that_do_not_fit_the_columns_are_refused(
    table: pd.DataFrame, schema: Schema, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        run(table, schema, **settings)


def test_a_sample_that_is_too_small_is_refused(table: pd.DataFrame, schema: Schema) -> None:
    with pytest.raises(SettingError, match="sample_rows = 2 gave a sample of 1 training rows"):
        run(table.iloc[:2000], schema, method="pca_sampled", sample_rows=2)


def test_the_picture_is_small_and_plain(table: pd.DataFrame, schema: Schema) -> None:
    picture = run(table, schema).picture
    json.dumps(picture, allow_nan=False)
    assert {"explained", "num_kept", "points", "importance"} <= set(picture)
    assert sum(picture["explained"]) == pytest.approx(1)
    assert {len(each) for each in picture["points"].values()} == {SCATTER_POINTS}
    assert set(picture["points"]["class"]) == {"small", "middle", "large"}
    one = run(table, schema, components=1).picture
    assert one["num_kept"] == 1
    assert one["axes"] == ["component_1"]
    assert set(one["points"]["y"]) == {0.0}


def test_progress_counts_the_tasks_that_run(table: pd.DataFrame, schema: Schema) -> None:
    class Counting(InThisProcess):
        total = done = 0

        def begin(self, step: str, total: int) -> None:
            assert step == "reduction"
            self.total = total

        def map(self, function: Any, /, *parts: Any, **settings: Any) -> list[Any]:
            self.done += len(parts[0])
            return super().map(function, *parts, **settings)

    for importance, tasks in ((0.0, TASKS_PER_PART), (0.1, TASKS_PER_PART + TASKS_FOR_EXACT_BINS)):
        counting = Counting()
        settings = ReductionSettings(importance=importance)
        reduce(counting, parts_of(table, 4), schema, settings, len(table))
        assert counting.done == counting.total == 4 * tasks
