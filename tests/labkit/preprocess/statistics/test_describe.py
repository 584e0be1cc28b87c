"""Step 1 says what numpy says of the same rows, by class and by source, however they are cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.cluster.cluster import Cluster
from labkit.errors import SettingError
from labkit.preprocess.parts import Part, RowsInMemory, parts_of
from labkit.preprocess.report import plain
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema
from labkit.preprocess.statistics.describe import describe
from labkit.preprocess.statistics.first_look import LEAST_LOOKED_AT, parts_to_look_at
from labkit.preprocess.tasks import InThisProcess, OnCluster

SCHEMA = Schema(
    columns=(
        Column(name="mass"),
        Column(name="price"),
        Column(name="nasty"),
        Column(name="gone"),
        Column(name="kind", kind="category", names=("round", "long", "never")),
        Column(name="place", kind="category", names=("north", "south")),
        Column(name="note", kind="text"),
    ),
    label="kind",
)
SOURCES = ("farm", "shop", "nobody")
ROWS = 6000
FRACTIONS = (0.025, 0.25, 0.5, 0.75, 0.9)


def make_rows(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            KEY: np.arange(rows),
            SOURCE: random.integers(0, 2, rows).astype(np.int8),
            "mass": random.lognormal(3, 1, rows),
            "price": np.round(random.gamma(2.0, 3.0, rows), 1),
            "nasty": random.choice([1e16, 1e-8, -1e16, 5e-324, 1.0, 1e200], rows),
            "gone": np.nan,
            "kind": random.integers(-1, 2, rows).astype(np.int32),
            "place": random.integers(-1, 2, rows).astype(np.int32),
            "note": random.choice(["ripe", "green", None], rows),
        }
    )
    frame.loc[random.random(rows) < 0.1, "price"] = np.nan
    return frame


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return make_rows()


class Counting(InThisProcess):
    """Counts the tasks that are stated and those that are run."""

    stated = calls = 0

    def begin(self, step: str, total: int) -> None:
        assert step == "statistics"
        self.stated = total

    def expect(self, more: int) -> None:
        self.stated += more

    def map(self, function: Callable[..., Any], /, *parts: Any, **settings: Any) -> list[Any]:
        self.calls += len(parts[0])
        return super().map(function, *parts, **settings)


def as_parts(frames: Sequence[pd.DataFrame]) -> list[Part]:
    return [Part(place, RowsInMemory(frame)) for place, frame in enumerate(frames)]


def run(parts: list[Part], schema: Schema = SCHEMA, **settings: Any) -> dict[str, Any]:
    return describe(InThisProcess(), parts, schema, **settings).to_dict()


def check_numbers(found: dict[str, Any], values: np.ndarray[Any, Any]) -> None:
    assert found["count"] == np.isfinite(values).sum()
    assert found["missing"] == np.isnan(values).sum()
    assert found["min"] == np.nanmin(values)
    assert found["max"] == np.nanmax(values)
    assert found["median"] == np.nanmedian(values)
    for fraction in FRACTIONS:
        assert found[f"q{100 * fraction:g}"] == np.nanquantile(values, fraction)
    assert found["mean"] == pytest.approx(np.nanmean(values), rel=1e-12)
    assert found["variance"] == pytest.approx(np.nanvar(values, ddof=1), rel=1e-9)
    assert found["std"] == pytest.approx(np.nanstd(values, ddof=1), rel=1e-9)


@pytest.mark.parametrize("column", ["mass", "price"])
def test_figures_of_all_rows_of_each_class_and_of_each_source(
    rows: pd.DataFrame, column: str
) -> None:
    found = run(parts_of(rows, 3), sources=SOURCES, fractions=FRACTIONS)
    check_numbers(found["overall"][column], rows[column].to_numpy())
    for code, name in enumerate(("round", "long")):
        values = rows.loc[rows["kind"] == code, column].to_numpy()
        check_numbers(found["by_class"][name][column], values)
    for code, name in enumerate(("farm", "shop")):
        values = rows.loc[rows[SOURCE] == code, column].to_numpy()
        check_numbers(found["by_source"][name][column], values)
    assert found["rows"] == len(rows)
    assert found["rows_per_source"] == {
        "farm": (rows[SOURCE] == 0).sum(), "shop": (rows[SOURCE] == 1).sum(), "nobody": 0,
    }  # fmt: skip


def test_any_number_of_parts_and_any_order_of_rows_give_the_same_bits(rows: pd.DataFrame) -> None:
    whole = run(parts_of(rows, 1), sources=SOURCES)
    for seed, number in enumerate((2, 5, 64)):
        shuffled = rows.sample(frac=1, random_state=seed)
        assert run(parts_of(shuffled, number), sources=SOURCES) == whole
    by_source = [group for _, group in rows.sort_values("mass").groupby(SOURCE)]
    assert run(as_parts(by_source)[::-1], sources=SOURCES) == whole


def test_workers_give_the_same_bits_as_one_process(cluster4: Cluster, rows: pd.DataFrame) -> None:
    found = describe(OnCluster(cluster4.client), parts_of(rows, 8), SCHEMA, sources=SOURCES)
    assert found.to_dict() == run(parts_of(rows, 1), sources=SOURCES)


def test_names_have_a_mode_counts_and_a_number(rows: pd.DataFrame) -> None:
    found = run(parts_of(rows, 3), sources=SOURCES)
    place = found["overall"]["place"]
    south, north = (rows["place"] == 1).sum(), (rows["place"] == 0).sum()
    assert place["counts"] == {"north": north, "south": south}
    assert place["mode"] == ("north" if north >= south else "south")
    assert place["missing"] == (rows["place"] == -1).sum() > 0
    assert place["distinct"] == 2
    assert place["mean"] is place["q25"] is None
    long = rows[rows["kind"] == 1]
    assert found["by_class"]["long"]["place"]["counts"]["south"] == (long["place"] == 1).sum()
    assert found["by_class"]["long"]["kind"]["counts"] == {
        "round": 0, "long": len(long), "never": 0,
    }  # fmt: skip
    note = found["overall"]["note"]
    counts = rows["note"].value_counts()
    assert (note["mode"], note["distinct"]) == (counts.idxmax(), 2)
    assert note["missing"] == rows["note"].isna().sum()


def test_what_never_occurs_is_there_and_empty(rows: pd.DataFrame) -> None:
    found = run(parts_of(rows, 2), sources=SOURCES)
    gone = found["overall"]["gone"]
    assert (gone["count"], gone["missing"]) == (0, ROWS)
    assert gone["mean"] is gone["median"] is gone["q25"] is gone["variance"] is None
    for nothing in (found["by_class"]["never"], found["by_source"]["nobody"]):
        assert list(nothing) == [column.name for column in SCHEMA.columns]
        assert all(figures["count"] == figures["missing"] == 0 for figures in nothing.values())


def test_parts_without_rows_change_nothing_and_none_at_all_is_no_error(rows: pd.DataFrame) -> None:
    empty = Part(9, RowsInMemory(rows.iloc[:0]))
    with_empty = [empty, *parts_of(rows, 2), empty]
    assert run(with_empty, sources=SOURCES) == run(parts_of(rows, 2), sources=SOURCES)
    assert run([], sources=SOURCES) == run([empty], sources=SOURCES)


def test_a_table_without_label_and_sources(rows: pd.DataFrame) -> None:
    schema = Schema(columns=SCHEMA.columns[:2])
    found = run(parts_of(rows[["mass", "price"]], 3), schema)
    assert found["by_class"] == found["by_source"] == found["rows_per_source"] == {}
    assert found["overall"]["mass"]["mean"] == pytest.approx(rows["mass"].mean())


def test_a_single_row_has_no_variance(rows: pd.DataFrame) -> None:
    mass = run(parts_of(rows.iloc[:1], 1))["overall"]["mass"]
    assert mass["mean"] == mass["median"] == mass["q75"] == mass["min"] == rows["mass"].iloc[0]
    assert mass["variance"] is mass["std"] is None


def test_infinite_values_do_not_stop_it() -> None:
    frame = pd.DataFrame({"mass": [1.0, np.inf, 2.0], "price": [-np.inf, np.inf, np.nan]})
    found = run(parts_of(frame, 2), Schema(columns=SCHEMA.columns[:2]))
    assert plain(found["overall"]["mass"])["mean"] is None
    assert found["overall"]["mass"]["min"] == 1.0


def test_rows_are_not_changed_and_the_report_is_plain(rows: pd.DataFrame) -> None:
    before = rows.copy()
    found = describe(InThisProcess(), parts_of(rows, 2), SCHEMA, sources=SOURCES)
    pd.testing.assert_frame_equal(rows, before)
    json.dumps(plain(found.to_dict()), allow_nan=False)
    assert found.missing["gone"] == ROWS


@pytest.mark.parametrize("num_parts", [5, 20])
def test_the_stated_number_of_tasks_is_right(rows: pd.DataFrame, num_parts: int) -> None:
    executor = Counting()
    describe(executor, parts_of(rows, num_parts), SCHEMA)
    assert executor.stated == executor.calls > num_parts


def make_many() -> list[pd.DataFrame]:
    """Parts of a size that shows brackets narrow enough, alike in all their columns."""
    random = np.random.default_rng(1)
    frames = []
    for _ in range(12):
        size = int(random.integers(14_000, 16_000))
        frame = pd.DataFrame(
            {
                KEY: np.arange(size),
                SOURCE: random.integers(0, 2, size).astype(np.int8),
                "mass": random.lognormal(3, 1, size),
                "price": np.round(random.gamma(2.0, 3.0, size), 1),
                "kind": random.integers(0, 2, size).astype(np.int32),
            }
        )
        frame.loc[random.random(size) < 0.1, "price"] = np.nan
        frames.append(frame)
    return frames


MANY = Schema(columns=tuple(map(SCHEMA.column, ("mass", "price", "kind"))), label="kind")


def describe_many(frames: list[pd.DataFrame]) -> tuple[dict[str, Any], Counting]:
    executor = Counting()
    found = describe(
        executor, as_parts(frames), MANY, sources=SOURCES, fractions=FRACTIONS
    ).to_dict()
    assert executor.stated == executor.calls
    return found, executor


def check_many(found: dict[str, Any], frames: list[pd.DataFrame]) -> None:
    whole = pd.concat(frames, ignore_index=True)
    assert found == run(parts_of(whole, 1), MANY, sources=SOURCES, fractions=FRACTIONS)
    for column in ("mass", "price"):
        check_numbers(found["overall"][column], whole[column].to_numpy())
        for code, name in enumerate(("round", "long")):
            values = whole.loc[whole["kind"] == code, column].to_numpy()
            check_numbers(found["by_class"][name][column], values)


def test_parts_that_are_alike_are_read_once() -> None:
    frames = make_many()
    found, executor = describe_many(frames)
    check_many(found, frames)
    assert executor.calls == len(frames) + LEAST_LOOKED_AT


@pytest.mark.parametrize("by", ["mass", "price", "kind"])
def test_parts_that_differ_give_the_same_bits(by: str) -> None:
    whole = pd.concat(make_many(), ignore_index=True).sort_values(by, ignore_index=True)
    frames = [part.load() for part in parts_of(whole, 12)]
    found, executor = describe_many(frames)
    check_many(found, frames)
    assert executor.calls == 2 * len(frames) + LEAST_LOOKED_AT


def test_a_guess_that_was_wrong_changes_no_bit() -> None:
    frames = make_many()
    seen = {id(part.rows.frame) for part in parts_to_look_at(as_parts(frames))}
    for frame in frames:
        if id(frame) not in seen:
            frame["mass"] += 100.0
    found, executor = describe_many(frames)
    check_many(found, frames)
    assert executor.calls == 3 * len(frames) + LEAST_LOOKED_AT


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_a_fraction_beyond_the_range_is_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match="choose from 0 to 1"):
        describe(InThisProcess(), [], SCHEMA, fractions=(0.5, fraction))
