"""A dataset counts its samples and gives its report away as a copy."""

from __future__ import annotations

from labkit.preprocess.dataset import Dataset


def test_samples_are_counted_by_split_and_the_report_is_a_copy() -> None:
    shards = [
        {"split": "train", "rows": 5},
        {"split": "train", "rows": 6},
        {"split": "test", "rows": 2},
    ]
    dataset = Dataset(
        name="x", folder="/data", manifest={"shards": shards}, report={"steps": [{"name": "a"}]}
    )
    assert (dataset.num_samples, dataset.num_test_samples) == (11, 2)
    dataset.to_json()["steps"].clear()
    assert dataset.report["steps"] == [{"name": "a"}]
