"""Tensor regions are tried out in slices: what is wrong with a split is found before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import WorkloadError
from labkit.train.models.layers import Attention, ConvPair, FeedForward
from labkit.train.region_check import compare_slices, count_slices


class Region(nn.Module):
    """A column and a row layer of six; subclasses do something between or around them."""

    tensor_split: ClassVar[Mapping[str, str]] = {"wide": "column", "narrow": "row"}

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(F.gelu(self.wide(x)))
        return y


class WithResidual(Region):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class WithNormBefore(Region):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))


class WithNormAfter(WithNormBefore):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(Region.forward(self, x))
        return y


class WithSoftmaxBetween(Region):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(self.wide(x).softmax(dim=-1))
        return y


class WithEmbedding(Region):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Embedding(6, 12)  # type: ignore[assignment]


class WithoutRow(Region):
    tensor_split: ClassVar[Mapping[str, str]] = {"wide": "column"}


@pytest.mark.parametrize(
    ("region", "shape", "slices"),
    [
        (FeedForward(6, 12), (4, 6), 12),
        (FeedForward(6, 7), (4, 6), 7),
        (ConvPair(2, 8), (4, 2, 5, 5), 8),
        (Attention(64, 8), (2, 9, 64), 8),  # heads, though 64 columns could be cut
        (Region(), (4, 6), 12),
        (WithNormAfter(), (4, 6), 12),
    ],
)
def test_a_region_has_as_many_slices_as_give_the_same_as_the_whole(
    region: nn.Module, shape: tuple[int, ...], slices: int
) -> None:
    assert count_slices({"1.branch": (region, torch.randn(shape))}) == slices


def test_regions_together_have_the_slices_that_suit_all() -> None:
    x = torch.randn(4, 6)
    regions = {"1": (FeedForward(6, 12), x), "2": (FeedForward(6, 8), x)}
    assert count_slices(regions) == 4
    assert count_slices({}) == 1
    assert count_slices({**regions, "3": (FeedForward(6, 5), x)}) == 1


@pytest.mark.parametrize(
    ("region", "difference"),
    [
        (WithResidual(), "the gradient of its input differs"),
        (WithNormBefore(), "the gradient of 'norm.weight' differs"),
        (WithSoftmaxBetween(), "the gradient of 'wide.weight' differs"),
    ],
)
def test_a_region_that_is_something_else_in_slices_is_refused_with_what_differs(
    region: nn.Module, difference: str
) -> None:
    x = torch.randn(4, 6)
    assert compare_slices(region, x, 2) == difference
    with pytest.raises(WorkloadError, match=rf"layer '1': \w+.tensor_split=.* {difference}"):
        count_slices({"1": (region, x)})


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (WithEmbedding(), "says 'wide' is 'column', but it is Embedding"),
        (WithoutRow(), "has 0 row layers; name the one that joins the slices"),
    ],
)
def test_a_split_of_something_that_cannot_be_cut_is_refused(
    region: nn.Module, message: str
) -> None:
    with pytest.raises(WorkloadError, match=message):
        count_slices({"1": (region, torch.randn(4, 6))})
