"""Units that suit the size."""

from __future__ import annotations

import pytest

from labkit.figures.axis_units import byte_unit, said_bytes, said_time, time_unit


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(5.0, "seconds"), (1.9, "milliseconds"), (2.5e-3, "milliseconds"), (4e-4, "microseconds")],
)
def test_time_axis_shows_numbers_of_a_handy_size(seconds: float, name: str) -> None:
    assert time_unit(seconds).name == name


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1.9, "1.9 s"), (0.0412, "41.2 ms"), (3.2e-5, "32 µs"), (0.9996, "1,000 ms"), (0.0, "0 µs")],
)
def test_times_are_said_with_three_digits(seconds: float, said: str) -> None:
    assert said_time(seconds) == said


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [(0, "0 B"), (999, "999 B"), (1050, "1.05 kB"), (80e9, "80 GB"), (2.5e15, "2,500 TB")],
)
def test_bytes_are_said_in_decimal_units(num_bytes: float, said: str) -> None:
    assert said_bytes(num_bytes) == said


def test_byte_axis_is_named_in_full() -> None:
    assert byte_unit(3e6).name == "megabytes"
