"""Shards: what is written comes back, and what is broken is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import SourceError
from labkit.preprocess.shards import (
    ShardReader,
    make_manifest,
    read_manifest,
    verify_shards,
    write_manifest,
    write_shard,
)

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
