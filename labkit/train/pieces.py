"""What a rank holds of the whole model's tensors, as ``torch.distributed.checkpoint`` asks for it.

A checkpoint knows each tensor by its global name and shape. A rank has all of it, or a box: rows of
a sharded parameter, columns of a sliced one, or, of an optimiser that is sharded by numbers, a
stretch of the flattened tensor, which is a few boxes. Boxes that several ranks have are written
once. Whoever reads asks for boxes of its own, so a checkpoint fits any plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.checkpoint import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
)
from torch.distributed.checkpoint.planner import TensorWriteData, WriteItem, WriteItemType
from torch.distributed.tensor import DTensor

from labkit.plan import Plan
from labkit.train.plain_gather import gather_plain
from labkit.train.strategies.parallel_model import ParallelModel


class Box(NamedTuple):
    """A part of a global tensor.

    Attributes:
        offsets: of its first number in the global tensor, one a dimension.
        tensor: the numbers, with as many dimensions; written to in place.
    """

    offsets: tuple[int, ...]
    tensor: Tensor


class Pieces:
    """A rank's boxes of one global tensor; DCP finds out by the two methods that torch names.

    Args:
        shape: of the global tensor.
        boxes: this rank's; empty ones are left out.
    """

    def __init__(self, shape: Sequence[int], boxes: Sequence[Box]) -> None:
        self.shape = torch.Size(shape)
        self.boxes = {torch.Size(b.offsets): b.tensor for b in boxes if b.tensor.numel()}

    @classmethod
    def of(cls, tensor: Tensor) -> Pieces:
        """A whole tensor."""
        return cls(tensor.shape, [Box((0,) * tensor.dim(), tensor)])

    def size(self) -> torch.Size:
        """The global shape."""
        return self.shape

    def __create_write_items__(self, name: str, _: object) -> list[WriteItem]:
        return [
            WriteItem(
                index=MetadataIndex(name, chunk.offsets),
                type=WriteItemType.SHARD,
                tensor_data=TensorWriteData(
                    chunk=chunk,
                    properties=TensorProperties.create_from_tensor(self.boxes[chunk.offsets]),
                    size=self.shape,
                ),
            )
            for chunk in self.__create_chunk_list__()
        ]

    def __create_chunk_list__(self) -> list[ChunkStorageMetadata]:
        return [ChunkStorageMetadata(offsets, box.size()) for offsets, box in self.boxes.items()]


class PieceSavePlanner(DefaultSavePlanner):
    """Plans what each rank writes of the ``Pieces``; plans once, as long as they stay the same.

    Args:
        name: under which the plan is kept in this process, for the next checkpoint of the run.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            flatten_state_dict=False, flatten_sharded_tensors=False, enable_plan_caching=True
        )
        self._cached_plans_key = name

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        """The box of an index."""
        return find_box(self.state_dict, index)


class PieceLoadPlanner(DefaultLoadPlanner):
    """Plans what a rank reads into its ``Pieces``; tensors only."""

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)

    def set_up_planner(
        self,
        state_dict: dict[str, Any],
        metadata: Metadata | None = None,
        is_coordinator: bool = False,
    ) -> None:
        """Take the pieces as they are; the usual planner knows torch's own tensors only."""
        self.state_dict = self.original_state_dict = state_dict
        self.metadata = metadata
        self.is_coordinator = is_coordinator

    def lookup_tensor(self, index: MetadataIndex) -> Tensor:
        """The box of an index."""
        return find_box(self.state_dict, index)

    def load_bytes(self, read_item: Any, value: Any) -> None:
        """Never: it would unpickle them."""
        raise ValueError(f"{read_item.dest_index.fqn} is no tensor")


def find_box(state: Mapping[str, Pieces], index: MetadataIndex) -> Tensor:
    """The box of a rank's state that begins where an index says."""
    assert index.offset is not None, "every box has its offsets"
    return state[index.fqn].boxes[index.offset]


class Extent(NamedTuple):
    """Where a rank's part of a parameter lies: the global shape, and the offsets in it."""

    shape: tuple[int, ...]
    offsets: tuple[int, ...]


def local(tensor: Tensor) -> Tensor:
    """The numbers of a tensor that this rank holds, without their history."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()


def find_extents(part: ParallelModel, plan: Plan) -> dict[str, Extent]:
    """Where this rank's part of each of its parameters lies. A collective of all ranks."""
    named = dict(part.module.named_parameters())
    sizes = {name: local(named[name]).shape[dim] for name, dim in part.split_dims.items()}
    sizes_of_slices: dict[str, dict[int, int]] = {}
    sliced = plan.tp > 1 or (plan.split == "features" and plan.dp > 1)
    mine = (part.split_rank, sizes)
    for split_rank, slices in gather_plain(mine) if sliced else [mine]:
        for name, size in slices.items():
            sizes_of_slices.setdefault(name, {})[split_rank] = size
    extents = {}
    for name, parameter in named.items():
        shape, offsets = [*parameter.shape], [0] * parameter.dim()
        if isinstance(parameter, DTensor):
            (chunk,) = parameter.__create_chunk_list__()  # type: ignore[no-untyped-call]
            offsets = [*chunk.offsets]
        elif name in part.split_dims:
            dim, of_ranks = part.split_dims[name], sizes_of_slices[name]
            shape[dim] = sum(of_ranks.values())
            offsets[dim] = sum(size for rank, size in of_ranks.items() if rank < part.split_rank)
        extents[name] = Extent(tuple(shape), tuple(offsets))
    return extents


def boxes_in(extent: Extent, tensor: Tensor, stretch: slice | None = None) -> list[Box]:
    """The boxes of a rank's part, or of a stretch of it, in the global tensor.

    Args:
        extent: of the rank's whole part.
        tensor: the part; or (numbers,), the stretch of the flattened part.
        stretch: its place there; ``None`` is all of it.
    """
    tensor = local(tensor)
    if stretch is None:
        return [Box(extent.offsets, tensor)]
    assert not any(extent.offsets), "stretches are of whole parameters"
    return list(boxes_of_stretch(tensor, stretch.start, extent.shape))


def boxes_of_stretch(numbers: Tensor, start: int, shape: Sequence[int]) -> Iterator[Box]:
    """Cut a stretch of a flattened tensor into boxes: a part of a row, whole rows, part of a row.

    Args:
        numbers: (numbers,), the stretch; the boxes are views of it.
        start: place of its first number.
        shape: of the tensor, row-major.
    """
    if len(shape) <= 1:
        yield Box((start,) if shape else (), numbers if shape else numbers.view(()))
        return
    row_size = prod(shape[1:])
    row, begin = divmod(start, row_size)
    head = min(row_size - begin, len(numbers)) if begin else 0
    num_rows = (len(numbers) - head) // row_size
    tail = head + num_rows * row_size
    if head:
        yield from _in_row(row, boxes_of_stretch(numbers[:head], begin, shape[1:]))
        row += 1
    if num_rows:
        whole = numbers[head:tail].view(num_rows, *shape[1:])
        yield Box((row, *([0] * (len(shape) - 1))), whole)
    if tail < len(numbers):
        yield from _in_row(row + num_rows, boxes_of_stretch(numbers[tail:], 0, shape[1:]))


def _in_row(row: int, boxes: Iterator[Box]) -> Iterator[Box]:
    for offsets, tensor in boxes:
        yield Box((row, *offsets), tensor.unsqueeze(0))
