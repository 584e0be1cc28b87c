"""A made-up device, model and workload with round numbers."""

from __future__ import annotations

import pytest

from labkit.emulate.device import Device, Link
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.workload import WORKLOADS, Workload

NUM_BLOCKS = 6


@pytest.fixture
def device() -> Device:
    """1 GFLOP/s, memory that is never the limit, four devices a host."""
    return Device(
        name="round",
        description="round numbers",
        flops_per_s=1e9,
        memory_bytes=10**9,
        memory_bytes_per_s=1e12,
        overhead_s=0.0,
        devices_per_host=4,
        inside=Link(1e9, 1e-6),
        across=Link(1e8, 1e-5),
        sources={},
    )


@pytest.fixture
def profile() -> ModelProfile:
    """Eight layers: one in, six equal ones with a tensor region each, one out."""
    blocks = [
        LayerProfile(
            name=str(number),
            forward_flops=1e6,
            split_flops=8e5,
            parameter_bytes=(40_000, 400, 40_000, 400),
            split_parameter_bytes=80_000,
            output_bytes=400,
            saved_bytes=1_200,
            split_saved_bytes=800,
            region_input_bytes=(400,),
            region_output_bytes=(400,),
        )
        for number in range(1, NUM_BLOCKS + 1)
    ]
    first = LayerProfile(
        name="0",
        forward_flops=1e5,
        parameter_bytes=(2_000, 400),
        output_bytes=400,
        saved_bytes=20,
    )
    last = LayerProfile(
        name="7", forward_flops=1e5, parameter_bytes=(800, 8), output_bytes=8, saved_bytes=400
    )
    return ModelProfile(layers=(first, *blocks, last), input_bytes=20)


@pytest.fixture
def workload() -> Workload:
    """64 samples a step, with momentum."""
    return WORKLOADS["fruit"].with_settings(global_batch=64)
