"""What a specification says of its sources, and every way to get it wrong."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.maps import Field, SourceMap, read_source_maps
from labkit.preprocess.spec import find_spec

UNITS = ("EUR = [currency]", "USD = EUR / 1.08")
COLUMNS = Schema(
    columns=(
        Column(name="size_cm", unit="cm"),
        Column(name="price", unit="EUR"),
        Column(name="warmth", unit="degC"),
        Column(name="plain"),
        Column(name="when", unit="hour"),
        Column(name="kind", kind="category", names=("apple", "pear")),
        Column(name="note", kind="text"),
    )
)


def read(fields: Any, **settings: Any) -> SourceMap:
    (found,) = read_source_maps({"shop": {"fields": fields, **settings}}, COLUMNS, UNITS)
    return found


def refusal(fields: Any, **settings: Any) -> str:
    with pytest.raises(SettingError) as caught:
        read(fields, **settings)
    message = str(caught.value)
    assert message.startswith("[sources.shop]")
    return message


@pytest.mark.parametrize(
    ("column", "unit", "factor", "offset"),
    [
        ("size_cm", "cm", 1.0, 0.0),
        ("size_cm", "mm", 0.1, 0.0),
        ("size_cm", "in", 2.54, 0.0),
        ("price", "USD", 1 / 1.08, 0.0),
        ("warmth", "degF", 5 / 9, -160 / 9),
        ("when", "day", 24.0, 0.0),
    ],
)
def test_units_become_exact_factors(column: str, unit: str, factor: float, offset: float) -> None:
    field = read({column: {"column": "x", "unit": unit}}).fields[column]
    assert field.factor == pytest.approx(factor, rel=1e-15)
    assert field.offset == pytest.approx(offset, rel=1e-15)


def test_a_pound_is_exact() -> None:
    (found,) = read_source_maps(
        {"shop": {"fields": {"w": {"column": "x", "unit": "lb"}}}},
        Schema(columns=(Column(name="w", unit="g"),)),
    )
    assert found.fields["w"].factor == 453.59237


def test_maps_are_plain_and_can_be_sent() -> None:
    maps = find_spec("fruit").sources
    assert [each.name for each in maps] == ["orchard", "market", "questionnaire"]
    assert [each.priority for each in maps] == [0, 1, 2]
    assert pickle.loads(pickle.dumps(maps)) == maps


def test_a_short_form_names_the_column_alone() -> None:
    assert read({"plain": "their name"}).fields == {"plain": Field(column="their name")}


def test_sources_come_in_the_order_of_their_priority() -> None:
    both = {
        "second": {"fields": {"plain": "a"}, "priority": 7},
        "first": {"fields": {"plain": "b"}, "priority": 3},
    }
    assert [each.name for each in read_source_maps(both, COLUMNS, UNITS)] == ["first", "second"]


def test_a_query_or_a_table_makes_it_a_database() -> None:
    assert read({"plain": "a"}, table="t").kind == "sql"
    assert read({"plain": "a"}).kind == ""


def test_which_files_a_map_is_for() -> None:
    shop = read({"plain": "a"}, match="20*.csv")
    assert shop.fits("csv", "2024.csv")
    assert not shop.fits("csv", "old.csv")
    assert not shop.fits("sql", "2024.csv")
    assert not read({"plain": "a"}, kind="parquet").fits("csv", "a.csv")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size": "x"}, "fields.size: there is no column 'size'; did you mean size_cm? The col"),
        ({"size_cm": {"column": "x", "unit": "cmm"}}, "unit 'cmm' is unknown; did you mean mm, cm"),
        ({"price": {"column": "x", "unit": "USB"}}, "unit 'USB' is unknown; did you mean USD"),
        ({"size_cm": {"column": "x", "unit": "5 cm"}}, "unit '5 cm' is unknown"),
        ({"size_cm": {"column": "x", "unit": "g"}}, "'g' is a unit of [mass] and 'cm' one of [le"),
        ({"size_cm": {"column": "x", "unit": "EUR"}}, "'EUR' is a unit of [currency]"),
        ({"plain": {"column": "x", "unit": "g"}}, "has unit 'g', but the column has none"),
        ({"plain": {"column": "x", "written_unit": True}}, "has written units; give [columns.pl"),
        ({"plain": {"column": "x", "factor": 2.0}}, "has no setting 'factor'; choose from column"),
        ({"plain": {"unit": "g"}}, "cannot be read: "),
        ({"plain": ""}, "name the source's column"),
        ({"plain": {"column": "x", "codes": {"1": "apple"}}}, "codes cannot be used for plain"),
        ({"plain": {"column": "x", "codes": ["apple"]}}, "codes is ['apple']; write it as {"),
        ({"note": {"column": "x", "table": {"a": 1}}}, "table cannot be used for note, which is a"),
        ({"kind": {"column": "x", "date": "iso"}}, "date cannot be used for kind"),
        ({"kind": {"column": "x", "codes": {"1": "plum"}}}, "names 'plum', but kind knows apple"),
        ({"kind": {"column": "x", "spellings": {"plum": ["p"]}}}, "names 'plum', but kind knows"),
        (
            {"kind": {"column": "x", "spellings": {"apple": ["Péar"]}}},
            "spelling 'Péar' stands for two names",
        ),
        ({"kind": {"column": "x", "above": [1, 2]}}, "2 thresholds make 3 classes, but kind has 2"),
        ({"kind": {"column": "x", "above": [2, 1]}}, "thresholds must rise"),
        ({"plain": {"column": "x", "decimal": ";"}}, "decimal ';'; choose from ., ,, either"),
        ({"plain": {"column": "x", "date": "iso", "part": "age"}}, "part 'age' of a date; choose"),
        ({"size_cm": {"column": "x", "date": "iso"}}, "'day' is a unit of [time] and 'cm' one of"),
        ({"plain": {"column": "x", "part": "hour"}}, 'give date = "iso" or its format'),
        ({"plain": {"column": "x", "pattern": "("}}, "is no regular expression"),
        ({"plain": {"column": "x", "pattern": "a"}}, "has 0 groups; put () around what is read"),
        ({"plain": {"column": "x", "pattern": "(a)", "base": 1}}, "base 1; choose from 2 to 36"),
    ],
)
def test_fields_are_refused_with_what_is_wrong(fields: Any, said: str) -> None:
    assert said in refusal(fields)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "excel"}, "kind 'excel'; choose from parquet, csv, jsonl, sql"),
        ({"colour": "red"}, "has no setting 'colour'; choose from name, priority"),
        ({"kind": "csv", "table": "t"}, "table, query and by are for kind sql, not csv"),
        ({"table": "t", "query": "SELECT 1"}, "table and query are both given; keep one"),
        ({"separator": ";;"}, "separator ';;'; give one character"),
        ({"encoding": "latin-one"}, "encoding 'latin-one' is unknown; try utf-8"),
        ({"decimal": "comma"}, "decimal 'comma'; choose from"),
    ],
)
def test_settings_are_refused_with_what_is_wrong(settings: Any, said: str) -> None:
    assert said in refusal({"plain": "x"}, **settings)


def test_a_source_without_fields() -> None:
    assert "lacks fields; say which" in refusal({})


def test_definitions_and_units_of_columns_are_checked() -> None:
    for units, said in (
        (("USD = EUR / 1.08",), "is no definition"),
        (("EUR [currency]",), "is no definition"),
    ):
        with pytest.raises(SettingError, match=said):
            read_source_maps({"shop": {"fields": {"plain": "x"}}}, COLUMNS, units)
    wrong = Schema(columns=(Column(name="x", unit="furlogs"),))
    with pytest.raises(SettingError, match=r"\[columns.x\]: unit 'furlogs' is unknown"):
        read_source_maps({"shop": {"fields": {"x": "x"}}}, wrong)


def test_too_many_sources() -> None:
    many = {f"s{n}": {"fields": {"plain": "x"}} for n in range(128)}
    with pytest.raises(SettingError, match="128 sources are described; at most 127 can be"):
        read_source_maps(many, COLUMNS, UNITS)
