"""Shards: what is written comes back, and what is broken is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labkit.errors import SourceError
from labkit.preprocess.schema import KEY, Column, Schema
from labkit.preprocess.shards import (
    MAX_FEATURE_FILES,
    Layout,
    ShardReader,
    make_manifest,
    read_manifest,
    verify_shards,
    write_manifest,
    write_part,
    write_shard,
)
from labkit.preprocess.split import is_test

SIZES = (5, 1, 7)
INPUTS = np.arange(sum(SIZES) * 6, dtype=np.float32).reshape(-1, 2, 3)
TARGETS = np.arange(sum(SIZES), dtype=np.int64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of three train shards and one test shard, entries given out of order."""
    (tmp_path / "shards").mkdir()
    entries, start = [], 0
    for number, rows in enumerate(SIZES):
        chosen = slice(start, start + rows)
        entries.append(write_shard(tmp_path, "train", number, INPUTS[chosen], TARGETS[chosen]))
        start += rows
    entries.append(write_shard(tmp_path, "test", 0, INPUTS[:2], TARGETS[:2]))
    manifest = make_manifest(
        name="made",
        shards=entries[::-1],
        inputs=INPUTS,
        targets=TARGETS,
        class_names=["a", "b"],
        columns=[],
        fitted={},
        source=None,
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_samples_come_back_across_shards_in_the_order_asked(folder: Path) -> None:
    reader = ShardReader(folder, "train")
    assert reader.num_samples == sum(SIZES)
    wanted = np.array([12, 0, 5, 5, 4, 6])
    inputs, targets = reader.take(wanted)
    np.testing.assert_array_equal(inputs, INPUTS[wanted])
    np.testing.assert_array_equal(targets, wanted)
    assert inputs.dtype == np.float32
    assert inputs.flags.c_contiguous
    assert inputs.flags.owndata


def test_what_is_taken_is_a_copy(folder: Path) -> None:
    reader = ShardReader(folder, "train")
    inputs, _ = reader.take(np.array([0]))
    inputs[:] = -1
    np.testing.assert_array_equal(reader.take(np.array([0]))[0], INPUTS[:1])


def test_no_indices_give_empty_arrays_of_the_right_shape(folder: Path) -> None:
    inputs, targets = ShardReader(folder, "test").take(np.array([], dtype=np.int64))
    assert inputs.shape == (0, 2, 3)
    assert targets.shape == (0,)


@pytest.mark.parametrize("index", [-1, 13])
def test_an_index_outside_the_split_is_refused(folder: Path, index: int) -> None:
    with pytest.raises(IndexError, match=f"index {index} is outside the 13 samples"):
        ShardReader(folder, "train").take(np.array([0, index]))


def test_indices_must_be_whole_numbers(folder: Path) -> None:
    with pytest.raises(IndexError, match="float64"):
        ShardReader(folder, "train").take(np.array([0.5]))


def test_the_manifest_describes_the_samples(folder: Path) -> None:
    manifest = ShardReader(folder, "test").manifest
    assert manifest["inputs"] == {"dtype": "float32", "shape": [2, 3]}
    assert manifest["targets"] == {"dtype": "int64", "shape": []}
    assert manifest["num_classes"] == 2
    splits = [entry["split"] for entry in manifest["shards"]]
    assert splits == ["train", "train", "train", "test"]


def test_an_intact_dataset_is_verified(folder: Path) -> None:
    sizes = [file.stat().st_size for file in (folder / "shards").iterdir()]
    assert verify_shards(folder) == sum(sizes)


def test_an_unknown_split_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="choose train or test"):
        ShardReader(folder, "dev")  # type: ignore[arg-type]


def test_a_folder_without_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no manifest\.json.*preprocess again"):
        ShardReader(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable"),
        ("[]", "not a manifest"),
        ('{"version": 2, "name": "x"}', "lacks inputs, targets, num_classes, layout, shards"),
        ('{"version": 1, "name": "x"}', "has version 1 but .* version 2; preprocess again"),
    ],
)
def test_a_broken_manifest_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(SourceError, match=message):
        read_manifest(folder)


