"""A rank's part as boxes of global tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.metadata import MetadataIndex

from labkit.plan import Plan
from labkit.train.pieces import Box, Extent, Pieces, boxes_in, boxes_of_stretch, find_extents
from labkit.train.strategies.parallel_model import ParallelModel, Place


@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (1, 5), (2, 3, 4), (5, 1, 3), (2, 2, 2, 2)])
def test_the_boxes_of_a_stretch_are_its_numbers_in_their_places(shape: tuple[int, ...]) -> None:
    size = torch.Size(shape).numel()
    for start in range(size):
        for stop in range(start + 1, size + 1):
            whole = torch.full(shape, -1.0)
            stretch = torch.arange(start, stop, dtype=torch.float32)
            for offsets, tensor in boxes_of_stretch(stretch, start, shape):
                place = tuple(slice(o, o + n) for o, n in zip(offsets, tensor.shape, strict=True))
                assert (whole[place] == -1).all(), "two boxes overlap"
                whole[place] = tensor
            expected = torch.full((size,), -1.0)
            expected[start:stop] = stretch
            torch.testing.assert_close(whole.flatten(), expected, rtol=0, atol=0)


def test_boxes_are_views_that_can_be_read_into() -> None:
    numbers = torch.zeros(7)
    for _, tensor in boxes_of_stretch(numbers, 2, (3, 4)):
        tensor.fill_(1.0)
    assert numbers.tolist() == [1.0] * 7


def test_a_part_is_one_box_and_a_stretch_of_it_several() -> None:
    extent = Extent((3, 4), (0, 0))
    assert [box.offsets for box in boxes_in(extent, torch.ones(3, 4))] == [(0, 0)]
    found = boxes_in(extent, torch.ones(6), slice(3, 9))
    assert [(box.offsets, tuple(box.tensor.shape)) for box in found] == [
        ((0, 3), (1, 1)), ((1, 0), (1, 4)), ((2, 0), (1, 1)),
    ]  # fmt: skip


def test_pieces_tell_what_is_written_and_leave_empty_boxes_out() -> None:
    rows = torch.ones(2, 4)
    pieces = Pieces((5, 4), [Box((1, 0), rows), Box((5, 0), torch.ones(0, 4))])
    (item,) = pieces.__create_write_items__("weight.x", pieces)
    assert item.index == MetadataIndex("weight.x", (1, 0))
    assert item.tensor_data is not None
    assert item.tensor_data.size == pieces.size() == torch.Size((5, 4))
    assert item.tensor_data.chunk.sizes == rows.shape
    assert item.tensor_data.properties.dtype == torch.float32


def test_a_parameter_that_is_not_sliced_is_whole() -> None:
    module = nn.Linear(3, 2)
    part = ParallelModel(
        module=module,
        place=Place(replica=0, stage=0, tensor_rank=0),
        device=torch.device("cpu"),
        forward_backward=lambda batch: torch.zeros(()),
    )
    assert find_extents(part, Plan()) == {
        "weight": Extent((2, 3), (0, 0)),
        "bias": Extent((2,), (0,)),
    }
