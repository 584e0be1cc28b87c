"""How a model of the user's can be split: found once, by running it on made-up samples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from labkit.errors import WorkloadError
from labkit.train.custom_checks import (
    NUM_SAMPLES,
    Sample,
    check_model,
    check_parameters,
    first_line,
)
from labkit.train.custom_layers import UNFIT, Path, as_layers, find_layers, shared_names
from labkit.train.models.branches import Branches
from labkit.train.region_check import close, count_slices
from labkit.train.strategies.tensor import cut_dims

Regions = dict[str, tuple[nn.Module, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a model is, as far as plans care; the first fields are those of ``Workload``.

    Attributes:
        path: where its layers stand in it, see ``find_layers``.
        linear_regions: whether everything that a tensor group cuts is ``nn.Linear``.
        mixes: why a sample's output depends on the other samples; empty if it does not.
        shared: two names, in different layers, of one parameter.
        shared_slice: a parameter of a tensor region that has a second name.
        no_meta: why the model does not run on the device ``meta``; empty if it does.
        number: a parameter that is a single number, without dimensions; empty if there is none.
    """

    num_layers: int
    tensor_units: int
    num_features: int
    num_tokens: int
    num_branches: int
    path: Path | None
    linear_regions: bool
    mixes: str
    shared: tuple[str, str] | None
    shared_slice: str
    no_meta: str
    number: str


def find_facts(build: Callable[[], nn.Module], sample: Sample, who: str) -> Facts:
    """Check a model and find out how it can be split.

    Args:
        build: gives the model anew, from the same seed.
        sample: what it will get.
        who: begins each message.
    Raises:
        WorkloadError: no plan can train it; says why.
    """
    model = build()
    check_parameters(model, who)
    _check_seed(model, build(), who)
    check_model(model, sample, who)
    x = sample.inputs()
    path = find_layers(model, x)
    layers = as_layers(model, path)
    regions = find_regions(layers, x)
    branches = [len(layer.branches) for layer in layers if isinstance(layer, Branches)]
    return Facts(
        num_layers=len(layers),
        tensor_units=count_slices(regions),
        num_features=count_features(layers, x),
        num_tokens=count_tokens(layers, x, sample),
        num_branches=branches[0] if len(branches) == 1 else 0,
        path=path,
        linear_regions=all(_is_linear(region) for region, _ in regions.values()),
        mixes=_why_mixing(layers, x),
        shared=shared_names(layers),
        shared_slice=_shared_slice(layers),
        no_meta=_why_no_meta(layers, x),
        number=next((name for name, p in layers.named_parameters() if not p.dim()), ""),
    )


def _check_seed(first: nn.Module, second: nn.Module, who: str) -> None:
    """Every rank builds the model by itself, so building it must depend on torch's seed alone."""
    others = dict(second.named_parameters())
    for name, parameter in first.named_parameters():
        if name not in others or not torch.equal(parameter, others[name]):
            raise WorkloadError(
                f"{who}: {name!r} is not the same when the model is built again with the same "
                "seed, so ranks would begin apart; draw weights by torch's global generator only"
            )


def find_regions(layers: nn.Sequential, x: Tensor) -> Regions:
    """Each tensor region with the input that it gets, by name."""
    regions: Regions = {}
    handles = [
        module.register_forward_pre_hook(
            lambda module, args, name=name: regions.update({name: (module, args[0].detach())})
        )
        for name, module in layers.named_modules()
        if hasattr(type(module), "tensor_split")
    ]
    with torch.no_grad():
        layers(x)
    for handle in handles:
        handle.remove()
    return regions


def count_features(layers: nn.Sequential, x: Tensor) -> int:
    """Columns that the first layer multiplies; 0 where it is no ``nn.Linear`` on rows.

    A class derived from it, such as one with a norm of its weights, may do more than multiply.
    """
    first = layers[0]
    return first.in_features if type(first) is nn.Linear and x.dim() == 2 else 0


def count_tokens(layers: nn.Sequential, x: Tensor, sample: Sample) -> int:
    """Tokens that sequence parallelism may shard; 0 where it would give something else.

    The first layer makes a vector of each token, and every other one, but for its tensor regions,
    treats each token by itself: that is tried on some of the tokens alone.
    """
    if len(layers) < 2 or len(sample.shape) != 1 or sample.target_shape != sample.shape:
        return 0
    first, rest = layers[0], copy.deepcopy(layers[1:])
    regions = [m for m in rest.modules() if hasattr(type(m), "tensor_split")]
    if not regions or any(hasattr(type(m), "tensor_split") for m in first.modules()):
        return 0
    for region in regions:
        region.forward = torch.neg
    num_tokens = sample.shape[0]
    some = slice(num_tokens // 2, num_tokens)
    with torch.no_grad():
        x_BTD = first(x)
        if x_BTD.dim() != 3 or x_BTD.shape[1] != num_tokens:
            return 0
        try:
            alone = rest(x_BTD[:, some])
        except UNFIT:
            return 0
        return num_tokens if close(alone, rest(x_BTD)[:, some]) else 0


def _is_linear(region: nn.Module) -> bool:
    split = getattr(type(region), "tensor_split", {})
    return all(isinstance(region.get_submodule(child), nn.Linear) for child in split)


def _why_mixing(layers: nn.Sequential, x: Tensor) -> str:
    half = NUM_SAMPLES // 2
    with torch.no_grad():
        if close(layers(x[:half]), layers(x)[:half]):
            return ""
    for name, module in layers.named_modules():
        if isinstance(module, _BatchNorm):
            return f"layer {name!r} is {type(module).__name__}"
    return "what it gives for a sample depends on the samples beside it"


def _shared_slice(layers: nn.Sequential) -> str:
    names: dict[int, list[str]] = {}
    for name, parameter in layers.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    cut = cut_dims(layers)
    return next((each[0] for each in names.values() if len(each) > 1 and cut.keys() & each), "")


def _why_no_meta(layers: nn.Sequential, x: Tensor) -> str:
    """Pipelines and tensor groups find shapes by running the model where tensors have no data."""
    try:
        y = x.to("meta")
        for layer in copy.deepcopy(layers).to("meta"):
            y = layer(y)
    except UNFIT as error:
        return first_line(error)
    return ""
