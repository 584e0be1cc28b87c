"""The index of a checkpoint names tensors and files, and can make nobody run anything."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata

from labkit.errors import SettingError
from labkit.train.checkpoint_index import read_index, tensors_of
from labkit.train.pieces import PieceLoadPlanner

TENSORS = {
    f"{dtype}".removeprefix("torch."): torch.ones(3, 4, dtype=dtype)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64)
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint that torch itself has written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        planner = dcp.DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
        writer = dcp.FileSystemWriter(tmp_path / "step-000004")
        dcp.save(dict(TENSORS), storage_writer=writer, planner=planner)
    return tmp_path / "step-000004"


def change(folder: Path, edit: Callable[[Metadata], Any]) -> None:
    """Write the index anew after an edit."""
    index = pickle.loads((folder / ".metadata").read_bytes())
    (folder / ".metadata").write_bytes(pickle.dumps(edit(index) or index))


def test_what_torch_writes_is_read(folder: Path) -> None:
    found = tensors_of(read_index(folder))
    assert {name: (entry.size, entry.properties.dtype) for name, entry in found.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in TENSORS.items()
    }


class Evil:
    """What an attacker would put into a pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("place", ["whole", "planner_data", "storage_data"])
def test_an_index_that_would_run_something_is_refused_and_runs_nothing(
    folder: Path, tmp_path: Path, place: str
) -> None:
    mark = tmp_path / "ran"

    def plant(index: Metadata) -> Any:
        if place == "whole":
            return Evil(mark)
        setattr(index, place, {"x": Evil(mark)})
        return None

    change(folder, plant)
    with pytest.raises(SettingError, match=r"cannot be read \(UnpicklingError: .*no place"):
        read_index(folder)
    assert not mark.exists()
    pickle.loads((folder / ".metadata").read_bytes())
    assert mark.exists(), "the pickle does nothing, so the test shows nothing"


def test_bytes_that_would_be_unpickled_are_refused(folder: Path) -> None:
    def plant(index: Metadata) -> None:
        index.state_dict_metadata["float32"] = BytesStorageMetadata()

    change(folder, plant)
    with pytest.raises(SettingError, match="BytesStorageMetadata has no place"):
        read_index(folder)
    with pytest.raises(ValueError, match="x is no tensor"):
        PieceLoadPlanner().load_bytes(type("Item", (), {"dest_index": Named("x")}), None)


class Named:
    def __init__(self, fqn: str) -> None:
        self.fqn = fqn


def test_a_file_outside_the_folder_is_refused(folder: Path) -> None:
    def plant(index: Metadata) -> None:
        next(iter(index.storage_data.values())).relative_path = "../secret"

    change(folder, plant)
    with pytest.raises(SettingError, match=r"ValueError: \.\./secret is outside"):
        read_index(folder)


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2])])
def test_what_is_no_index_is_refused(folder: Path, content: bytes) -> None:
    (folder / ".metadata").write_bytes(content)
    with pytest.raises(SettingError, match=r"index of checkpoint .* choose another one"):
        read_index(folder)


def test_an_index_that_was_cut_short_is_refused(folder: Path) -> None:
    whole = (folder / ".metadata").read_bytes()
    (folder / ".metadata").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingError, match=r"index of checkpoint .* cannot be read"):
        read_index(folder)
