"""The next character of English text: a small causal Transformer, as GPT-2 orders its layers.

Source: Radford et al. 2019, "Language models are unsupervised multitask learners" (norm before
each branch); blocks named as Megatron-LM splits them (Shoeybi et al. 2019, arXiv:1909.08053).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.errors import WorkloadError
from labkit.train.models.layers import Attention, FeedForward, Residual, TokenEmbedding

WIDTH = 64
NUM_HEADS = 8
NUM_BLOCKS = 6


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Eight layers: embedding, six Transformer blocks, norm and vocabulary.

    Args:
        input_shape: ``(num_tokens,)`` of one sample.
        num_classes: size of the vocabulary.
    Returns:
        Layers that take (batch, num_tokens) int64 and give (batch, num_tokens, num_classes)
        logits of the next token.
    Raises:
        WorkloadError: a sample is not one row of tokens.
    """
    if len(input_shape) != 1:
        raise WorkloadError(
            f"the text model takes samples of shape (tokens,), but the dataset's are "
            f"{tuple(input_shape)}; train it on a dataset of text"
        )
    blocks = [
        nn.Sequential(
            Residual(Attention(WIDTH, NUM_HEADS), nn.LayerNorm(WIDTH)),
            Residual(FeedForward(WIDTH, 4 * WIDTH), nn.LayerNorm(WIDTH)),
        )
        for _ in range(NUM_BLOCKS)
    ]
    return nn.Sequential(
        TokenEmbedding(num_classes, input_shape[0], WIDTH),
        *blocks,
        nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, num_classes, bias=False)),
    )
