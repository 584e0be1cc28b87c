"""Four shares before and after, from the report's figures alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from labkit.preprocess.quality import DIMENSIONS, TOTAL, quality, wrong_values


@pytest.fixture
def report() -> dict[str, Any]:
    """100 rows of two columns; every share below is counted by hand from these figures."""
    return {
        "statistics": {
            "weight_g": {"count": 90, "missing": 10},
            "fruit": {"count": 98, "missing": 2},
        },
        "steps": [
            {
                "name": "statistics", "rows_in": 100, "rows_out": 100,
                "details": {"unreadable_values": {"weight_g": 2}},
                "picture": {"missing": {"weight_g": 10, "fruit": 2}},
            },
            {
                "name": "integration", "rows_in": 100, "rows_out": 80,
                "details": {"duplicates": 5, "merged": 15, "conflicts": {"weight_g": 3}},
                "picture": {},
            },
            {
                "name": "cleaning", "rows_in": 80, "rows_out": 80,
                "details": {
                    "outliers": {"weight_g": 4}, "slips": {"weight_g": 2}, "sentinels": {},
                    "rules": {}, "filled": {"weight_g": 8}, "relabelled": 1,
                },
                "picture": {
                    "missing_before": {"weight_g": 10, "fruit": 0},
                    "missing_after": {"weight_g": 0, "fruit": 0},
                },
            },
        ],
    }  # fmt: skip


def test_every_share_is_what_the_figures_say(report: dict[str, Any]) -> None:
    score = quality(report)
    assert score["before"] == pytest.approx(
        {
            "completeness": 188 / 200,
            "validity": (150 - 7) / 150 * 188 / 190,
            "uniqueness": 95 / 100,
            "consistency": 1 - 3 / 30,
            TOTAL: (0.94 + 143 / 150 * 188 / 190 + 0.95 + 0.9) / 4,
        }
    )
    assert score["after"] == {**dict.fromkeys(DIMENSIONS, 1.0), TOTAL: 1.0}


def test_every_dimension_says_how_it_was_counted(report: dict[str, Any]) -> None:
    how = quality(report)["how"]
    assert how["completeness"].startswith("cells with a value: 188 of 200 as read, 160 of 160")
    assert "of 150 cleaning found 4 outliers, 2 slips" in how["validity"]
    assert how["uniqueness"].startswith("rows that repeat no other: all but 5 of 100")
    assert "all but 3 of 30 in 15 merged rows" in how["consistency"]
    assert how[TOTAL] == f"mean of {', '.join(DIMENSIONS)}"


def test_gaps_that_stay_and_repeats_that_are_kept_count_afterwards(report: dict[str, Any]) -> None:
    report["steps"][2]["picture"]["missing_after"]["weight_g"] = 8
    report["steps"][1]["details"] |= {"duplicates": 0, "repeats_kept": 4}
    score = quality(report)
    assert score["after"]["completeness"] == pytest.approx(152 / 160)
    assert score["before"]["uniqueness"] == pytest.approx(0.96)
    assert score["after"]["uniqueness"] == pytest.approx(1 - 4 / 80)
    assert "4 repeats were kept" in score["how"]["uniqueness"]


@pytest.mark.parametrize(
    ("without", "unknown"),
    [
        ("integration", {"uniqueness", "consistency"}),
        ("cleaning", {"validity"}),
        ("statistics", set()),
    ],
)
def test_what_no_step_counted_is_none(
    report: dict[str, Any], without: str, unknown: set[str]
) -> None:
    report["steps"] = [step for step in report["steps"] if step["name"] != without]
    if without == "statistics":
        report["statistics"] = {}
    score = quality(report)
    assert {name for name in DIMENSIONS if score["before"][name] is None} == unknown
    assert score["before"][TOTAL] is not None
    assert all(score["how"].values())


def test_total_compares_the_same_dimensions_on_both_sides(report: dict[str, Any]) -> None:
    report["steps"] = report["steps"][:2]
    score = quality(report)
    assert score["after"]["completeness"] is None
    assert score["before"][TOTAL] == pytest.approx((0.95 + 0.9) / 2)
    assert score["how"][TOTAL] == "mean of uniqueness, consistency"


def test_without_statistics_gaps_before_cleaning_are_counted(report: dict[str, Any]) -> None:
    report["statistics"] = {}
    assert quality(report)["before"]["completeness"] == pytest.approx(150 / 160)


def test_report_so_far_has_a_beginning_only(report: dict[str, Any]) -> None:
    report["steps"] = report["steps"][:1]
    score = quality(report)
    assert score["before"][TOTAL] == pytest.approx(0.94)
    assert score["after"][TOTAL] is None


def test_an_empty_report_and_no_rows_are_no_error(report: dict[str, Any]) -> None:
    assert quality({"steps": []})["before"][TOTAL] is None
    for step in report["steps"]:
        step |= {"rows_in": 0, "rows_out": 0, "details": {"duplicates": 0, "conflicts": {}}}
    report["statistics"] = {"weight_g": {"count": 0, "missing": 0}}
    report["steps"][2]["picture"] = {"missing_before": {}, "missing_after": {}}
    score = quality(report)
    shares = [score[side][name] for side in ("before", "after") for name in DIMENSIONS]
    assert all(share is None or 0 <= share <= 1 for share in shares)


def test_the_report_is_not_changed(report: dict[str, Any]) -> None:
    before = copy.deepcopy(report)
    quality(report)
    assert report == before


def test_wrong_values_are_counted_by_kind() -> None:
    details = {"outliers": {"a": 1, "b": 2}, "relabelled": 3, "filled": {"a": 9}}
    assert wrong_values(details) == {"outliers": 3, "relabelled": 3}
