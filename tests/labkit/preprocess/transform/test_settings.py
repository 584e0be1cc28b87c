"""Settings of transformation: read from plain values, and refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.preprocess.step import read_settings
from labkit.preprocess.transform.settings import Discretise, Generalise, TransformationSettings


def read(**values: Any) -> TransformationSettings:
    return read_settings(TransformationSettings, values, "[transformation]")


def test_the_defaults_are_for_any_data() -> None:
    settings = read()
    assert (settings.scale, settings.encode) == ("standard", "one_hot")
    assert settings.columns == ()


def test_tables_become_settings_of_their_columns() -> None:
    settings = read(
        scale="min_max",
        scale_columns={"mass": "robust"},
        discretise={"size": {"method": "equal_frequency", "bins": 4, "output": "one_hot"}},
        generalise={"city": {"hierarchy": [["Faro", "Portugal"]], "level": 1}},
    )
    assert settings.discretise["size"] == Discretise(
        method="equal_frequency", bins=4, output="one_hot"
    )
    assert settings.generalise["city"].above("Faro") == "Portugal"
    assert settings.columns == ("mass", "city", "size")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": "log"}, "scale 'log' is unknown; choose from standard, min_max, robust, none"),
        ({"encode": "hash"}, "encode 'hash' is unknown; choose from one_hot, code"),
        ({"scale_columns": {"a": "x"}}, r"scale_columns\.a 'x' is unknown"),
        ({"encode_columns": {"a": "x"}}, r"encode_columns\.a 'x' is unknown"),
        ({"discretise": {"a": {"method": "x"}}}, r"discretise\.a\]: method 'x' is unknown"),
        ({"discretise": {"a": {"output": "x"}}}, "output 'x' is unknown"),
        ({"discretise": {"a": {"bin": 3}}}, r"\[transformation.discretise.a\] has no setting"),
        ({"discretise": {"a": {"bins": 1}}}, "bins=1; choose a whole number >= 2"),
        ({"discretise": {"a": {"bins": 3, "names": ["x", "y"]}}}, "bins=3 but 2 names"),
        ({"discretise": {"a": {"names": ["x", "x"]}}}, "each once"),
        (
            {"discretise": {"a": {"method": "entropy", "names": ["x", "y"]}}},
            "finds how many bins there are",
        ),
        ({"generalise": {"a": {}}}, r"generalise\.a\]: there is no hierarchy"),
        (
            {"generalise": {"a": {"hierarchy": {"x": "y"}, "level": "country"}}},
            "level 'country' is a name, but levels names none",
        ),
        (
            {"generalise": {"a": {"hierarchy": {"x": "y"}, "level": "z", "levels": ["u", "v"]}}},
            "level 'z' is unknown; choose from u, v",
        ),
        ({"generalise": {"a": {"hierarchy": {"x": "y"}, "level": -1}}}, "number of steps >= 0"),
        ({"generalise": {"a": {"edges": [2, 1], "names": ["x", "y", "z"]}}}, "must rise"),
        ({"generalise": {"a": {"edges": [1], "names": ["x"]}}}, "1 edges make 2 intervals but"),
        ({"generalise": {"a": {"edges": [float("inf")], "names": ["x", "y"]}}}, "finite"),
        (
            {
                "generalise": {"a": {"edges": [1], "names": ["x", "y"]}},
                "discretise": {"a": {"bins": 2}},
            },
            "a would be both generalised and discretised",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(values: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read(**values)


def test_a_hierarchy_is_rows_or_a_table() -> None:
    rows = Generalise(
        hierarchy=[["Faro", "Algarve", "Portugal"], ["Porto", "Norte", "Portugal"]],
        levels=("city", "province", "country"),
        level="country",
    )
    steps = Generalise(
        hierarchy={"Faro": "Algarve", "Porto": ["Norte", "Portugal"], "Algarve": "Portugal"},
        level=2,
    )
    for settings in (rows, steps):
        assert [settings.above(city) for city in ("Faro", "Porto", "Paris")] == [
            "Portugal", "Portugal", None
        ]  # fmt: skip


def test_level_0_leaves_a_name_as_it_is() -> None:
    assert Generalise(hierarchy={"a": "b"}, level=0).above("a") == "a"
