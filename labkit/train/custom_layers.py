"""A model of the user's as layers in a row: what a pipeline may cut between, and a pacer times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Path = tuple[str, ...]

# What a module may raise for an input that it is not made for.
UNFIT = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError)


def find_layers(model: nn.Module, x: Tensor) -> Path | None:
    """Where in a model the module is whose children, run in order, are the whole model.

    An ``nn.Sequential`` is such a module by itself. For any other one it is tried out: if running
    the children in order gives exactly the model's output, that is what its forward does.

    Args:
        model: in training mode.
        x: (batch, ...) samples that it takes.
    Returns:
        Names of the children to go down by, empty for the model itself; ``None`` where the model
        is no such row.
    """
    path: Path = ()
    module = model
    while _is_row(module, x):
        (name, child), *others = module.named_children()
        if others or not list(child.children()):
            return path
        path, module = (*path, name), child
    return None if not path else path[:-1]


def _is_row(module: nn.Module, x: Tensor) -> bool:
    children = list(module.children())
    own = (*module._parameters.values(), *module._buffers.values())
    if not children or any(tensor is not None for tensor in own):
        return False
    if hasattr(type(module), "tensor_split"):
        return False  # a tensor region stays whole
    in_order = type(module).forward is nn.Sequential.forward
    if in_order and len(list(iter(module))) != len(children):  # type: ignore[call-overload]
        return False  # a layer that stands in it twice
    with torch.no_grad():
        y: Any = x
        for child in children:
            try:
                y = child(y)
            except UNFIT:
                if in_order:
                    raise
                return False  # its forward does something else between its children
            if not isinstance(y, Tensor):
                return False
        return in_order or torch.equal(y, module(x))


def as_layers(model: nn.Module, path: Path | None) -> nn.Sequential:
    """The same model, with the same parameters, as numbered layers.

    Args:
        model: of the user's.
        path: as ``find_layers`` found it; with ``None`` the whole model is one layer.
    """
    if path is None:
        layers = nn.Sequential(model)
    else:
        layers = nn.Sequential(*model.get_submodule(".".join(path)).children())
    for module in layers.modules():
        # In place, a layer would overwrite what the one before, or a message, still needs.
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
        # Constants need not travel with the weights: every rank builds them.
        for name, buffer in list(module._buffers.items()):
            module.register_buffer(name, buffer, persistent=False)
    layers.register_load_state_dict_pre_hook(_fill_in_shared)  # type: ignore[no-untyped-call]
    return layers


def _fill_in_shared(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Weights that two layers share travel once, under the first name."""
    first: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known != name and known in state:
            state[name] = state[known]


def shared_names(layers: nn.Sequential) -> tuple[str, str] | None:
    """Two names, in different layers, of one parameter; ``None`` if layers share nothing."""
    first: dict[int, str] = {}
    for name, parameter in layers.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known.partition(".")[0] != name.partition(".")[0]:
            return known, name
    return None
