"""What is trained: model, data, loss, optimiser, global batch and seed. Bundled ones by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from labkit.errors import WorkloadError

if TYPE_CHECKING:
    from torch import nn

    from labkit.preprocess.dataset import Dataset

# Bundled models whose tensor regions are made of convolutions.
_WITH_CONVOLUTIONS = ("labkit.train.models.digits:build",)

Precision = Literal["float32", "float64", "bfloat16"]
ModelBuilder = Callable[[tuple[int, ...], int], "nn.Module"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One training task, independent of how it is split.

    Attributes:
        name: short name, as on the command line.
        description: one line for people.
        dataset: name of the bundled dataset that feeds it.
        model: builds it from ``(input_shape, num_classes)``; a function, or a bundled one by
            name as ``"module:function"``. Where it returns an ``nn.Sequential``, its children are
            the layers that a pipeline may cut between.
        num_layers: children of that ``nn.Sequential``; 1 for any other module.
        tensor_units: slices that the wide layers can be cut into evenly (attention heads of a
            Transformer); a tensor-parallel degree must divide it. 1 where nothing can be sliced.
        num_features: columns that the first layer takes, where it is an ``nn.Linear``; else 0.
        num_tokens: tokens of a sample that sequence parallelism may shard; else 0.
        num_branches: parallel branches of the model's fork; 0 where it does not fork.
        global_batch: samples of one optimiser step, over all replicas.
        learning_rate: of SGD, for ``reference_batch`` samples.
        momentum: of SGD.
        reference_batch: a larger global batch learns at a proportionally larger rate (Goyal et
            al. 2017, arXiv:1706.02677); ``None`` keeps the rate as it is.
        warmup_steps: first steps over which the rate rises linearly to its value.
        clip_norm: greatest norm of the gradient of the whole model; ``None`` does not clip.
        precision: of weights and activations; with bfloat16 the optimiser keeps float32 weights.
        keep_last: whether an epoch ends with a smaller batch of the samples that are left over;
            otherwise they wait for the next permutation.
        seed: of initial weights and data order; the data order never depends on the plan.
    """

    name: str
    description: str
    dataset: str
    model: str | ModelBuilder
    num_layers: int
    tensor_units: int
    global_batch: int
    learning_rate: float
    num_features: int = 0
    num_tokens: int = 0
    num_branches: int = 0
    momentum: float = 0.9
    reference_batch: int | None = None
    warmup_steps: int = 0
    clip_norm: float | None = None
    precision: Precision = "float32"
    keep_last: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("global_batch", "seed", "warmup_steps"):
            value = getattr(self, name)
            if not isinstance(value, int) or value >= 2**63:
                raise WorkloadError(f"{name}={value!r}; choose a whole number below 2**63")
        if self.global_batch < 1:
            raise WorkloadError(f"global_batch={self.global_batch}; choose at least 1 sample")
        if self.seed < 0:
            raise WorkloadError(f"seed={self.seed}; choose a whole number of at least 0")
        if not 0 < self.learning_rate < inf:
            raise WorkloadError(f"learning_rate={self.learning_rate}; choose a value above 0")
        if not 0 <= self.momentum < 1:
            raise WorkloadError(f"momentum={self.momentum}; choose a value from 0 to below 1")
        if self.warmup_steps < 0:
            raise WorkloadError(f"warmup_steps={self.warmup_steps}; choose a number of at least 0")
        if self.reference_batch is not None and self.reference_batch < 1:
            raise WorkloadError(f"reference_batch={self.reference_batch}; choose at least 1 sample")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise WorkloadError(f"clip_norm={self.clip_norm}; choose a value above 0, or none")
        if self.precision not in get_args(Precision):
            raise WorkloadError(
                f"precision={self.precision!r}; choose {' or '.join(get_args(Precision))}"
            )

    @classmethod
    def of(
        cls,
        model: nn.Module | ModelBuilder,
        *,
        dataset: str | Dataset = "fruit",
        name: str | None = None,
        global_batch: int = 256,
        learning_rate: float = 0.05,
        **settings: Any,
    ) -> Workload:
        """A workload of a model of one's own, also one that is defined in a notebook cell.

        The model is run here on made-up samples to see what it is. Every model can be split by
        data. An ``nn.Sequential``, or a model whose forward is its children in order, can be cut
        into stages; classes that carry ``tensor_split`` (see ``labkit.train.models.layers``) into
        slices.

        Args:
            model: an ``nn.Module``, which is copied and trained from the weights that it has; or a
                function that builds one from ``(input_shape, num_classes)``, whose weights are
                then the seed's.
            dataset: a bundled name, or a ``Dataset`` that is also given to ``train``.
            name: of the workload; ``None`` takes the class's or the function's.
            global_batch, learning_rate, settings: as in ``Workload``.
        Raises:
            WorkloadError: the model cannot be trained on that dataset under any plan; says why.
        """
        from labkit.train.custom import workload_of

        return workload_of(
            model,
            dataset=dataset,
            name=name,
            global_batch=global_batch,
            learning_rate=learning_rate,
            **settings,
        )

    @property
    def linear_regions(self) -> bool:
        """Whether all that a tensor group cuts is ``nn.Linear``, as DTensor's styles need."""
        if isinstance(self.model, str):
            return self.model not in _WITH_CONVOLUTIONS
        return bool(getattr(self.model, "linear_regions", True))

    def learning_rate_at(self, step: int) -> float:
        """The rate of a step, counted from 0: scaled with the batch, rising during the warm-up."""
        rate = self.learning_rate
        if self.reference_batch is not None:
            rate *= self.global_batch / self.reference_batch
        if step < self.warmup_steps:
            rate *= (step + 1) / self.warmup_steps
        return rate

    def steps_per_epoch(self, num_samples: int) -> int:
        """Optimiser steps of one pass over that many training samples, at least 1."""
        whole, rest = divmod(num_samples, self.global_batch)
        return max(1, whole + (self.keep_last and rest > 0))

    def with_settings(self, **settings: Any) -> Workload:
        """A copy with other settings, such as ``global_batch=512, seed=1``."""
        return replace(self, **settings)

    def check_samples(self, num_samples: int) -> None:
        """Raise a WorkloadError unless a training set of that size fills one global batch."""
        if num_samples < self.global_batch:
            raise WorkloadError(
                f"workload {self.name!r} has a global batch of {self.global_batch} but the dataset "
                f"has {num_samples} training samples; choose a global batch of at most "
                f"{num_samples}, or preprocess more rows"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record; a model that is a function stands as its name."""
        values = asdict(replace(self, model="")) | {"model": self.model}
        if not isinstance(self.model, str):
            values["model"] = getattr(self.model, "__qualname__", type(self.model).__name__)
        return values


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        "fruit": Workload(
            name="fruit",
            description="oranges or watermelons? an MLP on the preprocessed fruit data",
            dataset="fruit",
            model="labkit.train.models.fruit:build",
            num_layers=8,
            tensor_units=8,
            num_features=5,
            global_batch=2048,
            learning_rate=0.02,
        ),
        "digits": Workload(
            name="digits",
            description="handwritten digits, 8 x 8 pixels: a small convolutional network",
            dataset="digits",
            model="labkit.train.models.digits:build",
            num_layers=6,
            tensor_units=8,
            global_batch=256,
            learning_rate=0.05,
        ),
        "text": Workload(
            name="text",
            description="Python's own documentation, character by character: a small Transformer",
            dataset="text",
            model="labkit.train.models.text:build",
            num_layers=8,
            tensor_units=8,
            num_tokens=64,
            global_batch=64,
            learning_rate=0.1,
        ),
        "logistic": Workload(
            name="logistic",
            description="oranges or watermelons? logistic regression, the smallest model there is",
            dataset="fruit",
            model="labkit.train.models.logistic:build",
            num_layers=1,
            tensor_units=1,
            num_features=5,
            global_batch=2048,
            learning_rate=0.5,
        ),
        "deep": Workload(
            name="deep",
            description="oranges or watermelons? 32 equal layers, for long pipelines",
            dataset="fruit",
            model="labkit.train.models.deep:build",
            num_layers=32,
            tensor_units=8,
            num_features=5,
            global_batch=1024,
            learning_rate=0.002,
        ),
        "branches": Workload(
            name="branches",
            description="handwritten digits by a model that forks: a stem, four branches, a head",
            dataset="digits",
            model="labkit.train.models.branches:build",
            num_layers=3,
            tensor_units=1,
            num_branches=4,
            global_batch=256,
            learning_rate=0.05,
        ),
    }
)


def find_workload(workload: str | Workload | None) -> Workload:
    """The bundled workload of that name; a ``Workload`` is returned as it is.

    Raises:
        WorkloadError: no bundled workload has that name, or none is given.
    """
    if isinstance(workload, Workload):
        return workload
    if not isinstance(workload, str) or workload not in WORKLOADS:
        said = repr(workload) if isinstance(workload, str | None) else type(workload).__name__
        raise WorkloadError(
            f"workload {said} is unknown; choose from {', '.join(WORKLOADS)}, or make one of your "
            "own model: labkit.Workload.of(build, dataset=...)"
        )
    return WORKLOADS[workload]
