"""The public function on a real cluster: the whole path, its errors, and Stop."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed import Scheduler

from labkit.cluster.cluster import Cluster
from labkit.errors import ClusterError, RunStopped, SettingError, SourceError
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.preprocess import dataset_for, preprocess
from labkit.preprocess.report import STEPS
from labkit.preprocess.shards import ShardReader, verify_shards

ROWS = 5000


@pytest.fixture(scope="module")
def steps() -> list[str]:
    """What ``fruit`` said while it was made."""
    return []


@pytest.fixture(scope="module")
def fruit(cluster4: Cluster, steps: list[str]) -> Dataset:
    """``ROWS`` fruits, made and preprocessed on the workers without any trouble."""
    return preprocess(cluster=cluster4, rows=ROWS, on_progress=lambda step, *_: steps.append(step))


def inputs_of(folder: str) -> Any:
    reader = ShardReader(folder, "train")
    return reader.take(np.arange(reader.num_samples))[0]


def test_fruit_is_made_and_preprocessed_on_the_workers(
    cluster4: Cluster, fruit: Dataset, steps: list[str]
) -> None:
    assert list(dict.fromkeys(steps)) == ["sources", *STEPS]
    assert fruit.num_samples + fruit.num_test_samples == fruit.report["rows_out"]
    assert Path(fruit.folder).is_relative_to(cluster4.folder)
    assert verify_shards(fruit.folder) > 0
    assert "<svg" in fruit.report_html()
    report = json.loads(json.dumps(fruit.to_json(), allow_nan=False))
    assert {"statistics", "steps", "rows_in", "rows_out", "set_aside", "shards", "seconds"} == set(
        report
    )
    assert fruit.manifest["source"] == {"made": "fruit", "rows": ROWS, "seed": 0}


def test_own_sources_and_folder_relative_to_here(
    cluster4: Cluster, fruit_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fruit_folder)
    folders = ["sources/orchard", Path("sources/market.sqlite")]
    first = preprocess(folders, cluster=cluster4, out=tmp_path / "data")
    assert first.folder == str(tmp_path / "data")
    assert "<svg" in (tmp_path / "data" / "report.html").read_text()
    sources = [step for step in first.report["steps"] if step["name"] == "statistics"]
    assert set(sources[0]["picture"]["rows_per_source"]) == {"orchard", "market"}
    before = inputs_of(first.folder)
    again = preprocess(folders, cluster=cluster4, out=tmp_path / "data")
    np.testing.assert_array_equal(inputs_of(again.folder), before)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_fruit_is_prepared_once_and_the_number_of_workers_changes_no_byte(
    cluster4: Cluster, own_cluster: Cluster
) -> None:
    by_two = dataset_for("fruit", cluster=own_cluster)
    assert by_two.num_samples > 15_000
    assert dataset_for("fruit", cluster=own_cluster) == by_two
    assert preprocess(cluster=cluster4).manifest == by_two.manifest


@pytest.mark.parametrize("step", ["sources", "statistics", "cleaning", "transformation"])
def test_stop_ends_it_and_leaves_nothing(cluster4: Cluster, tmp_path: Path, step: str) -> None:
    reached: list[str] = []
    with pytest.raises(RunStopped, match=f"stopped in step {step}"):
        preprocess(
            cluster=cluster4,
            out=tmp_path / "data",
            rows=ROWS,
            on_progress=lambda name, *_: reached.append(name),
            should_stop=lambda: step in reached,
        )
    assert list(tmp_path.iterdir()) == []


def test_what_was_interrupted_goes_on_where_it_was(
    cluster4: Cluster, fruit: Dataset, tmp_path: Path
) -> None:
    settings = {"cluster": cluster4, "out": tmp_path / "data", "rows": ROWS, "resume": True}
    reached: list[str] = []
    with pytest.raises(RunStopped):
        preprocess(
            **settings,
            on_progress=lambda name, *_: reached.append(name),
            should_stop=lambda: "reduction" in reached,
        )
    (unfinished,) = tmp_path.iterdir()
    kept = {path.name: path.stat().st_mtime_ns for path in (unfinished / "work").iterdir()}
    assert kept
    seen: dict[str, int] = {}

    def compare(step: str, *_: object) -> None:
        if step == "reduction" and not seen:
            work = (unfinished / "work").iterdir()
            seen.update({path.name: path.stat().st_mtime_ns for path in work})

    again = preprocess(**settings, on_progress=compare)
    assert seen == kept, "the files of the steps before were not written again"
    assert again.manifest["shards"] == fruit.manifest["shards"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def kill_one_worker(cluster: Cluster) -> None:
    """End a worker's process as hard as can be."""
    pids = cluster.client.run(os.getpid)
    os.kill(next(iter(pids.values())), signal.SIGKILL)


@pytest.mark.parametrize("step", ["sources", "integration", "transformation"])
def test_a_worker_that_is_killed_changes_no_byte(
    own_cluster: Cluster, fruit: Dataset, step: str
) -> None:
    killed: list[str] = []

    def kill(name: str, done: int, *_: object) -> None:
        if name == step and done > 0 and not killed:
            killed.append(name)
            kill_one_worker(own_cluster)

    hurt = preprocess(cluster=own_cluster, rows=ROWS, on_progress=kill)
    assert killed == [step]
    assert hurt.manifest == fruit.manifest
    own_cluster.client.wait_for_workers(2, timeout=60)  # it is not closed amid a restart


