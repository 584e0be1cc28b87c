"""Small tables are joined by name, without changing the number or order of rows."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SettingError, SourceError
from labkit.preprocess.integrate.lookups import Lookup, join_counts, join_tables
from labkit.preprocess.integrate.settings import LookupSettings
from labkit.preprocess.parts import parts_of
from labkit.preprocess.schema import KEY, Column, Schema

ORIGINS = ("EWR", "JFK", "LGA")
ROWS = Schema(
    columns=(
        Column(name="origin", kind="category", names=ORIGINS),
        Column(name="hour", unit="hour"),
        Column(name="tailnum", kind="text"),
    ),
    key=("hour",),
    label="origin",
)
WEATHER = LookupSettings(
    on={"origin": "airport", "hour": "hour"},
    columns=(
        Column(name="airport", kind="category", names=("LGA", "ORD", "EWR")),
        Column(name="hour", unit="hour"),
        Column(name="temperature_c", unit="degC"),
        Column(name="sky", kind="category", names=("clear", "rain")),
        Column(name="remark", kind="text"),
    ),
    prefix="weather_",
)
PLANES = LookupSettings(
    on={"tailnum": "tailnum"},
    columns=(Column(name="tailnum", kind="text"), Column(name="seats")),
)


def flights(**values: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            KEY: np.arange(5),
            "origin": np.array([2, 0, 1, -1, 0], dtype="int32"),
            "hour": [1.0, 2.0, 1.0, 1.0, np.nan],
            "tailnum": pd.Series(["N1", None, "N2", "N9", "N1"], dtype=object),
            **values,
        }
    )
    return frame


def weather(rows: int = 4) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "airport": np.array([0, 0, 2, 1], dtype="int32"),
            "hour": [1.0, 2.0, 2.0, 1.0],
            "temperature_c": [10.0, 11.0, np.nan, 13.0],
            "sky": np.array([1, 0, 0, -1], dtype="int32"),
            "remark": pd.Series(["fog", None, "wind", None], dtype=object),
        }
    )
    return frame.iloc[:rows]


def planes() -> pd.DataFrame:
    texts = pd.Series(["N2", "N1", None, None], dtype=object)
    return pd.DataFrame({"tailnum": texts, "seats": [50.0, 180.0, 1.0, 2.0]})


def weather_lookup() -> Lookup:
    return Lookup(name="weather", frame=weather(), settings=WEATHER, schema=ROWS)


def test_values_are_joined_by_the_names_of_categories() -> None:
    found = weather_lookup().apply(flights())
    assert found[KEY].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found["weather_temperature_c"], [10.0] + [np.nan] * 4)
    assert found["weather_sky"].tolist() == [1, 0, -1, -1, -1]
    assert found["weather_sky"].dtype == np.int32
    assert found["weather_remark"].isna().tolist() == [False, False, True, True, True]
    assert found["weather_remark"].tolist()[:2] == ["fog", "wind"]


def test_the_schema_tells_of_the_new_columns_and_keeps_key_and_label() -> None:
    after = weather_lookup().schema_after
    assert [column.name for column in after.columns] == [
        *("origin", "hour", "tailnum"),
        *("weather_temperature_c", "weather_sky", "weather_remark"),
    ]
    assert after.column("weather_temperature_c").unit == "degC"
    assert after.column("weather_sky").names == ("clear", "rain")
    assert (after.key, after.label) == (ROWS.key, ROWS.label)


def test_rows_without_a_partner_are_counted() -> None:
    plane = Lookup(name="planes", frame=planes(), settings=PLANES, schema=ROWS)
    assert join_counts(flights(), [weather_lookup(), plane]) == {
        "weather: matched": 2,
        "weather: unmatched": 3,
        "planes: matched": 3,
        "planes: unmatched": 2,
    }
    found = plane.apply(flights())["seats"]
    np.testing.assert_array_equal(found, [180.0, np.nan, 50.0, np.nan, 180.0])


def test_a_table_can_be_joined_on_a_column_of_the_one_before() -> None:
    plane = Lookup(name="planes", frame=planes(), settings=PLANES, schema=ROWS)
    columns = (Column(name="seats"), Column(name="size", kind="category", names=("small", "big")))
    sizes = pd.DataFrame({"seats": [50.0, 180.0], "size": np.array([0, 1], dtype="int32")})
    size = Lookup(
        name="sizes",
        frame=sizes,
        settings=LookupSettings(on={"seats": "seats"}, columns=columns),
        schema=plane.schema_after,
    )
    joined, counts = join_tables(flights(), [plane, size])
    assert joined["size"].tolist() == [1, -1, 0, -1, 1]
    assert counts["sizes: unmatched"] == 2
    assert join_counts(flights(), [plane, size]) == counts
    assert join_tables(flights(), [])[1] == {}


def test_it_equals_pandas_merge_on_many_rows() -> None:
    rng = np.random.default_rng(0)
    table = weather().iloc[:0].copy()
    grid = [(airport, float(hour)) for airport in range(3) for hour in range(400)]
    chosen = [grid[at] for at in rng.permutation(len(grid))[:900]]
    table = pd.DataFrame(chosen, columns=["airport", "hour"]).astype({"airport": "int32"})
    table["temperature_c"] = rng.normal(size=len(table))
    table["sky"] = rng.integers(-1, 2, len(table)).astype("int32")
    table["remark"] = pd.Series([f"r{at}" for at in range(len(table))], dtype=object)
    rows = pd.DataFrame(
        {
            "origin": rng.integers(-1, 3, 5000).astype("int32"),
            "hour": rng.integers(0, 450, 5000).astype(float),
        }
    )
    found = Lookup(name="weather", frame=table, settings=WEATHER, schema=ROWS).apply(rows)
    named = {"airport": np.array([*WEATHER.columns[0].names, "-"])[table["airport"]]}
    right = table.assign(**named)
    left = rows.assign(airport=np.array([*ORIGINS, "none"])[rows["origin"]])
    expected = left.merge(right, on=["airport", "hour"], how="left")
    np.testing.assert_array_equal(found["weather_temperature_c"], expected["temperature_c"])
    np.testing.assert_array_equal(found["weather_sky"], expected["sky"].fillna(-1))


def test_parts_are_joined_as_the_whole() -> None:
    lookup, frame = weather_lookup(), flights()
    pieces = [part.then(lookup).load() for part in parts_of(frame, 3)]
    together = pd.concat(pieces, ignore_index=True).astype({"weather_remark": "str"})
    pd.testing.assert_frame_equal(together, lookup.apply(frame).astype({"weather_remark": "str"}))


def test_what_is_given_is_not_changed() -> None:
    frame, table = flights(), weather()
    before = frame.copy(), table.copy()
    Lookup(name="weather", frame=table, settings=WEATHER, schema=ROWS).apply(frame)
    pd.testing.assert_frame_equal(frame, before[0])
    pd.testing.assert_frame_equal(table, before[1])


def test_only_gaps_of_a_column_that_is_there_are_filled() -> None:
    sky = Column(name="weather_sky", kind="category", names=("rain", "snow"))
    heat = Column(name="weather_temperature_c", unit="degC")
    schema = Schema(columns=(*ROWS.columns, sky, heat))
    frame = flights(
        weather_sky=np.array([-1, -1, 1, 0, -1], dtype="int32"),
        weather_temperature_c=[5.0, 6.0, np.nan, np.nan, np.nan],
    )
    lookup = Lookup(name="weather", frame=weather(), settings=WEATHER, schema=schema)
    found = lookup.apply(frame)
    assert lookup.schema_after.column("weather_sky").names == ("rain", "snow", "clear")
    assert found["weather_sky"].tolist() == [0, 2, 1, 0, -1]
    np.testing.assert_array_equal(found["weather_temperature_c"], [5.0, 6.0] + [np.nan] * 3)


def test_two_rows_for_one_value_are_an_error_that_names_it() -> None:
    table = pd.concat([weather(), weather()], ignore_index=True)
    message = "weather has 4 rows too many: more than one for airport = LGA, hour = 1.0; keep one"
    with pytest.raises(SourceError, match=message):
        Lookup(name="weather", frame=table, settings=WEATHER, schema=ROWS)


def test_an_empty_table_and_no_rows() -> None:
    empty = Lookup(name="weather", frame=weather(0), settings=WEATHER, schema=ROWS)
    assert empty.apply(flights())["weather_temperature_c"].isna().all()
    assert join_counts(flights(), [empty])["weather: unmatched"] == 5
    found = weather_lookup().apply(flights().iloc[:0])
    assert found.empty
    assert "weather_sky" in found.columns


def test_it_travels_and_is_saved() -> None:
    lookup = weather_lookup()
    saved = Lookup.from_dict(json.loads(json.dumps(lookup.to_dict(), allow_nan=False)))
    for each in (saved, pickle.loads(pickle.dumps(lookup))):
        expected = lookup.apply(flights())
        pd.testing.assert_frame_equal(each.apply(flights()), expected)
        assert each.schema_after == lookup.schema_after


@pytest.mark.parametrize(
    ("on", "column", "message"),
    [
        ({"town": "airport"}, Column(name="x"), "joined on town, but the columns are origin, hour"),
        ({"hour": "airport"}, Column(name="x"), r"joins hour \(number, in hour\) on airport \(cat"),
        ({"hour": "x"}, Column(name="x", unit="s"), r"on x \(number, in s\); declare both alike"),
        (
            {"origin": "airport"},
            Column(name="tailnum"),
            r"adds tailnum \(number\), but the rows have tailnum \(text\)",
        ),
    ],
)
def test_columns_that_do_not_fit_are_named(
    on: dict[str, str], column: Column, message: str
) -> None:
    airport = Column(name="airport", kind="category", names=("LGA",))
    settings = LookupSettings(on=on, columns=(airport, column))
    frame = pd.DataFrame({"airport": np.array([0], dtype="int32"), column.name: [1.0]})
    with pytest.raises(SettingError, match=message):
        Lookup(name="weather", frame=frame, settings=settings, schema=ROWS)
