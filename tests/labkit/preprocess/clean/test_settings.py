"""Settings of cleaning: exceptions by column, and what each refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.preprocess.clean.settings import CleaningSettings, ColumnCleaning, Related, Rule
from labkit.preprocess.step import read_settings


def test_a_column_has_its_own_setting_or_that_for_all() -> None:
    settings = CleaningSettings(
        fill="mean", columns={"a": ColumnCleaning(fill="median", factor=2.0, sentinels=())}
    )
    assert (settings.of("a", "fill"), settings.of("b", "fill")) == ("median", "mean")
    assert (settings.of("a", "factor"), settings.of("b", "factor")) == (2.0, 3.0)
    assert (settings.of("a", "sentinels"), settings.of("b", "sentinels")) == ((), "auto")
    assert settings.of("a", "outliers") == "auto"


def test_settings_are_read_as_they_stand_in_a_file() -> None:
    values = {
        "columns": {"a": {"unit_slips": [10, 1000], "least": 0}},
        "rules": [{"expression": "a / b", "greatest": 3, "blame": ["a"]}],
        "related": [{"columns": ["a", "b"], "power": 3}],
        "evidence": ["a"],
    }
    settings = read_settings(CleaningSettings, values, "[cleaning]")
    assert settings.columns == {"a": ColumnCleaning(unit_slips=(10, 1000), least=0)}
    assert settings.rules == (Rule(expression="a / b", greatest=3, blame=("a",)),)
    assert settings.rules[0].columns == ("a", "b")
    assert settings.rules[0].blamed == ("a",)
    assert Rule(expression="a / b", least=0).blamed == ("a", "b")
    assert settings.related == (Related(columns=("a", "b"), power=3),)
    assert settings.evidence == ("a",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fill": "guess"}, "fill = 'guess'; choose from mean, median, mode, group_mean"),
        ({"fill": "constant"}, r"put it in \[cleaning.columns.NAME\]"),
        ({"fill_categories": "mean"}, "fill_categories = 'mean'; choose from mode, none"),
        ({"outliers": "tuckey"}, "outliers = 'tuckey'; choose from auto, tukey, log_tukey"),
        ({"factor": 0}, "factor must be above 0, not 0; use 3"),
        ({"threshold": -1.0}, "threshold must be above 0, not -1.0; use 5"),
        ({"most": 2}, "most is a share of the values, not 2; use 0.01"),
        ({"odds": 1}, "odds must be above 1, not 1; use 1000"),
        ({"sentinels": "some"}, "sentinels = 'some'; give a list of numbers, or \"auto\""),
        ({"unit_slips": [0.1]}, "unit slip 0.1 must be above 1"),
        ({"columns": {"a": {"fil": "mean"}}}, r"\[cleaning.columns.a\] has no setting 'fil'"),
        ({"columns": {"a": {"fill": "constant"}}}, "needs a constant; give constant = VALUE"),
        ({"columns": {"a": {"least": 3, "greatest": 1}}}, "least 3 is above greatest 1"),
        ({"rules": [{"least": 3}]}, r"\[cleaning\] rules cannot be read: .*expression"),
        ({"rules": [{"expression": "a / b"}]}, "rule 'a / b' has no bound; give least, greatest"),
        (
            {"rules": [{"expression": "a / b", "least": 0, "blame": ["c"]}]},
            "rule 'a / b' blames c; choose from a, b",
        ),
        ({"related": [{"columns": ["a", "a"]}]}, "give two different columns and a power other"),
        ({"related": [{"columns": ["a", "b"], "power": 0}]}, "give two different columns"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_settings(CleaningSettings, values, "[cleaning]")