def tasks_ever(*, dask_scheduler: Scheduler) -> int:
    """On the scheduler: how often a task has changed its state."""
    assert not dask_scheduler.tasks
    return len(dask_scheduler.transition_log)


def test_a_worker_that_is_killed_afterwards_has_nothing_computed_again(
    own_cluster: Cluster,
    wait_until_forgotten: Callable[[Cluster], None],
    without_collector: None,
) -> None:
    def fail(step: str, *_: object) -> None:
        if step == "integration":
            raise SourceError("nobody likes the rows; give others")

    reached: list[str] = []
    common = {"cluster": own_cluster, "rows": ROWS}
    preprocess(**common, replicas=2)
    wait_until_forgotten(own_cluster)
    with pytest.raises(SourceError, match="nobody likes the rows") as failed:
        preprocess(**common, on_progress=fail)
    wait_until_forgotten(own_cluster)
    with pytest.raises(RunStopped) as stopped:
        preprocess(
            **common,
            on_progress=lambda name, *_: reached.append(name),
            should_stop=lambda: "cleaning" in reached,
        )
    wait_until_forgotten(own_cluster)
    assert failed.traceback, "the frames that held the futures are alive"
    assert stopped.traceback
    before = own_cluster.client.run_on_scheduler(tasks_ever)
    workers = set(own_cluster.alive_workers())
    kill_one_worker(own_cluster)
    while workers <= set(own_cluster.alive_workers()):
        time.sleep(0.01)
    own_cluster.client.wait_for_workers(2, timeout=60)
    assert own_cluster.client.run_on_scheduler(tasks_ever) == before


def test_any_table_is_taken_as_it_is(cluster4: Cluster, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "height": [1.5, np.nan, 1.7, 1.9, 1.6] * 20,
            "colour": ["red", "blue", "red", "green", None] * 20,
            "number": range(100),
        }
    )
    frame.to_csv(tmp_path / "any.csv", index=False)
    dataset = preprocess(tmp_path / "any.csv", cluster=cluster4, label="colour")
    found = dataset.report["statistics"]
    assert found["height"]["median"] == frame["height"].median()
    assert found["height"]["std"] == pytest.approx(frame["height"].std(), rel=1e-15)
    assert found["colour"]["counts"] == {"blue": 20, "green": 20, "red": 40}
    assert dataset.manifest["class_names"] == ["blue", "green", "red"]
    assert dataset.report["set_aside"] == 20, "rows without a class are kept aside"


def test_an_interrupt_leaves_nothing(cluster4: Cluster, tmp_path: Path) -> None:
    def interrupt(step: str, *_: object) -> None:
        if step == "integration":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess(cluster=cluster4, out=tmp_path / "data", rows=ROWS, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_not_there_leaves_nothing(cluster4: Cluster, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere does not exist"):
        preprocess(tmp_path / "nowhere", cluster=cluster4, out=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(cluster4: Cluster, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SettingError, match="holds files that are no dataset"):
        preprocess(cluster=cluster4, out=tmp_path, rows=ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_settings_out_of_range_are_refused_before_anything_starts(cluster4: Cluster) -> None:
    with pytest.raises(SettingError, match="rows=0 is not a count"):
        preprocess(cluster=cluster4, rows=0)
    with pytest.raises(SettingError, match="seed=-1 is not a seed"):
        preprocess(cluster=cluster4, seed=-1)
    with pytest.raises(SettingError, match="num_workers=0 is no count; choose >= 1"):
        preprocess(cluster=cluster4, num_workers=0)
    with pytest.raises(SettingError, match="sources is empty"):
        preprocess([], cluster=cluster4)
    with pytest.raises(SettingError, match="resume=True needs out"):
        preprocess(cluster=cluster4, resume=True)
    with pytest.raises(SettingError, match="step 'washing' has no settings"):
        preprocess(cluster=cluster4, settings={"washing": {}})
    with pytest.raises(SettingError, match="steps 'washing'; choose from"):
        preprocess(cluster=cluster4, steps=["washing"])
    with pytest.raises(SettingError, match="specification 'pears' is unknown"):
        preprocess(cluster=cluster4, spec="pears")


def test_too_few_fruit_are_refused(cluster4: Cluster) -> None:
    with pytest.raises(SourceError, match="training rows are left"):
        preprocess(cluster=cluster4, rows=1)


def test_a_closed_cluster_is_said(own_cluster: Cluster, tmp_path: Path) -> None:
    own_cluster.close()
    with pytest.raises(ClusterError, match="the cluster was closed"):
        preprocess(cluster=own_cluster, out=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("digits", (1, 8, 8), 10), ("text", (64,), None)]
)
def test_bundled_datasets_are_prepared_once(
    cluster4: Cluster, name: str, shape: tuple[int, ...], classes: int | None
) -> None:
    dataset = dataset_for(name, cluster=cluster4)
    assert tuple(dataset.manifest["inputs"]["shape"]) == shape
    assert classes in (None, dataset.manifest["num_classes"])
    assert dataset.to_json()["rows_out"] == dataset.num_samples + dataset.num_test_samples
    written = (Path(dataset.folder) / "manifest.json").stat().st_mtime_ns
    assert dataset_for(name, cluster=cluster4) == dataset
    assert (Path(dataset.folder) / "manifest.json").stat().st_mtime_ns == written


def test_an_unknown_dataset_is_refused(cluster4: Cluster) -> None:
    with pytest.raises(SettingError, match="dataset 'pears' is unknown; choose from fruit, fli"):
        dataset_for("pears", cluster=cluster4)
