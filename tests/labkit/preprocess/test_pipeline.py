"""The five steps together: the same result on one machine and on the workers."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labkit.cluster.cluster import Cluster
from labkit.errors import SourceError
from labkit.preprocess.folders import make_draft
from labkit.preprocess.pipeline import apply_fitted, run_pipeline
from labkit.preprocess.report import STEPS, Report, read_report
from labkit.preprocess.schema import NUMERIC, Partition
from labkit.preprocess.shards import ShardReader, read_manifest, verify_shards
from labkit.preprocess.split import is_test
from labkit.preprocess.tasks import Executor, InThisProcess, OnCluster


def run(
    executor: Executor, fruit_folder: Path, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    make_draft(str(folder), str(folder.with_name("target")))
    report = Report()
    sources = [str(fruit_folder / "sources")]
    manifest = run_pipeline(executor, sources, str(folder), report, origin=sources)
    return manifest, report.values


@pytest.fixture(scope="module")
def made(fruit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made by this process alone."""
    folder = tmp_path_factory.mktemp("pipeline") / "data"
    run(InThisProcess(), fruit_folder, folder)
    return folder


def without_seconds(report: dict[str, Any]) -> dict[str, Any]:
    plain = json.loads(json.dumps(report, allow_nan=False))
    plain.pop("seconds")
    for step in plain["steps"]:
        step.pop("seconds")
    return plain


def test_workers_and_one_machine_give_the_same_bytes(
    cluster4: Cluster, fruit_folder: Path, made: Path, tmp_path: Path
) -> None:
    progress: dict[str, list[tuple[int, int]]] = {}
    executor = OnCluster(
        cluster4.client,
        on_progress=lambda step, done, total, _: progress.setdefault(step, []).append(
            (done, total)
        ),
    )
    manifest, report = run(executor, fruit_folder, tmp_path / "data")
    assert manifest == read_manifest(made), "shards have the same checksums"
    assert without_seconds(report) == without_seconds(read_report(str(made)))
    assert list(progress) == list(STEPS)
    assert all(states[-1][0] == states[-1][1] for states in progress.values())
    assert verify_shards(tmp_path / "data") == verify_shards(made)


def test_every_row_is_accounted_for(made: Path, read_partitions: list[Partition]) -> None:
    report = read_report(str(made))
    read = sum(len(p.frame) + len(p.set_aside) for p in read_partitions)
    assert report["rows_in"] == read
    integration = report["steps"][1]["details"]
    removed = sum(integration[key] for key in ("duplicates", "merged", "set_aside"))
    assert report["rows_out"] == read - removed
    files = sorted((made / "set_aside").iterdir())
    saved = pd.concat([pd.read_parquet(file) for file in files])
    assert len(saved) == report["set_aside"] == integration["set_aside"]
    assert Counter(saved["reason"]) == integration["set_aside_reasons"]
    readers = [ShardReader(made, split) for split in ("train", "test")]
    assert sum(reader.num_samples for reader in readers) == report["rows_out"]
    assert len(read_manifest(made)["shards"]) == report["shards"]
    assert report["rows_out"] == pytest.approx(9000, rel=0.01)


def test_the_report_has_the_contracts_statistics(made: Path) -> None:
    statistics = read_report(str(made))["statistics"]
    figures = {"count", "missing", "min", "max", "mean", "median", "variance", "std"}
    assert set(NUMERIC) < set(statistics)
    assert all(figures <= set(of_column) for of_column in statistics.values())


def test_steps_tell_people_and_pictures_what_they_did(made: Path) -> None:
    steps = read_report(str(made))["steps"]
    assert [step["name"] for step in steps] == list(STEPS)
    for before, after in pairwise(steps):
        assert before["rows_out"] == after["rows_in"]
    pictures = {step["name"]: step["picture"] for step in steps}
    cleaning = pictures["cleaning"]
    assert sum(cleaning["missing_before"][c] for c in ("diameter_cm", "price_eur")) > 0
    assert sum(cleaning["missing_after"][c] for c in ("diameter_cm", "price_eur")) == 0
    assert cleaning["before"]["above"] > cleaning["after"]["above"] == 0
    points = pictures["reduction"]["points"]
    assert len(points["x"]) == len(points["y"]) == len(points["class"]) == 500
    assert sum(pictures["reduction"]["explained"]) == pytest.approx(1)
    assert all(step["note"] for step in steps)


def test_inputs_are_standardised_on_the_training_split(made: Path) -> None:
    reader = ShardReader(made, "train")
    inputs, targets = reader.take(np.arange(reader.num_samples))
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axis=0, ddof=1), 1, rtol=1e-5)
    assert inputs.shape[1:] == tuple(reader.manifest["inputs"]["shape"])
    assert len(reader.manifest["columns"]) == inputs.shape[1]
    assert set(targets) == {0, 1}


def test_new_fruit_is_treated_as_the_test_rows_were(
    made: Path, read_partitions: list[Partition]
) -> None:
    rows = pd.concat([partition.frame for partition in read_partitions])
    alone = rows[~rows["fruit_id"].duplicated(keep=False) & (rows["fruit"] >= 0)]
    new = alone[is_test(alone["fruit_id"].to_numpy())]
    found = apply_fitted(read_manifest(made)["fitted"], new)
    reader = ShardReader(made, "test")
    inputs, _ = reader.take(np.arange(reader.num_samples))
    assert len(found) > 700
    assert set(map(bytes, found)) <= set(map(bytes, inputs))


def test_sources_without_a_usable_row_are_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(
        "Respondent,What fruit is it?,How big is it?,Weight (kg),Which colour?,"
        "Sweetness (Brix),Price (EUR),Which year?,Where from?\n"
        "someone,orange,7 cm,0.2,orange,11,1,2024,Faro\n"
    )
    make_draft(str(tmp_path / "draft"), str(tmp_path / "target"))
    with pytest.raises(SourceError, match="no row has both an identifier and a class"):
        run_pipeline(
            InThisProcess(), [str(tmp_path)], str(tmp_path / "draft"), Report(), origin=None
        )
