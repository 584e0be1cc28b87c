"""Run a model layer by layer and see what each layer computes, keeps, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from labkit.preprocess.shards import ShardReader
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.train.rank import DTYPES, build_model
from labkit.train.strategies.shapes import num_bytes
from labkit.train.strategies.tensor import cut_dims
from labkit.workload import Workload

COUNTED_SAMPLES = (2, 4)  # what does not grow with the batch falls out of the difference
TIMED_PART = 8  # layers are timed on an eighth of the global batch: a usual microbatch
ROUNDS = 3
BUDGET_S = 0.2  # no further round is begun once the rounds so far took longer


def profile_model(workload: Workload, dataset_folder: str, device: str) -> ModelProfile:
    """The profile of a workload's model on this machine.

    Args:
        workload: names model, precision and global batch.
        dataset_folder: its first training samples are run through the model.
        device: where it computes, such as ``"cpu"``.
    Raises:
        WorkloadError: the model does not fit the dataset.
        SourceError: the shards cannot be read.
    """
    reader = ShardReader(dataset_folder, "train")
    num_timed = max(1, workload.global_batch // TIMED_PART)
    indices = np.arange(max(num_timed, *COUNTED_SAMPLES)) % reader.num_samples
    inputs = torch.from_numpy(reader.take(indices)[0]).to(device)
    if inputs.is_floating_point():
        inputs = inputs.to(DTYPES[workload.precision])
    model = build_model(workload, reader.manifest).to(device)
    layers = list(model) if isinstance(model, nn.Sequential) else [model]
    # Clones: a slice would keep the whole storage of all inputs alive.
    few, many = (count_layers(layers, inputs[:size].clone()) for size in COUNTED_SAMPLES)
    seconds = time_layers(layers, inputs[:num_timed])
    own = own_parameters(layers)
    return ModelProfile(
        layers=tuple(
            _profile(
                str(i),
                own[i],
                few[i],
                many[i],
                seconds[i] / num_timed,
                has_backward=any(one.sizes for one in own[: i + 1]),
            )
            for i in range(len(layers))
        ),
        input_bytes=num_bytes(inputs[0]),
    )


@dataclass(frozen=True, slots=True)
class OwnParameters:
    """Bytes of a layer's parameters, in their order, and of the parts of them that tp slices."""

    sizes: tuple[int, ...]
    split_bytes: int


def own_parameters(layers: list[nn.Module]) -> list[OwnParameters]:
    """The parameters of each layer; one that several layers share is the first one's."""
    seen: set[int] = set()
    found = []
    for layer in layers:
        own = {name: p for name, p in layer.named_parameters() if id(p) not in seen}
        seen.update(id(p) for p in own.values())
        sliced = cut_dims(layer)
        found.append(
            OwnParameters(
                sizes=tuple(num_bytes(p) for p in own.values()),
                split_bytes=sum(num_bytes(p) for name, p in own.items() if name in sliced),
            )
        )
    return found


@dataclass(slots=True)
class LayerCounts:
    """What one layer did on one batch; bytes and FLOPs of the whole batch, see ``LayerProfile``."""

    forward_flops: int = 0
    split_flops: int = 0
    output_bytes: int = 0
    saved_bytes: int = 0
    split_saved_bytes: int = 0
    region_input_bytes: list[int] = field(default_factory=list)
    region_output_bytes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Kept:
    """Storages that are kept for the backward, each counted once; they stay alive meanwhile."""

    seen: dict[int, torch.UntypedStorage] = field(default_factory=dict)
    num_bytes: int = 0

    def ignore(self, tensor: Tensor) -> None:
        """Never count this tensor's storage."""
        storage = tensor.untyped_storage()
        self.seen[storage._cdata] = storage

    def count(self, tensor: Tensor) -> Tensor:
        """Hook of ``saved_tensors_hooks``: a tensor that the backward will need."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.seen:
            self.seen[storage._cdata] = storage
            self.num_bytes += storage.nbytes()
        return tensor


def count_layers(layers: list[nn.Module], inputs: Tensor) -> list[LayerCounts]:
    """Run a batch through the layers, counting FLOPs and what is kept for the backward.

    An activation that two layers keep is counted with the first of them.

    Args:
        layers: in order; each takes what the one before gives.
        inputs: (batch, ...).
    """
    kept = _Kept()
    for layer in layers:
        for parameter in layer.parameters():
            kept.ignore(parameter)
    x, counts = inputs, []
    for layer in layers:
        found, x = _count_layer(layer, x, kept)
        counts.append(found)
    return counts


def _count_layer(layer: nn.Module, x: Tensor, kept: _Kept) -> tuple[LayerCounts, Tensor]:
    before_bytes = kept.num_bytes
    with _regions(layer) as regions:
        flops, output = _run(layer, x, kept)
    counts = LayerCounts(
        forward_flops=flops,
        output_bytes=num_bytes(output),
        saved_bytes=kept.num_bytes - before_bytes,
    )
    for region, region_input, region_output in regions:
        inside = _Kept()
        inside.ignore(region_input)  # every rank keeps it whole
        for parameter in region.parameters():
            inside.ignore(parameter)
        counts.split_flops += _run(region, region_input, inside)[0]
        counts.split_saved_bytes += inside.num_bytes
        counts.region_input_bytes.append(
            num_bytes(region_input) if region_input.requires_grad else 0
        )
        counts.region_output_bytes.append(num_bytes(region_output))
    return counts, output.detach().requires_grad_(output.requires_grad)


def _run(module: nn.Module, x: Tensor, kept: _Kept) -> tuple[int, Tensor]:
    """FLOPs of a module's forward, and its output."""
    x = x.detach().requires_grad_(x.requires_grad)
    counter = FlopCounterMode(display=False, custom_mapping=_UNCOUNTED)
    with counter, saved_tensors_hooks(kept.count, lambda tensor: tensor):
        output: Tensor = module(x)
    return counter.get_total_flops(), output


