"""Seconds that a declared device computes on a layer: limited by arithmetic or by memory.

Source: the roofline of Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785, plus a
fixed time to start each layer in each direction.
"""

from __future__ import annotations

from dataclasses import replace

from labkit.emulate.device import Device
from labkit.plan import Plan
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.workload import Workload

ELEMENT_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2}
# SGD with momentum reads weight, gradient and momentum, and writes weight and momentum.
OPTIMIZER_PASSES = 5


def forward_s(layer: LayerProfile, num_samples: int, device: Device, tp: int = 1) -> float:
    """Seconds of a layer's forward on one device, without communication.

    time = max(flops / flops_per_s, bytes / memory_bytes_per_s) + overhead, where the bytes are
    the parameters and the kept activations that it reads and the output that it writes.

    Args:
        layer: what it computes.
        num_samples: of one microbatch.
        device: the declared one.
        tp: ranks that share its tensor regions.
    """
    flops = num_samples * _share(layer.forward_flops, layer.split_flops, tp)
    moved_bytes = _share(layer.num_parameter_bytes, layer.split_parameter_bytes, tp) + (
        num_samples * (_share(layer.saved_bytes, layer.split_saved_bytes, tp) + layer.output_bytes)
    )
    busy_s = max(flops / device.flops_per_s, moved_bytes / device.memory_bytes_per_s)
    return busy_s + device.overhead_s


def input_grad_s(layer: LayerProfile, num_samples: int, device: Device, tp: int = 1) -> float:
    """Seconds of the gradient of a layer's input: as the forward; 0.0 if none reaches it.

    See ``forward_s`` for the arguments.
    """
    return forward_s(layer, num_samples, device, tp) if layer.has_backward else 0.0


def weight_grad_s(layer: LayerProfile, num_samples: int, device: Device, tp: int = 1) -> float:
    """Seconds of the gradients of a layer's weights: as the forward; 0.0 if it has none.

    See ``forward_s`` for the arguments.
    """
    return forward_s(layer, num_samples, device, tp) if layer.parameter_bytes else 0.0


def backward_s(layer: LayerProfile, num_samples: int, device: Device, tp: int = 1) -> float:
    """Seconds of a layer's whole backward: gradients of its input and of its weights.

    See ``forward_s`` for the arguments.
    """
    return input_grad_s(layer, num_samples, device, tp) + weight_grad_s(
        layer, num_samples, device, tp
    )


def recompute_s(layer: LayerProfile, num_samples: int, device: Device, tp: int = 1) -> float:
    """Seconds of the forward that a layer without kept activations repeats in its backward.

    See ``forward_s`` for the arguments.
    """
    return forward_s(layer, num_samples, device, tp) if layer.has_backward else 0.0


def optimizer_s(num_bytes: float, device: Device) -> float:
    """Seconds of an update of SGD with momentum, which only moves memory.

    Args:
        num_bytes: of the weights that the device updates.
        device: the declared one.
    """
    return OPTIMIZER_PASSES * num_bytes / device.memory_bytes_per_s


def updated_bytes(parameter_bytes: int, workload: Workload) -> int:
    """Bytes of the weights that an optimiser updates: of bfloat16 ones their float32 copies.

    Args:
        parameter_bytes: of the parameters in the workload's precision.
        workload: names the precision.
    Source: Micikevicius et al. 2018, arXiv:1710.03740.
    """
    itemsize = ELEMENT_BYTES[workload.precision]
    return parameter_bytes // itemsize * max(itemsize, ELEMENT_BYTES["float32"])


def rank_parameter_bytes(layer: LayerProfile, tp: int = 1) -> int:
    """Bytes of a layer's parameters that one rank of a tensor group holds."""
    split = layer.split_parameter_bytes
    return layer.num_parameter_bytes - split + split // tp


def layers_of_rank(profile: ModelProfile, plan: Plan) -> tuple[LayerProfile, ...]:
    """The layers as one rank of a plan computes them, before ``tp`` divides the split parts.

    Where features are split, a rank multiplies its columns of the first layer only. Where
    sequences are, it computes the embedding whole; behind that it works on its tokens, but for
    the inputs of regions, which it gathers and keeps.
    """
    first, *others = profile.layers
    if plan.split == "features" and plan.dp > 1:
        return (replace(first, forward_flops=first.forward_flops / plan.dp), *others)
    if plan.sequence_parallel and plan.tp > 1:
        return (first, *(_on_its_tokens(layer, plan.tp) for layer in others))
    return profile.layers


def _on_its_tokens(layer: LayerProfile, tp: int) -> LayerProfile:
    """A layer of which everything is split but its parameters and the inputs of its regions."""
    return replace(
        layer,
        split_flops=layer.forward_flops,
        split_saved_bytes=max(0, layer.saved_bytes - sum(layer.region_input_bytes)),
        output_bytes=layer.output_bytes // tp,
    )


def _share(whole: float, split: float, tp: int) -> float:
    """What one of ``tp`` ranks has of a quantity of which only a part is split."""
    return whole - split + split / tp
