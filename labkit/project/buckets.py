"""Which gradients are summed over the replicas together, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from labkit.project.profile import LayerProfile


class Bucket(NamedTuple):
    """Gradients that one all_reduce carries."""

    num_bytes: int
    layer: int  # whose backward makes the last of them: the first layer of the bucket


def assign_buckets(layers: Sequence[LayerProfile], cap_bytes: float) -> tuple[Bucket, ...]:
    """Fill buckets with gradients in the order in which the backward makes them.

    A bucket is closed as soon as it holds at least ``cap_bytes``; so a gradient that is larger
    than that has a bucket of its own, or ends one.

    Args:
        layers: of the whole model, in the order of the forward.
        cap_bytes: ``bucket_mb`` in bytes.
    Returns:
        Buckets in the order in which they become ready.
    Source: the rule of PyTorch's DistributedDataParallel from its second step on, Li et al. 2020,
        arXiv:2006.15704, section 3.2.3.
    """
    buckets: list[Bucket] = []
    filled = 0
    last_layer = 0
    for number, layer in reversed(list(enumerate(layers))):
        for num_bytes in reversed(layer.parameter_bytes):
            filled += num_bytes
            last_layer = number
            if filled >= cap_bytes:
                buckets.append(Bucket(filled, number))
                filled = 0
    if filled:
        buckets.append(Bucket(filled, last_layer))
    return tuple(buckets)
