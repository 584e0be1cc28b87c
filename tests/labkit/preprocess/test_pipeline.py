"""The five steps together: the same bytes on one machine, on the workers, and for any files."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from labkit.cluster.cluster import Cluster
from labkit.errors import SettingError, SourceError
from labkit.preprocess.choose import chosen_spec, plan_sources
from labkit.preprocess.folders import make_draft
from labkit.preprocess.pipeline import check_steps, run_pipeline
from labkit.preprocess.report import STEPS, Report, read_report
from labkit.preprocess.shards import ShardReader, read_manifest, verify_shards
from labkit.preprocess.tasks import Executor, InThisProcess, OnCluster


def run(
    executor: Executor,
    sources: Sequence[Path],
    folder: Path,
    steps: Sequence[str] = STEPS,
    **settings: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the report of sources, found and described as the public function does."""
    make_draft(str(folder), str(folder.with_name("target")))
    report = Report()
    chosen = chosen_spec(None, None, (), settings, has_sources=True)
    planned = plan_sources(
        executor, chosen, [str(source) for source in sources], str(folder), rows=1, seed=0
    )
    manifest = run_pipeline(
        executor,
        planned.parts,
        planned.spec,
        str(folder),
        report,
        origin="here",
        lookups=planned.lookups,
        steps=steps,
    )
    return manifest, report.values


