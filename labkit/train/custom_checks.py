"""What a model of the user's has to be, whatever the plan: each check is one clear line.

A split step equals an unsplit one only where the model computes each sample by itself and draws
nothing at random. That is tried out on a few made-up samples, not guessed from the layers' names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from labkit.errors import WorkloadError
from labkit.train.custom_layers import UNFIT
from labkit.train.loss import scaled_loss

NUM_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """What a dataset feeds a model with.

    Attributes:
        shape, dtype: of one input, as in the dataset's manifest.
        target_shape: of one target; empty where a sample has one class.
        num_classes: classes to tell apart.
    """

    shape: tuple[int, ...]
    dtype: str
    target_shape: tuple[int, ...]
    num_classes: int

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> Sample:
        """The samples that a manifest describes."""
        return cls(
            shape=tuple(manifest["inputs"]["shape"]),
            dtype=manifest["inputs"]["dtype"],
            target_shape=tuple(manifest["targets"]["shape"]),
            num_classes=manifest["num_classes"],
        )

    def inputs(self, num_samples: int = NUM_SAMPLES) -> Tensor:
        """Made-up samples, the same every time: (num_samples, *shape)."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        generator = torch.Generator().manual_seed(0)
        size = (num_samples, *self.shape)
        if dtype.is_floating_point:
            return torch.randn(size, generator=generator, dtype=torch.float32)
        # Tokens are classes where text is learned.
        return torch.randint(0, max(1, self.num_classes), size, generator=generator).to(dtype)

    def __str__(self) -> str:
        return f"{self.dtype} samples of shape {self.shape} and {self.num_classes} classes"


def check_model(model: nn.Module, sample: Sample, who: str) -> None:
    """Raise a WorkloadError unless a model can be trained on such samples under some plan.

    Args:
        model: float32, in training mode, on the CPU; changed by running it.
        sample: what it will get.
        who: begins each message, such as ``the model of workload 'mine'``.
    """
    check_parameters(model, who)
    x = sample.inputs()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    random_state = torch.get_rng_state()
    y = run_model(model, x, sample, who)
    _check_output(y, sample, who)
    if not torch.equal(random_state, torch.get_rng_state()):
        raise WorkloadError(_says_random(model, who))
    for name, buffer in model.named_buffers():
        if name not in before or not torch.equal(before[name], buffer):
            raise WorkloadError(_says_changed(model, name, who))
    _check_gradients(model, y, who)


def check_parameters(model: nn.Module, who: str) -> None:
    """Raise a WorkloadError unless all parameters are there and learn."""
    parameters = dict(model.named_parameters())
    for name, tensor in (*parameters.items(), *model.named_buffers()):
        if is_lazy(tensor):
            raise WorkloadError(
                f"{who}: {name!r} has no size yet, so ranks could not agree on it; give the layer "
                "its input size instead of a lazy one"
            )
    if not parameters:
        raise WorkloadError(f"{who} has no parameters to learn; give it at least one layer")
    for name, parameter in parameters.items():
        if not parameter.requires_grad:
            raise WorkloadError(
                f"{who}: {name!r} is frozen, but what ranks exchange is counted for models that "
                f"learn as a whole; set requires_grad=True, or register it as a buffer"
            )


def run_model(model: nn.Module, x: Tensor, sample: Sample, who: str) -> Tensor:
    """The model's output for made-up samples.

    Raises:
        WorkloadError: it does not run on them, or gives something else than a tensor.
    """
    try:
        y: Any = model(x)
    except UNFIT as error:
        raise WorkloadError(
            f"{who} does not run in {_name(next(model.parameters()).dtype)} on {sample}: "
            f"{first_line(error)}"
        ) from error
    if not isinstance(y, Tensor):
        raise WorkloadError(
            f"{who} gives {type(y).__name__}; return one tensor of scores, (batch, ..., classes)"
        )
    return y


def check_precision(model: nn.Module, dtype: torch.dtype, sample: Sample, who: str) -> None:
    """Raise a WorkloadError unless the model also runs with weights of another precision."""
    x = sample.inputs()
    run_model(copy.deepcopy(model).to(dtype), x.to(dtype) if x.is_floating_point() else x,
              sample, who)  # fmt: skip


def first_line(error: BaseException) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_output(y: Tensor, sample: Sample, who: str) -> None:
    wanted = (NUM_SAMPLES, *sample.target_shape, sample.num_classes)
    if tuple(y.shape) != wanted or not y.is_floating_point():
        raise WorkloadError(
            f"{who} gives {_name(y.dtype)} of shape {tuple(y.shape)} for "
            f"{NUM_SAMPLES} {sample}; give float scores of shape {wanted}"
        )


def _says_random(model: nn.Module, who: str) -> str:
    dropouts = [n for n, m in model.named_modules() if isinstance(m, _DropoutNd) and m.p > 0]
    what = f"{dropouts[0]!r} is dropout" if dropouts else "its forward draws random numbers"
    return (
        f"{who}: {what}, which would be drawn differently wherever the batch or the model is cut; "
        "set p=0, or leave it out"
    )


def _says_changed(model: nn.Module, name: str, who: str) -> str:
    owner = model.get_submodule(name.rpartition(".")[0])
    if isinstance(owner, _BatchNorm):
        return (
            f"{who}: {name.rpartition('.')[0]!r} is {type(owner).__name__}, whose statistics are "
            "those of the samples that one rank sees at once, so the loss would depend on the "
            "plan; choose nn.GroupNorm or nn.LayerNorm (nn.SyncBatchNorm is not offered)"
        )
    return (
        f"{who}: its forward changes the buffer {name!r}, which ranks do not share; make it a "
        "constant or a parameter"
    )


def _check_gradients(model: nn.Module, y: Tensor, who: str) -> None:
    targets = torch.zeros(y.shape[:-1], dtype=torch.int64)
    try:
        scaled_loss(y, targets, 1.0).backward()  # type: ignore[no-untyped-call]
    except UNFIT as error:
        raise WorkloadError(f"{who} has no backward: {first_line(error)}") from error
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            raise WorkloadError(
                f"{who}: the loss does not depend on {name!r}, so ranks would wait for its "
                "gradient; use it in the forward, or remove it"
            )
    model.zero_grad()
