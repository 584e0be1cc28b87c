"""Settings of integration, as they stand in a specification."""

from __future__ import annotations

import pickle
import tomllib
from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.preprocess.integrate.settings import (
    Compare,
    IntegrationSettings,
    LookupSettings,
    MatchSettings,
)
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.step import read_settings

TEXT = """
duplicates = "keep"
require_label = false

[tolerance]
weight_g = 0.02

[match]
block = ["city", "harvest_day"]
threshold = 0.85
[match.compare]
name = { weight = 3, ratio = "words" }
weight_g = { tolerance = 0.05 }

[lookups.weather]
on = { city = "place" }
prefix = "weather_"
source = { match = "weather.csv", fields = { place = "where", temperature_c = "temp" } }
[lookups.weather.columns]
place = { kind = "category", names = ["Faro", "Fresno"] }
temperature_c = { unit = "degC" }
"""
SCHEMA = Schema(
    columns=(
        Column(name="name", kind="text"),
        Column(name="city", kind="category", names=("Faro", "Fresno")),
        Column(name="harvest_day"),
        Column(name="weight_g"),
    )
)


def read(text: str) -> IntegrationSettings:
    return read_settings(IntegrationSettings, tomllib.loads(text), "[integration]")


def test_nested_settings_are_read_from_toml() -> None:
    settings = read(TEXT)
    settings.check(SCHEMA)
    assert settings.match == MatchSettings(
        block=("city", "harvest_day"),
        compare={"name": Compare(weight=3, ratio="words"), "weight_g": Compare(tolerance=0.05)},
        threshold=0.85,
    )
    weather = settings.lookups["weather"]
    assert weather.on == {"city": "place"}
    assert weather.added == ("temperature_c",)
    assert weather.schema.categories == {"place": ("Faro", "Fresno")}
    assert weather.source["match"] == "weather.csv"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_defaults_suit_any_data() -> None:
    settings = IntegrationSettings()
    settings.check(Schema(columns=(Column(name="x"),)))
    assert settings.tolerance_of(Column(name="x")) == 1e-6
    assert settings.tolerance_of(Column(name="c", kind="category")) == 0.0
    assert settings.match is None


def test_names_alone_join_columns_that_are_called_the_same() -> None:
    columns = (Column(name="code", kind="text"), Column(name="lat"))
    assert LookupSettings(on=("code",), columns=columns).on == {"code": "code"}  # type: ignore[arg-type]
    assert LookupSettings(on="code", columns=columns).on == {"code": "code"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"duplicates": "some"}, "duplicates 'some'; choose from drop, keep"),
        ({"require_label": 1}, "require_label 1; choose true or false"),
        ({"tolerance": {"x": 2}}, "tolerance of x is 2; choose a relative difference"),
        ({"tolerance": {"x": True}}, "tolerance of x is True"),
        ({"match": "names"}, r"\[integration.match\] is 'names'; give it as a table"),
        ({"match": {"block": [], "compare": {"x": {}}}}, "matching needs columns in 'block'"),
        ({"match": {"block": "x", "compare": {}}}, "matching needs columns in 'block'"),
        ({"match": {"block": "x", "compare": {"x": {}}, "threshold": 0}}, "threshold 0 of match"),
        (
            {"match": {"block": "x", "compare": {"x": {}}, "least_evidence": 2}},
            "least_evidence 2 of match",
        ),
        (
            {"match": {"block": "x", "compare": {"x": {}}, "greatest_block": 1}},
            "greatest_block 1; two rows",
        ),
        ({"match": {"block": "x", "compare": {"x": {"weight": 0}}}}, "weight 0 of a comparison"),
        ({"match": {"block": "x", "compare": {"x": {"tolerance": -1}}}}, "tolerance of a compar"),
        ({"match": {"block": "x", "compare": {"x": {"ratio": "a"}}}}, "choose from letters, words"),
        ({"match": {"block": "x", "compare": {"x": {"size": 1}}}}, "has no setting 'size'"),
        ({"lookups": {"a": {"on": "c", "columns": {}}}}, "joined on c, but its columns are not"),
        ({"lookups": {"a": {"on": "c", "columns": {"c": {}}}}}, "a lookup adds no column"),
        ({"lookups": {"a": {"on": [], "columns": {"c": {}}}}}, "joined on nothing"),
    ],
)
def test_wrong_values_are_named_with_the_remedy(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_settings(IntegrationSettings, values, "[integration]")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tolerance": {"name": 0.1}}, "tolerance names name, but the number columns are"),
        ({"match": {"block": "town", "compare": {"name": {}}}}, "match.block names town"),
        ({"match": {"block": "city", "compare": {"title": {}}}}, "match.compare names title"),
    ],
)
def test_columns_that_are_not_there_are_named(values: dict[str, Any], message: str) -> None:
    settings = read_settings(IntegrationSettings, values, "[integration]")
    with pytest.raises(SettingError, match=message):
        settings.check(SCHEMA)
