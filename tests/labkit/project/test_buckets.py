"""Buckets are those that DistributedDataParallel makes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.distributed import _compute_bucket_assignment_by_size

from labkit.project.buckets import Bucket, assign_buckets
from labkit.project.profile import LayerProfile, ModelProfile


def layers_of(sizes: Sequence[Sequence[int]]) -> list[LayerProfile]:
    """Layers with parameters of these bytes."""
    return [
        LayerProfile(name=str(i), forward_flops=1.0, parameter_bytes=tuple(of_layer))
        for i, of_layer in enumerate(sizes)
    ]


@pytest.mark.parametrize("cap_bytes", [1, 400, 1_000, 4_000, 10**6])
def test_buckets_hold_what_pytorch_puts_into_them(cap_bytes: int) -> None:
    sizes = [[40, 400], [], [4_000, 200, 240], [80], [600, 40, 120]]
    ready = [n for of_layer in reversed(sizes) for n in reversed(of_layer)]
    gradients = [torch.zeros(n // 4) for n in ready]
    theirs, _ = _compute_bucket_assignment_by_size(gradients, [cap_bytes])
    expected = [sum(ready[i] for i in bucket) for bucket in theirs]
    assert [b.num_bytes for b in assign_buckets(layers_of(sizes), cap_bytes)] == expected


def test_a_bucket_is_ready_with_the_first_layer_that_it_holds() -> None:
    layers = layers_of([[100], [100], [100], [100]])
    assert assign_buckets(layers, 200) == (Bucket(200, 2), Bucket(200, 0))
    assert assign_buckets(layers, 300) == (Bucket(300, 1), Bucket(100, 0))


def test_a_large_cap_makes_one_bucket_of_everything(profile: ModelProfile) -> None:
    assert assign_buckets(profile.layers, 25e6) == (Bucket(profile.num_parameter_bytes, 0),)


def test_a_model_without_parameters_has_no_bucket() -> None:
    assert assign_buckets(layers_of([[], []]), 100) == ()
