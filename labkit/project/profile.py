"""What each layer of a model computes, keeps and sends: plain values, found by running it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProfile:
    """One child of the model's ``nn.Sequential``; per sample unless said.

    Attributes:
        name: of the child: ``"0"``, ``"1"``, ...
        forward_flops: of the whole layer's forward.
        split_flops: the part of them inside tensor regions, which ``tp`` divides.
        parameter_bytes: of each parameter, in registration order; whole, not per sample.
        split_parameter_bytes: the part of their sum that ``tp`` slices; whole, not per sample.
        output_bytes: of the activation that leaves the layer.
        saved_bytes: of the activations that are kept for the backward, without parameters.
        split_saved_bytes: the part of those inside tensor regions, which ``tp`` divides.
        region_input_bytes: of each tensor region's input; 0 where no gradient flows back.
        region_output_bytes: of each tensor region's output.
        has_backward: whether a gradient reaches the layer; not where nothing up to it has
            parameters.
        measured_s: seconds of forward and backward as measured on this machine; 0.0 if unknown.
    """

    name: str
    forward_flops: float
    split_flops: float = 0.0
    parameter_bytes: tuple[int, ...] = ()
    split_parameter_bytes: int = 0
    output_bytes: int = 0
    saved_bytes: int = 0
    split_saved_bytes: int = 0
    region_input_bytes: tuple[int, ...] = ()
    region_output_bytes: tuple[int, ...] = ()
    measured_s: float = 0.0
    has_backward: bool = True

    @property
    def num_parameter_bytes(self) -> int:
        """Bytes of all parameters, and so of their gradients."""
        return sum(self.parameter_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """A model's layers in order, and the bytes of one input sample."""

    layers: tuple[LayerProfile, ...]
    input_bytes: int

    @property
    def num_parameter_bytes(self) -> int:
        """Bytes of all parameters of all layers."""
        return sum(layer.num_parameter_bytes for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelProfile:
        """The profile that ``to_dict`` described, whether or not it went through JSON."""
        layers = tuple(LayerProfile(**_with_tuples(layer)) for layer in values["layers"])
        return cls(layers=layers, input_bytes=values["input_bytes"])


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where a profile has tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