def test_a_manifest_of_another_version_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder) | {"version": 99}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SourceError, match=r"version 99.*preprocess again"):
        read_manifest(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "shards" / "train-00001-targets.npy").unlink()
    with pytest.raises(SourceError, match=r"train-00001-targets\.npy is named .* but missing"):
        ShardReader(folder, "train")


def test_a_shard_cut_short_is_named(folder: Path) -> None:
    path = folder / "shards" / "train-00002-inputs.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SourceError, match=r"train-00002-inputs\.npy has \d+ bytes but"):
        ShardReader(folder, "train")


def test_a_changed_byte_is_found_by_verifying(folder: Path) -> None:
    path = folder / "shards" / "train-00000-inputs.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="was changed after it was written"):
        verify_shards(folder)


def test_a_shard_of_another_shape_is_refused(folder: Path) -> None:
    path = folder / "shards" / "train-00000-inputs.npy"
    size = path.stat().st_size
    np.save(path, INPUTS[:5].reshape(-1, 3, 2))
    assert path.stat().st_size == size
    with pytest.raises(SourceError, match=r"holds float32 \(5, 3, 2\) but the manifest says"):
        ShardReader(folder, "train")


def test_a_file_that_is_no_array_is_refused(folder: Path) -> None:
    path = folder / "shards" / "train-00000-inputs.npy"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(SourceError, match="is no shard"):
        ShardReader(folder, "train")


NAMES = ("a", "b", "c", "d", "e")
SCHEMA = Schema(
    columns=(
        *(Column(name=name) for name in NAMES),
        Column(name="kind", kind="category", names=("x", "y")),
    ),
    label="kind",
)


