"""A step's figures, whatever they are, become tables of text."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.preprocess.report_tables import (
    MAX_ROWS,
    Table,
    details_tables,
    statistics_table,
    steps_table,
    text_of,
)


def one(details: dict[str, Any]) -> Table:
    (table,) = details_tables(details)
    return table


def test_single_figures_stand_together() -> None:
    table = one({"duplicates": 1234, "label_bits": 0.97, "names": ["a", "b"], "nothing": None})
    assert table.caption == "Figures"
    assert table.rows == (("duplicates", "1,234"), ("label bits", "0.97"), ("names", "a, b"))


def test_counts_by_column_leave_zeros_out() -> None:
    table = one({"outliers": {"weight_g": 3, "red": 0}})
    assert table.caption == "Noise removed, by column"
    assert table.rows == (("weight_g", "3"),)
    assert table.numeric == (False, True)


def test_reasons_are_words() -> None:
    table = one({"dropped": {"batch_no": "an identifier"}})
    assert table.rows == (("batch_no", "an identifier"),)
    assert table.numeric == (False, False)


def test_values_by_column_and_source_are_a_matrix() -> None:
    table = one({"came_from": {"weight_g": {"orchard": 9}, "red": {"market": 1}}})
    assert table.headings == ("", "orchard", "market")
    assert table.rows == (("weight_g", "9", "-"), ("red", "-", "1"))


def test_deeper_figures_are_one_table_a_group() -> None:
    fences = {"weight_g": {"orange": {"low": 1, "high": 2}}, "red": {"orange": {"low": 3}}}
    tables = details_tables({"fences": fences})
    assert [table.caption for table in tables] == ["Fences: weight_g", "Fences: red"]
    assert tables[0].rows == (("orange", "1", "2"),)


def test_statistics_by_class_and_source_are_tables_of_their_own() -> None:
    figures = {"weight_g": {"count": 3, "missing": 1, "median": 2.5}}
    tables = details_tables({"by_class": {"orange": figures}, "by_source": {"market": figures}})
    assert [table.caption for table in tables] == [
        "Statistics of the class orange",
        "Statistics of the source market",
    ]
    assert tables[0].rows[0][:3] == ("weight_g", "3", "1")


def test_loadings_and_correlations_are_matrices_of_the_columns() -> None:
    details = {
        "columns": ["a", "b"],
        "loadings": [[0.5, -0.25]],
        "correlation": {"columns": ["a", "b"], "matrix": [[1.0, 0.5], [0.5, 1.0]]},
    }
    tables = {table.caption: table for table in details_tables(details)}
    assert tables["Loadings of the components"].rows == (("component 1", "0.500", "-0.250"),)
    assert tables["Loadings of the components"].headings == ("", "a", "b")
    assert tables["Correlation of the columns"].rows[1] == ("b", "0.500", "1.000")


def test_lists_of_records_are_tables() -> None:
    table = one({"found": [{"rule": "x > 1", "rows": 2}, {"rule": "y < 3"}]})
    assert table.headings == ("rule", "rows")
    assert table.rows == (("x > 1", "2"), ("y < 3", "-"))


def test_nothing_found_is_no_table() -> None:
    assert details_tables({"conflicts": {}, "outliers": {"a": 0}, "slips": {"a": {}}}) == []


def test_long_tables_are_cut_and_say_so() -> None:
    table = one({"filled": {f"pixel_{number}": number + 1 for number in range(MAX_ROWS + 20)}})
    assert len(table.rows) == MAX_ROWS
    assert table.more == 20


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (True, "yes"), (1234, "1,234"), (2.0, "2"), (1.23456789, "1.23457"),
        ([1, 2], "1, 2"), ({"a_b": 1}, "a b 1"), ("word", "word"), (1e20, "1e+20"),
        (list(range(30)), ", ".join(map(str, range(24))) + ", ... (6 more)"),
    ],
)  # fmt: skip
def test_figures_for_people(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_statistics_name_what_is_most_frequent() -> None:
    names = {"count": 3, "missing": 0, "mode": "orange", "counts": {"orange": 2, "melon": 1}}
    table = statistics_table({"fruit": names}, "of every column")
    assert table.rows[0][-2:] == ("2", "orange")


def test_steps_are_told_in_a_line_each() -> None:
    steps = [{"name": "cleaning", "rows_in": 5, "rows_out": 5, "seconds": 0.5, "note": "done"}]
    assert steps_table({"steps": steps}).rows == (("cleaning", "5", "5", "0.50", "done"),)
