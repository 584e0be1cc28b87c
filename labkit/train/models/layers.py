"""Layers that the bundled models share, and how tensor parallelism may split them.

A class that carries ``tensor_split`` is a *tensor region*: its input is the same on every rank of
a tensor group, its ``column`` children each make a slice of the wide activation, its ``row``
children turn the slices back into a sum that is the same on every rank (Shoeybi et al. 2019,
arXiv:1909.08053). The residual stays outside the region, since its gradient is whole already.

Shapes: B batch, T tokens, D model width, H heads, K width of one head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeedForward(nn.Module):
    """``w2(gelu(w1(x)))``: widen, bend, narrow. x: (..., D) to (..., D)."""

    tensor_split: ClassVar[Mapping[str, str]] = {"w1": "column", "w2": "row"}

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w2(F.gelu(self.w1(x)))
        return y


class ConvPair(nn.Module):
    """Two 3 x 3 convolutions with a GELU between. x: (B, C, height, width), kept."""

    tensor_split: ClassVar[Mapping[str, str]] = {"w1": "column", "w2": "row"}

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Conv2d(channels, hidden, 3, padding=1)
        self.w2 = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w2(F.gelu(self.w1(x)))
        return y


class Attention(nn.Module):
    """Causal self-attention; a tensor group shares out the heads. x_BTD: (batch, tokens, width)."""

    tensor_split: ClassVar[Mapping[str, str]] = {
        "wq": "column",
        "wk": "column",
        "wv": "column",
        "wo": "row",
    }

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.head_width = width // num_heads
        self.wq = nn.Linear(width, width, bias=False)
        self.wk = nn.Linear(width, width, bias=False)
        self.wv = nn.Linear(width, width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        batch, tokens, _ = x_BTD.shape
        # -1: under tensor parallelism a rank has only its share of the heads.
        q_BHTK, k_BHTK, v_BHTK = (
            w(x_BTD).view(batch, tokens, -1, self.head_width).transpose(1, 2)
            for w in (self.wq, self.wk, self.wv)
        )
        y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        y_BTD: Tensor = self.wo(y_BHTK.transpose(1, 2).reshape(batch, tokens, -1))
        return y_BTD


class Residual(nn.Module):
    """``x + branch(norm(x))``; the norm may be left out."""

    def __init__(self, branch: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm is None else norm
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.branch(self.norm(x))
        return y


class TokenEmbedding(nn.Module):
    """Tokens (B, T) to vectors (B, T, D): what each token is, plus where it stands."""

    def __init__(self, vocabulary: int, num_tokens: int, width: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(0.02 * torch.randn(num_tokens, width))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        x_BTD: Tensor = self.token(tokens_BT) + self.position
        return x_BTD
