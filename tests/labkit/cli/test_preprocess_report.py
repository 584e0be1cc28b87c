"""What the command line tells of a preprocessing."""

from __future__ import annotations

from labkit.cli.preprocess_report import preprocess_table


def test_preprocessing_is_told_by_step_column_and_quality() -> None:
    step = {"name": "integration", "seconds": 0.5, "rows_in": 100, "rows_out": 95}
    step |= {"note": "5 duplicates removed", "details": {"duplicates": 5, "conflicts": {}}}
    fruit = {"count": 99, "missing": 1, "mode": "orange"}
    weight = {"count": 90, "missing": 10, "min": 1.0, "median": 2.5}
    report = {
        "rows_in": 100, "rows_out": 95, "set_aside": 0, "shards": 2, "seconds": 1.25,
        "steps": [step], "statistics": {"weight_g": weight, "fruit": fruit},
    }  # fmt: skip
    steps, statistics, quality, total = preprocess_table(report).split("\n\n")
    assert steps.splitlines()[1].split(maxsplit=4)[-1] == "5 duplicates removed"
    assert statistics.splitlines()[1].split() == ["weight_g", "90", "10", "1", "2.5"]
    assert statistics.splitlines()[2].endswith("orange")
    assert "uniqueness     95.00%  100.00%  rows that repeat no other" in quality
    assert "validity            -        -  values" in quality
    assert total == "100 rows in, 95 out, 0 set aside, 2 shards, 1.2 s"


def test_preprocessing_without_statistics_has_no_empty_table() -> None:
    report = {"rows_in": 1, "rows_out": 0, "set_aside": 1, "shards": 0, "seconds": 0.0}
    text = preprocess_table({**report, "steps": [], "statistics": {}})
    assert "most often" not in text