def rows(number: int = 200, start: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(start)
    frame = pd.DataFrame(random.normal(size=(number, 5)).astype(np.float32), columns=list(NAMES))
    keys = np.arange(start, start + number)
    return frame.assign(**{KEY: keys, "kind": (keys % 2).astype(np.int32)})


def write_dataset(folder: Path, layout: Layout, frames: list[pd.DataFrame]) -> Path:
    (folder / "shards").mkdir(parents=True)
    entries = [
        entry
        for number, frame in enumerate(frames)
        for entry in write_part(
            frame, number, names=NAMES, schema=SCHEMA, folder=str(folder), layout=layout
        )
    ]
    manifest = make_manifest(
        name="made", shards=entries, num_columns=5, class_names=SCHEMA.class_names, columns=NAMES,
        schema=SCHEMA, fitted={"cleaning": {}}, source=None, layout=layout,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return folder


def test_a_part_becomes_a_train_and_a_test_shard(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    frame = rows()
    entries = write_part(frame, 3, names=NAMES, schema=SCHEMA, folder=str(tmp_path))
    test = is_test(frame[KEY].to_numpy())
    assert [entry["split"] for entry in entries] == ["train", "test"]
    assert [entry["rows"] for entry in entries] == [(~test).sum(), test.sum()]
    inputs = np.load(tmp_path / entries[1]["inputs"][0]["path"])
    targets = np.load(tmp_path / entries[1]["targets"]["path"])
    assert (inputs.dtype, targets.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(inputs, frame.loc[test, list(NAMES)])
    np.testing.assert_array_equal(targets, frame.loc[test, "kind"])


def test_a_split_without_rows_and_rows_without_class_write_no_shard(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    frame = rows()
    only = frame[~is_test(frame[KEY].to_numpy())]
    write = {"names": NAMES, "schema": SCHEMA, "folder": str(tmp_path)}
    assert [entry["split"] for entry in write_part(only, 0, **write)] == ["train"]
    assert write_part(only.iloc[:0], 1, **write) == []
    unknown = frame.assign(kind=np.where(frame.index < 150, frame["kind"], -1).astype(np.int32))
    assert sum(entry["rows"] for entry in write_part(unknown, 2, **write)) == 150


def test_without_a_label_all_targets_are_0(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    schema = Schema(columns=SCHEMA.columns[:5])
    entries = write_part(rows(), 0, names=NAMES, schema=schema, folder=str(tmp_path))
    assert not np.load(tmp_path / entries[0]["targets"]["path"]).any()


@pytest.fixture
def layouts(tmp_path: Path) -> dict[str, Path]:
    """The same rows, in unequal parts, laid out in both ways."""
    frames = [rows(300), rows(7, 300), rows(90, 307)]
    return {
        layout: write_dataset(tmp_path / layout, layout, frames)
        for layout in ("samples", "features")
    }


@pytest.mark.parametrize("columns", [None, slice(0, 2), slice(1, 4), slice(4, 5), slice(2, None)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_both_layouts_give_the_same_samples(
    layouts: dict[str, Path], columns: slice | None, split: str
) -> None:
    one, other = (ShardReader(folder, split, columns) for folder in layouts.values())
    assert one.num_samples == other.num_samples > 10
    wanted = np.random.default_rng(0).integers(0, one.num_samples, 100)
    stretches = [(3, 9), (0, one.num_samples), (5, 5)]
    for first, second in (
        (one.take(wanted), other.take(wanted)), (one.read(stretches), other.read(stretches))
    ):  # fmt: skip
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
        assert second[0].flags.c_contiguous
    whole, _ = ShardReader(layouts["samples"], split).take(wanted)
    np.testing.assert_array_equal(one.take(wanted)[0], whole[:, columns or slice(None)])
    assert one.num_bytes_a_sample == whole[:1, columns or slice(None)].nbytes + 8


def test_stretches_are_the_samples_taken_one_by_one(folder: Path) -> None:
    reader = ShardReader(folder, "train")
    inputs, targets = reader.read([(4, 11), (0, 2), (13, 13)])
    np.testing.assert_array_equal(targets, [*range(4, 11), 0, 1])
    np.testing.assert_array_equal(inputs, INPUTS[targets])
    assert len(reader.read([])[0]) == 0
    for start, stop in ((-1, 2), (3, 2), (0, 14)):
        with pytest.raises(IndexError, match=r"leaves the 13 samples"):
            reader.read([(start, stop)])


def test_a_reader_of_some_columns_needs_the_files_of_those_only(layouts: dict[str, Path]) -> None:
    folder = layouts["features"]
    for path in (folder / "shards").glob("train-*-inputs-*.npy"):
        if path.stem[-1] not in "12":
            path.unlink()
    reader = ShardReader(folder, "train")
    reader.columns = slice(1, 3)
    expected = ShardReader(layouts["samples"], "train", slice(1, 3)).take(np.arange(9))
    np.testing.assert_array_equal(reader.take(np.arange(9))[0], expected[0])
    reader.columns = None
    with pytest.raises(SourceError, match=r"inputs-00000\.npy is named in the manifest but"):
        reader.take(np.arange(9))


def test_many_columns_share_files(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    inputs = np.arange(3 * 150, dtype=np.float32).reshape(3, 150)
    entry = write_shard(tmp_path, "train", 0, inputs, np.zeros(3), layout="features")
    assert len(entry["inputs"]) == 50 <= MAX_FEATURE_FILES
    assert entry["inputs"][-1]["columns"] == [147, 150]


def test_a_dataset_by_features_is_verified_too(layouts: dict[str, Path]) -> None:
    assert verify_shards(layouts["features"]) > 0
    path = next((layouts["features"] / "shards").glob("test-*-inputs-00003.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"inputs-00003\.npy was changed after it was written"):
        verify_shards(layouts["features"])


def test_the_manifest_holds_schema_fitted_values_and_layout(layouts: dict[str, Path]) -> None:
    manifest = read_manifest(layouts["features"])
    assert Schema.from_dict(manifest["schema"]) == SCHEMA
    assert manifest["fitted"] == {"cleaning": {}}
    assert (manifest["version"], manifest["layout"], manifest["places"]) == (2, "features", [])
    assert (manifest["columns"], manifest["class_names"]) == (list(NAMES), ["x", "y"])
