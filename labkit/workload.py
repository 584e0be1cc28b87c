"""What is trained: model, data, loss, optimiser, global batch and seed. Bundled ones by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from labkit.errors import WorkloadError


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One training task, independent of how it is split.

    Attributes:
        name: short name, as on the command line.
        description: one line for people.
        dataset: name of the bundled dataset that feeds it.
        model: ``"module:function"``; the function returns an ``nn.Sequential`` whose children
            are the layers that a pipeline may cut between.
        num_layers: children of that ``nn.Sequential``.
        tensor_units: slices that the wide layers can be cut into evenly (attention heads of a
            Transformer); a tensor-parallel degree must divide it.
        global_batch: samples of one optimiser step, over all replicas.
        learning_rate: of SGD.
        momentum: of SGD.
        seed: of initial weights and data order; the data order never depends on the plan.
    """

    name: str
    description: str
    dataset: str
    model: str
    num_layers: int
    tensor_units: int
    global_batch: int
    learning_rate: float
    momentum: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.global_batch < 1:
            raise WorkloadError(f"global_batch={self.global_batch}; choose at least 1 sample")
        if self.seed < 0:
            raise WorkloadError(f"seed={self.seed}; choose a whole number of at least 0")
        if not self.learning_rate > 0:
            raise WorkloadError(f"learning_rate={self.learning_rate}; choose a value above 0")

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
        """Plain values for a record."""
        return asdict(self)


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        "fruit": Workload(
            name="fruit",
            description="oranges or watermelons? an MLP on the preprocessed fruit data",
            dataset="fruit",
            model="labkit.train.models.fruit:build",
            num_layers=8,
            tensor_units=8,
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
            global_batch=64,
            learning_rate=0.1,
        ),
    }
)


def find_workload(workload: str | Workload) -> Workload:
    """The bundled workload of that name; a ``Workload`` is returned as it is.

    Raises:
        WorkloadError: no bundled workload has that name.
    """
    if isinstance(workload, Workload):
        return workload
    if workload not in WORKLOADS:
        raise WorkloadError(f"workload {workload!r} is unknown; choose from {', '.join(WORKLOADS)}")
    return WORKLOADS[workload]
