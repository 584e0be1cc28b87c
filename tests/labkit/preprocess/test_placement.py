"""Shards on the workers' own disks: replicas, what is lost, and who reads which copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.cluster.cluster import Cluster
from labkit.errors import ClusterError, SettingError, SourceError
from labkit.preprocess import placement
from labkit.preprocess.bundled import prepare_once
from labkit.preprocess.pinned import DaskWorkers
from labkit.preprocess.placement import find_lost, place, placement_table
from labkit.preprocess.places import folders_of
from labkit.preprocess.shards import (
    ShardReader,
    make_manifest,
    read_manifest,
    write_manifest,
    write_shard,
)


class FakeWorkers:
    """Workers of this process, each with its folder; what went between them is kept."""

    def __init__(self, root: Path, hosts: list[str]) -> None:
        self.root = root
        self.hosts = {f"w{number}": host for number, host in enumerate(hosts)}
        self.gone: set[str] = set()
        self.calls: list[tuple[str, str]] = []

    def addresses(self) -> list[str]:
        return [worker for worker in self.hosts if worker not in self.gone]

    def start(self, worker: str, function: Callable[..., Any], *values: Any) -> Any:
        self.calls.append((worker, function.__name__))
        if function is placement.host_name:
            return self.hosts[worker]
        return function(*values)

    def result(self, handle: Any) -> Any:
        return handle

    def local_folder(self, worker: str) -> str:
        return str(self.root / worker)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Five training shards and a test shard."""
    folder = tmp_path / "data"
    (folder / "shards").mkdir(parents=True)
    shards = []
    for number in range(6):
        split, at = ("train", number) if number < 5 else ("test", 0)
        inputs = np.full((number + 1, 3), number, dtype=np.float32)
        shards.append(write_shard(folder, split, at, inputs, np.arange(number + 1)))
    manifest = make_manifest(
        name="made/up", shards=shards, num_columns=3, class_names=[], columns=[], fitted={},
        source=None,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return folder


def take_all(folder: Path, split: str = "train") -> list[np.ndarray]:
    reader = ShardReader(folder, split)
    return list(reader.take(np.arange(reader.num_samples)))


@pytest.mark.parametrize("num_workers", [2, 3])
@pytest.mark.parametrize("replicas", [1, 2])
def test_every_shard_lies_on_as_many_workers_as_asked_for(
    tmp_path: Path, dataset: Path, num_workers: int, replicas: int
) -> None:
    workers = FakeWorkers(tmp_path, ["a", "b", "c"][:num_workers])
    manifest = place(workers, read_manifest(dataset), str(dataset), replicas=replicas)
    assert read_manifest(dataset) == manifest
    table = placement_table(manifest)
    assert [row["shard"] for row in table[:2]] == ["train-00000", "train-00001"]
    for row in table:
        assert len(set(row["workers"])) == len(set(row["hosts"])) == row["replicas"] == replicas
    per_worker = [sum(w in row["workers"] for row in table) for w in workers.addresses()]
    assert per_worker == [6 * replicas // num_workers] * num_workers, "evenly"
    found = sorted(path.name for path in tmp_path.glob("w*/labkit-shards/made_up-*/shards/*.npy"))
    assert len(found) == 12 * replicas
    assert find_lost(workers, manifest) == []


def test_a_rank_reads_the_copies_when_the_dataset_s_folder_has_only_the_manifest(
    tmp_path: Path, dataset: Path
) -> None:
    expected = take_all(dataset)
    workers = FakeWorkers(tmp_path, ["a", "b"])
    place(workers, read_manifest(dataset), str(dataset), replicas=2)
    shutil.rmtree(dataset / "shards")
    for found, value in zip(take_all(dataset), expected, strict=True):
        np.testing.assert_array_equal(found, value)


def test_a_lost_replica_is_reported_and_another_is_read(
    tmp_path: Path, dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = take_all(dataset)
    workers = FakeWorkers(tmp_path, ["a", "b", "c"])
    manifest = place(workers, read_manifest(dataset), str(dataset), replicas=2)
    shutil.rmtree(dataset / "shards")
    missing = next(tmp_path.glob("w0/labkit-shards/*/shards/train-00000-inputs.npy"))
    missing.unlink()
    changed = next(tmp_path.glob("w1/labkit-shards/*/shards/train-00001-targets.npy"))
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    lost = find_lost(workers, manifest)
    assert [(each["shard"], each["worker"], each["left"]) for each in lost] == [
        ("train-00000", "w0", 1), ("train-00001", "w1", 1)
    ]  # fmt: skip
    assert "missing" in lost[0]["why"]
    assert "was changed after it was written" in lost[1]["why"]
    changed.unlink()
    reader = ShardReader(dataset, "train")
    np.testing.assert_array_equal(reader.take(np.arange(15))[0], expected[0])
    assert len(reader.lost) == 2
    assert "another copy is read" in caplog.text


def test_a_worker_that_is_gone_takes_its_copies_along(tmp_path: Path, dataset: Path) -> None:
    workers = FakeWorkers(tmp_path, ["a", "b"])
    manifest = place(workers, read_manifest(dataset), str(dataset), replicas=1)
    workers.gone.add("w1")
    lost = find_lost(workers, manifest)
    assert {(each["worker"], each["why"], each["left"]) for each in lost} == {
        ("w1", "worker w1 is gone", 0)
    }
    assert len(lost) == 3


def test_a_shard_with_no_copy_left_names_every_place(tmp_path: Path, dataset: Path) -> None:
    workers = FakeWorkers(tmp_path, ["a", "b"])
    place(workers, read_manifest(dataset), str(dataset), replicas=2)
    for path in tmp_path.rglob("train-00002-inputs.npy"):
        path.unlink()
    with pytest.raises(SourceError, match=r"(train-00002-inputs\.npy is named.*){3}preprocess ag"):
        ShardReader(dataset, "train")


def test_replicas_lie_on_different_hosts_where_there_are_some(
    tmp_path: Path, dataset: Path
) -> None:
    workers = FakeWorkers(tmp_path, ["a", "a", "b", "b"])
    manifest = place(workers, read_manifest(dataset), str(dataset), replicas=2)
    assert all(len(row["hosts"]) == 2 for row in placement_table(manifest))


def test_a_reader_prefers_its_own_host_and_leaves_out_folders_it_cannot_reach(
    tmp_path: Path,
) -> None:
    (tmp_path / "shared").mkdir()
    manifest = {
        "places": [
            {"worker": "1", "host": "far", "folder": "/not/there"},
            {"worker": "2", "host": "far", "folder": str(tmp_path / "shared")},
            {"worker": "3", "host": "here", "folder": "/local"},
        ]
    }
    found = folders_of(manifest, {"places": [0, 1, 2]}, Path("/home"), host="here")
    assert found == [Path("/local"), tmp_path / "shared", Path("/home")]
    assert folders_of(manifest, {}, Path("/home")) == [Path("/home")]


@pytest.mark.parametrize("replicas", [0, 3])
def test_replicas_must_fit_the_workers(tmp_path: Path, dataset: Path, replicas: int) -> None:
    workers = FakeWorkers(tmp_path, ["a", "b"])
    with pytest.raises(SettingError, match=f"replicas={replicas}, but there are 2 workers"):
        place(workers, read_manifest(dataset), str(dataset), replicas=replicas)


def test_a_shard_that_nobody_can_read_is_an_error(tmp_path: Path, dataset: Path) -> None:
    manifest = read_manifest(dataset)
    (dataset / "shards" / "train-00003-targets.npy").unlink()
    with pytest.raises(SourceError, match=r"no worker can read the shard: .*train-00003-targets"):
        place(FakeWorkers(tmp_path, ["a"]), manifest, str(dataset))


def test_a_copy_that_arrives_changed_is_refused(tmp_path: Path, dataset: Path) -> None:
    entry = read_manifest(dataset)["shards"][0]
    contents = placement.read_copy(str(dataset), entry)
    broken = [contents[0][:-1] + b"!", *contents[1:]]
    with pytest.raises(SourceError, match="changed after it was written"):
        placement.write_copy(str(tmp_path / "copy"), entry, broken)
    assert not list((tmp_path / "copy" / "shards").iterdir())


def test_copies_go_from_worker_to_worker_of_a_cluster(own_cluster: Cluster) -> None:
    folder = f"{own_cluster.folder}/datasets/digits"
    manifest = own_cluster.client.submit(prepare_once, "digits", folder).result(timeout=30)
    workers = DaskWorkers(own_cluster.client)
    placed = place(workers, manifest, folder, replicas=2)
    assert len(placed["places"]) == 2
    assert find_lost(workers, placed) == []
    shutil.rmtree(f"{folder}/shards")
    reader = ShardReader(folder, "train")
    assert len(reader.take(np.arange(50))[0]) == 50
    assert reader.lost == []


class StuckClient:
    """A client whose tasks never end."""

    key = "task"

    def submit(self, function: Any, *values: Any, **settings: Any) -> StuckClient:
        return self

    def result(self, timeout: float) -> Any:
        raise TimeoutError

    def identity(self) -> dict[str, Any]:
        return {"workers": {"tcp://there": {"id": 0, "local_directory": "/there"}}}

    @property
    def scheduler(self) -> StuckClient:
        return self

    def sync(self, call: Any, **_: Any) -> Any:
        return call()


@pytest.mark.parametrize(
    ("worker", "message"),
    [("tcp://gone", "worker tcp://gone is gone"), ("tcp://there", "did not do its task within 0")],
)
def test_a_task_whose_worker_is_gone_or_stuck_ends_with_its_name(worker: str, message: str) -> None:
    workers = DaskWorkers(StuckClient(), task_s=0.0)
    assert workers.addresses() == ["tcp://there"]
    with pytest.raises(ClusterError, match=message):
        workers.result(workers.start(worker, placement.host_name))