@pytest.fixture(scope="module")
def made(fruit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made by this process alone."""
    folder = tmp_path_factory.mktemp("pipeline") / "data"
    run(InThisProcess(), [fruit_folder / "sources"], folder)
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
    manifest, report = run(executor, [fruit_folder / "sources"], tmp_path / "data")
    assert manifest == read_manifest(made), "shards have the same checksums"
    assert without_seconds(report) == without_seconds(read_report(str(made)))
    assert list(progress) == ["sources", *STEPS]
    assert all(states[-1][0] == states[-1][1] for states in progress.values())
    assert verify_shards(tmp_path / "data") == verify_shards(made)


def test_how_the_sources_are_cut_changes_no_byte(
    fruit_folder: Path, made: Path, tmp_path: Path
) -> None:
    """The orchard's rows in one file of many groups, the questionnaires' in one file."""
    sources = fruit_folder / "sources"
    files = sorted(sources.rglob("*.parquet"))
    assert len(files) > 1
    whole = tmp_path / "sources" / "all.parquet"
    whole.parent.mkdir()
    pq.write_table(pq.ParquetDataset(files).read(), whole, row_group_size=777)
    shutil.copy(sources / "market.sqlite", whole.parent)
    answers = [
        file.read_text().splitlines(keepends=True) for file in sorted(sources.rglob("*.csv"))
    ]
    lines = [answers[0][0], *(line for each in answers for line in each[1:])]
    (whole.parent / "answers.csv").write_text("".join(lines))
    manifest, report = run(InThisProcess(), [whole.parent], tmp_path / "data")
    assert manifest["shards"] == read_manifest(made)["shards"]
    assert manifest["fitted"] == read_manifest(made)["fitted"]
    assert report["statistics"] == read_report(str(made))["statistics"]


def test_every_row_is_accounted_for(made: Path) -> None:
    report = read_report(str(made))
    integration = report["steps"][1]["details"]
    removed = sum(integration[key] for key in ("duplicates", "merged", "set_aside"))
    assert report["rows_in"] == sum(integration["rows_per_source"].values())
    assert report["rows_out"] == report["rows_in"] - removed
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
    assert {"fruit_id", "diameter_cm", "fruit", "city"} < set(statistics)
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


def test_repairs_are_kept_beside_the_shards(made: Path) -> None:
    log = pd.concat([pd.read_parquet(file) for file in sorted((made / "repairs").iterdir())])
    details = read_report(str(made))["steps"][2]["details"]
    removed_or_missing = log["kind"].isin(["missing", "noise", "sentinel", "rule"])
    filled = log[removed_or_missing & log["after"].notna()]
    assert len(filled) == sum(details["filled"].values()) > 0
    assert len(log[log["column"] == "fruit"]) == details["relabelled"]


@pytest.mark.parametrize("left_out", STEPS)
def test_a_step_that_is_left_out_is_not_done(
    fruit_folder: Path, tmp_path: Path, left_out: str
) -> None:
    steps = [step for step in STEPS if step != left_out]
    manifest, report = run(InThisProcess(), [fruit_folder / "sources"], tmp_path / "data", steps)
    done = [step["name"] for step in report["steps"]]
    assert done == [step for step in STEPS if step != left_out or step == "transformation"]
    inputs, _ = ShardReader(tmp_path / "data", "train").take(np.arange(100))
    assert np.isfinite(inputs).all() or left_out == "cleaning"
    assert bool(report["statistics"]) == (left_out != "statistics")
    assert manifest["num_classes"] == 2


def test_statistics_alone_write_no_shard(fruit_folder: Path, tmp_path: Path) -> None:
    manifest, report = run(
        InThisProcess(), [fruit_folder / "sources"], tmp_path / "data", ["statistics"]
    )
    assert manifest["shards"] == []
    assert report["shards"] == 0
    assert report["statistics"]["diameter_cm"]["count"] > 8000


def test_settings_of_the_steps_are_used(fruit_folder: Path, tmp_path: Path) -> None:
    manifest, _ = run(
        InThisProcess(),
        [fruit_folder / "sources"],
        tmp_path / "data",
        reduction={"components": 2},
        transformation={"scale": "min_max"},
    )
    reader = ShardReader(tmp_path / "data", "train")
    inputs, _ = reader.take(np.arange(reader.num_samples))
    assert manifest["columns"] == ["component_1", "component_2"]
    assert (inputs.min(), inputs.max()) == (0, 1)


def test_steps_are_put_in_order_and_checked() -> None:
    assert check_steps(["cleaning", "statistics"]) == ("statistics", "cleaning")
    with pytest.raises(SettingError, match="steps 'washing'; choose from statistics, integration"):
        check_steps(["washing"])
    with pytest.raises(SettingError, match="steps are empty"):
        check_steps([])


def test_sources_without_a_usable_row_are_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(
        "Respondent,What fruit is it?,How big is it?,Weight (kg),Which colour?,"
        "Sweetness (Brix),Price (EUR),Which year?,Where from?\n"
        "someone,orange,7 cm,0.2,orange,11,1,2024,Faro\n"
    )
    with pytest.raises(SourceError, match="none of 1 rows can be used"):
        run(InThisProcess(), [tmp_path / "answers.csv"], tmp_path / "draft")


def test_a_specification_may_be_changed_by_hand(fruit_folder: Path) -> None:
    from labkit.preprocess.spec import find_spec

    spec = find_spec("fruit")
    assert replace(spec, name="mine").name == "mine"
    assert find_spec(spec) is spec


def test_new_data_is_treated_as_the_test_rows_were(fruit_folder: Path, made: Path) -> None:
    """Fruits of the orchard alone, read again without their class."""
    from labkit.preprocess.sources.find import find_parts
    from labkit.preprocess.spec import find_spec
    from labkit.preprocess.treat import treat

    spec = find_spec("fruit")
    parts = find_parts([str(fruit_folder / "sources")], spec.sources, spec.schema)
    rows = pd.concat([part.read() for part in parts], ignore_index=True)
    alone = rows[~rows["fruit_id"].duplicated(keep=False) & (rows["fruit"] >= 0)]
    found = treat(read_manifest(made), alone.drop(columns="fruit"))
    reader = ShardReader(made, "test")
    inputs, _ = reader.take(np.arange(reader.num_samples))
    treated = set(map(bytes, found))
    assert sum(bytes(each) in treated for each in inputs) > 700
    with pytest.raises(SourceError, match="the rows lack the columns diameter_cm; dataset 'fruit'"):
        treat(read_manifest(made), alone.drop(columns="diameter_cm"))
