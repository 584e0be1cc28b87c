"""Cells as people and machines write them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from labkit.preprocess.fruit_files import SPELLINGS
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.cells import Cells, read_cells
from labkit.preprocess.sources.maps import read_source_maps
from labkit.preprocess.spec import find_spec

NAN = float("nan")
NUMBER = Column(name="x")
SIZE = Column(name="x", unit="cm")
KIND = Column(name="x", kind="category", names=("late", "on time", "Ärger"))
TEXT = Column(name="x", kind="text")


def cells(values: Any, column: Column, units: tuple[str, ...] = (), **settings: Any) -> Cells:
    of_source = {k: settings.pop(k) for k in ("missing", "decimal") if k in settings}
    entry = {"fields": {"x": {"column": "x", **settings}}, **of_source}
    (source,) = read_source_maps({"s": entry}, Schema(columns=(column,)), units)
    array = values if isinstance(values, (pa.Array, pa.DictionaryArray)) else pa.array(values)
    return read_cells(array, source.fields["x"], column, source)


def check(found: Cells, values: list[Any], unreadable: list[int]) -> None:
    if found.values.dtype == np.float64:
        np.testing.assert_allclose(found.values, values, rtol=1e-15)
    else:
        assert found.values.tolist() == values
    assert found.unreadable.tolist() == [bool(each) for each in unreadable]


@pytest.mark.parametrize(
    ("written", "values", "unreadable"),
    [
        ([1.5, None, NAN, np.inf], [1.5, NAN, NAN, NAN], [0, 0, 0, 1]),
        (["3", " ", "about 4", "", None], [3, NAN, NAN, NAN, NAN], [0, 0, 1, 0, 0]),
        (["+1", " -2.50 ", ".5", "5.", "1e3"], [1, -2.5, 0.5, 5, 1000], [0] * 5),
        (["0x10", "1_000", "1e999", "inf", "nan"], [NAN] * 5, [1] * 5),
        ([1, 2, None], [1, 2, NAN], [0, 0, 0]),
        ([True, False, None], [1, 0, NAN], [0, 0, 0]),
        ([Decimal("1.25"), None], [1.25, NAN], [0, 0]),
        (pa.array(["1", "2", "1"]).dictionary_encode(), [1, 2, 1], [0, 0, 0]),
        (pa.nulls(2), [NAN, NAN], [0, 0]),
        (pa.array([], pa.string()), [], []),
        ([b"\x01", None], [NAN, NAN], [1, 0]),
    ],
)
def test_numbers(written: Any, values: list[float], unreadable: list[int]) -> None:
    check(cells(written, NUMBER), values, unreadable)


def test_numbers_are_read_to_the_last_bit() -> None:
    numbers = np.random.default_rng(1).random(1000) * 1e5
    assert cells([repr(float(n)) for n in numbers], NUMBER).values.tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("decimal", "values"),
    [
        (",", [7.5, 1234.5, 1234.0, NAN]),
        (".", [NAN, NAN, 1.234, 7.5]),
        ("either", [7.5, NAN, 1.234, 7.5]),
    ],
)
def test_decimal_signs(decimal: str, values: list[float]) -> None:
    written = ["7,5", "1.234,5", "1.234", "7.5"]
    found = cells(written, NUMBER, decimal=decimal)
    if decimal == ",":
        values = [7.5, 1234.5, 1234.0, 75.0]  # a point parts thousands there
    np.testing.assert_allclose(found.values, values)
    (field_wins,) = cells(["7,5"], NUMBER, decimal=decimal).values[:1]
    assert np.isnan(field_wins) == (decimal == ".")


def test_written_units() -> None:
    written = ["2 in", "7,5 cm", "75mm", "big", "7.5", "", "3 kg", "1 MM", "-999 cm", "2 foot"]
    values = [5.08, 7.5, 7.5, NAN, NAN, NAN, NAN, 0.1, -999, 60.96]
    found = cells(written, SIZE, written_unit=True, decimal="either")
    check(found, values, [0, 0, 0, 1, 1, 0, 1, 0, 0, 0])


def test_a_cell_without_a_written_unit_is_in_the_source_s() -> None:
    check(cells(["2", "2 cm"], SIZE, written_unit=True, unit="in"), [5.08, 2], [0, 0])


def test_written_units_of_ones_own() -> None:
    euro = Column(name="x", unit="EUR")
    units = ("EUR = [currency]", "USD = EUR / 1.25")
    found = cells(["10 USD", "10 EUR", "10 cm"], euro, units, written_unit=True)
    check(found, [8, 10, NAN], [0, 0, 1])


def test_units_are_converted() -> None:
    check(cells(["2", "3"], SIZE, unit="in"), [5.08, 7.62], [0, 0])
    check(cells([50.0], Column(name="x", unit="degC"), unit="degF"), [10.0], [0])


@pytest.mark.parametrize("written", [["NA", "-999", " 5 ", "x"], ["-999", "NA", "5", "x"]])
def test_marks_of_missing_cells(written: list[str]) -> None:
    found = cells(written, NUMBER, missing=["NA", -999])
    assert np.isnan(found.values[[0, 1, 3]]).all()
    assert found.values[2] == 5
    assert found.unreadable.tolist() == [False, False, False, True]


def test_marks_of_missing_cells_among_numbers() -> None:
    check(cells([-999, 4], NUMBER, missing=["NA", "-999"]), [NAN, 4], [0, 0])
    check(cells([-999.0, 4.0], NUMBER, missing=[-999]), [NAN, 4], [0, 0])


def test_names_are_known_in_any_spelling() -> None:
    written = ["LATE", " on  time", "ontime", "arger", "ÄRGER", "pünktlich", "delayed", "", None]
    spellings = {"on time": ["Punktlich"]}
    codes = [0, 1, 1, 2, 2, 1, -1, -1, -1]
    check(cells(written, KIND, spellings=spellings), codes, [0, 0, 0, 0, 0, 0, 1, 0, 0])


def test_names_that_differ_by_case_alone_are_told_apart() -> None:
    column = Column(name="x", kind="category", names=("a", "A"))
    check(cells(["a", "A", " A "], column), [0, 1, 1], [0, 0, 0])
    column = Column(name="x", kind="category", names=("bb", "BB"))
    check(cells(["Bb"], column), [-1], [1])


def test_codes_stand_for_names() -> None:
    for written in ([1, 2, 9], [1.0, 2.0, 9.0], ["1", " 2", "9"]):
        check(cells(written, KIND, codes={"1": "late", 2: "on time"}), [0, 1, -1], [0, 0, 1])


def test_thresholds_make_classes_of_a_number() -> None:
    column = Column(name="x", kind="category", names=("early", "on time", "late"))
    found = cells(["-5", "0", "15", "15.1", "NA", "soon"], column, above=[0, 15], missing=["NA"])
    check(found, [0, 0, 1, 2, -1, -1], [0, 0, 0, 0, 0, 1])


def test_tables_turn_words_into_numbers() -> None:
    found = cells(["Dark Green", "RED", "pink", ""], NUMBER, table={"dark green": 31, "red": 224})
    check(found, [31, 224, NAN, NAN], [0, 0, 1, 0])


def test_patterns_take_a_part_of_the_text() -> None:
    pattern = "#[0-9a-fA-F]{2}([0-9a-fA-F]{2})[0-9a-fA-F]{2}"
    found = cells(["#ff8000", "#FFa000", "ff8000", "#zz8000", None, "#ff80001"], NUMBER,
                  pattern=pattern, base=16)  # fmt: skip
    check(found, [128, 160, NAN, NAN, NAN, NAN], [0, 0, 1, 1, 0, 1])
    check(cells(["row 7", "row x"], NUMBER, pattern=r"row (\d+)"), [7, NAN], [0, 1])
    check(cells(["a-late", "b"], KIND, pattern="a-(.*)"), [0, -1], [0, 1])
    check(cells(["a-7", "b"], TEXT, pattern="a-(.*)"), ["7", None], [0, 1])


def test_dates_become_days() -> None:
    written = ["1970-01-02", "1970-01-01 12:00", "1970-01-01T06:00:00Z", "32.1.1970", ""]
    check(cells(written, NUMBER, date="iso"), [1, 0.5, 0.25, NAN, NAN], [0, 0, 0, 1, 0])
    check(cells(["02.01.1970"], NUMBER, date="%d.%m.%Y"), [1], [0])
    check(cells([dt.date(1970, 1, 3), None], NUMBER, date="iso"), [2, NAN], [0, 0])
    stamp = pa.array([dt.datetime(1970, 1, 1, 18)], pa.timestamp("us"))
    check(cells(stamp, NUMBER, date="iso"), [0.75], [0])


def test_dates_in_the_column_s_unit_and_parts_of_dates() -> None:
    hours = Column(name="x", unit="hour")
    for unit in ("", "hour", "day"):
        check(cells(["1970-01-02"], hours, date="iso", unit=unit), [24], [0])
    check(cells(["1970-01-02"], NUMBER, date="iso", unit="hour"), [24], [0])
    times = pd.date_range("2013-01-01", periods=9000, freq="h")
    found = cells(times.strftime("%Y-%m-%d %H:%M").tolist(), hours, date="iso").values
    assert found.tolist() == [376944 + n for n in range(9000)]
    for part, value in (("hour", 5), ("weekday", 2), ("month", 12), ("day_of_year", 359)):
        check(cells(["2013-12-25 05:30"], NUMBER, date="iso", part=part), [value], [0])


def test_texts_are_kept_as_they_are() -> None:
    check(cells([" a b ", "", None, "7"], TEXT), ["a b", None, None, "7"], [0, 0, 0, 0])
    check(cells([1, 2.5, 3.0], TEXT), ["1", "2.5", "3"], [0, 0, 0])
    check(cells([1, 2], TEXT, codes={1: "one"}), ["one", "2"], [0, 0])
    check(cells([[1, 2], None], TEXT), ["[1, 2]", None], [0, 0])
    check(cells([True, None], TEXT), ["true", None], [0, 0])


@pytest.mark.parametrize("code", [0, 1])
def test_every_spelling_of_a_fruit_is_known(code: int) -> None:
    spec = find_spec("fruit")
    source = spec.sources[2]
    written = pa.array(SPELLINGS[code])
    found = read_cells(written, source.fields["fruit"], spec.schema.column("fruit"), source)
    check(found, [code] * len(written), [0] * len(written))
