"""The index of a checkpoint: which file holds which box of which tensor.

``torch.distributed.checkpoint`` writes it as a pickle, and reads it with ``pickle.load``, which
runs whatever a pickle names. Here it is read by an unpickler that knows the few classes an index is
made of and refuses all else. The tensors themselves are read with ``weights_only=True``; nothing
else is kept in a checkpoint, so that no other bytes are unpickled.
"""

from __future__ import annotations

import pathlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint import filesystem as torch_files
from torch.distributed.checkpoint import metadata as torch_index
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from labkit.errors import SettingError
from labkit.train.checkpoint_files import METADATA_FILE

_KNOWN: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        **{
            (torch_index.__name__, name): getattr(torch_index, name)
            for name in (
                "Metadata",
                "TensorStorageMetadata",
                "TensorProperties",
                "ChunkStorageMetadata",
                "MetadataIndex",
                "StorageMeta",
                "_MEM_FORMAT_ENCODING",
            )
        },
        (torch_files.__name__, "_StorageInfo"): torch_files._StorageInfo,
        ("torch", "Size"): torch.Size,
        ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
        ("pathlib", "PosixPath"): pathlib.PurePosixPath,  # of where it was written; only a text
    }
)


_NOT_AN_INDEX = (
    *(pickle.UnpicklingError, EOFError, OSError),
    *(ValueError, TypeError, AttributeError, LookupError),
)


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in the index of a checkpoint")


def read_index(folder: Path) -> Metadata:
    """The index of a checkpoint; only of one whose files were found to be the user's own.

    Raises:
        SettingError: it is no index, names anything that none holds, or a file outside the folder.
    """
    try:
        with (folder / METADATA_FILE).open("rb") as file:
            index = _IndexUnpickler(file).load()
        if not isinstance(index, Metadata):
            raise TypeError(f"{type(index).__name__} instead of Metadata")
        others = index.state_dict_metadata.keys() - tensors_of(index).keys()
        if others:
            raise TypeError(f"{sorted(others)[0]} is no tensor")
        for stored in index.storage_data.values():
            if Path(stored.relative_path).name != stored.relative_path:
                raise ValueError(f"{stored.relative_path} is outside")
    except _NOT_AN_INDEX as error:
        raise SettingError(
            f"the index of checkpoint {folder} cannot be read ({type(error).__name__}: {error}); "
            "choose another one, or remove it"
        ) from error
    return index


def tensors_of(index: Metadata) -> dict[str, TensorStorageMetadata]:
    """What an index says of each tensor, by name."""
    entries = index.state_dict_metadata.items()
    return {name: entry for name, entry in entries if isinstance(entry, TensorStorageMetadata)}


class IndexedReader(FileSystemReader):
    """Reads the tensors of a checkpoint whose index was read already.

    Args:
        folder: of the checkpoint.
        index: from ``read_index``.
    """

    def __init__(self, folder: Path, index: Metadata) -> None:
        super().__init__(folder)
        self.index = index

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The index that is known."""
        return self.index