def _attention_flops(q: torch.Size, k: torch.Size, v: torch.Size, *_: object, **__: object) -> int:
    """FLOPs of scaled dot-product attention, from the shapes of its arguments."""
    flops: int = sdpa_flop_count(q, k, v)  # type: ignore[no-untyped-call]
    return flops


# torch counts attention's kernels of a GPU, but not that of a CPU.
_UNCOUNTED: dict[object, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops
}


@contextmanager
def _regions(layer: nn.Module) -> Iterator[list[tuple[nn.Module, Tensor, Tensor]]]:
    """Collects each tensor region that runs inside, with its input and output."""
    found: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(region: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        found.append((region, args[0], output))

    handles = [
        module.register_forward_hook(note)
        for module in layer.modules()
        if hasattr(type(module), "tensor_split")
    ]
    yield found
    for handle in handles:
        handle.remove()


def time_layers(layers: list[nn.Module], inputs: Tensor) -> list[float]:
    """Seconds of each layer's forward and backward on a batch, the best of some rounds.

    Args:
        layers: in order.
        inputs: (batch, ...) on their device.
    """
    best_s = [float("inf")] * len(layers)
    begun_s = time.perf_counter()
    for _ in range(ROUNDS):
        x = inputs
        for number, layer in enumerate(layers):
            seconds, x = _time_layer(layer, x)
            best_s[number] = min(best_s[number], seconds)
        if time.perf_counter() - begun_s > BUDGET_S:
            break
    return best_s


def _time_layer(layer: nn.Module, x: Tensor) -> tuple[float, Tensor]:
    layer.zero_grad()
    _wait_for(x)
    start_s = time.perf_counter()
    output: Tensor = layer(x)
    if output.requires_grad:
        output.backward(torch.ones_like(output))  # type: ignore[no-untyped-call]
    _wait_for(output)
    seconds = time.perf_counter() - start_s
    return seconds, output.detach().requires_grad_(output.requires_grad)


def _wait_for(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def _profile(
    name: str,
    own: OwnParameters,
    few: LayerCounts,
    many: LayerCounts,
    measured_s: float,
    *,
    has_backward: bool,
) -> LayerProfile:
    """Per sample, from the counts of two batches."""
    extra = COUNTED_SAMPLES[1] - COUNTED_SAMPLES[0]

    def each(name: str) -> int:
        difference: int = getattr(many, name) - getattr(few, name)
        return round(difference / extra)

    return LayerProfile(
        name=name,
        forward_flops=each("forward_flops"),
        split_flops=each("split_flops"),
        parameter_bytes=own.sizes,
        split_parameter_bytes=own.split_bytes,
        output_bytes=each("output_bytes"),
        saved_bytes=each("saved_bytes"),
        split_saved_bytes=each("split_saved_bytes"),
        region_input_bytes=_each_of(few.region_input_bytes, many.region_input_bytes, extra),
        region_output_bytes=_each_of(few.region_output_bytes, many.region_output_bytes, extra),
        measured_s=measured_s,
        has_backward=has_backward,
    )


def _each_of(few: list[int], many: list[int], extra: int) -> tuple[int, ...]:
    return tuple(round((b - a) / extra) for a, b in zip(few, many, strict=True))
