"""Names and numbers for people."""

from __future__ import annotations

import pytest

from labkit.figures.preprocess_words import counted, details_of, named_unit, picture_of, said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0"), (2024.0, "2024"), (12_345.0, "12,345"), (0.27654, "0.277"),
        (1234.5, "1,234"), (-2537.46, "-2,537"), (11_271_613.2, "11.3 M"), (5.1e11, "510 G"),
        (1e6, "1,000,000"), (1e18, "1.00e+18"),
        (1_031_587_068, "1.03 G"), (999_927_172_695, "1 T"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_or_are_whole(value: float | None, text: str) -> None:
    assert said(value) == text


def test_counts_are_written_in_full() -> None:
    assert counted(12_000_000) == "12,000,000"
    assert counted(0.5) == "0.5"


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("diameter_cm", "diameter (cm)"), ("price_eur", "price (EUR)"),
        ("wind_km_per_h", "wind (km/h)"), ("harvest_year", "harvest year"),
        ("cm", "cm"), ("dep_time", "dep time"), ("x", "x"),
    ],
)  # fmt: skip
def test_units_at_the_end_of_a_name_are_told_apart(column: str, text: str) -> None:
    assert named_unit(column) == text


def test_a_step_that_did_not_run_is_empty() -> None:
    assert picture_of({}, "cleaning") == {}
    assert details_of({"steps": [{"name": "cleaning"}]}, "cleaning") == {}
