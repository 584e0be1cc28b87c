"""How a step is split over ranks, one file per strategy; ``STRATEGIES`` names them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from labkit.train.strategies.data import apply_data
from labkit.train.strategies.hybrid import apply_hybrid
from labkit.train.strategies.parallel_model import ApplyStrategy
from labkit.train.strategies.pipeline import apply_pipeline
from labkit.train.strategies.single import apply_single
from labkit.train.strategies.tensor import apply_tensor

STRATEGIES: Mapping[str, ApplyStrategy] = MappingProxyType(
    {
        "single": apply_single,
        "data": apply_data,
        "pipeline": apply_pipeline,
        "tensor": apply_tensor,
        "hybrid": apply_hybrid,
    }
)
