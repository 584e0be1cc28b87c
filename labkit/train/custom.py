"""Bring your own: any ``nn.Module`` as a workload, also one from a notebook cell.

The model travels to the ranks by value, is turned into layers there, and can then be split like
the bundled ones: by data in every form; by layers where it is an ``nn.Sequential``, or where its
forward is its children in order; by slices where its classes carry ``tensor_split``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.errors import PlanError, WorkloadError
from labkit.plan import Plan
from labkit.preprocess.dataset import Dataset
from labkit.train.custom_checks import Sample, check_precision, first_line
from labkit.train.custom_facts import Facts, find_facts
from labkit.train.custom_layers import UNFIT, as_layers
from labkit.workload import WORKLOADS, ModelBuilder, Workload

PRECISIONS: Mapping[str, torch.dtype] = {"float64": torch.float64, "bfloat16": torch.bfloat16}


class CustomModel:
    """Builds a model of the user's as layers: the ``model`` of such a workload.

    Args:
        source: the module, which is copied with the weights that it has now; or a function that
            builds it from ``(input_shape, num_classes)``, whose weights are the seed's.
        name: of the workload.
        seed: that it is checked with.
    Raises:
        WorkloadError: the module cannot be copied or sent.
    """

    def __init__(self, source: nn.Module | ModelBuilder, name: str, seed: int = 0) -> None:
        import cloudpickle

        self.name = name
        self.seed = seed
        self.__qualname__ = name  # what a record calls it
        self._who = f"the model of workload {name!r}"
        try:
            self.source = copy.deepcopy(source).cpu() if isinstance(source, nn.Module) else source
            cloudpickle.dumps(self.source)
        except (*UNFIT, ArithmeticError, OSError, ImportError) as error:
            raise WorkloadError(
                f"{self._who} cannot be sent to ranks: {first_line(error)}; keep nothing in it but "
                "layers, tensors and plain values"
            ) from error
        self._facts: dict[Sample, Facts] = {}

    def __repr__(self) -> str:
        return f"<CustomModel {self.name}>"

    @property
    def linear_regions(self) -> bool:
        """Whether everything that a tensor group cuts is ``nn.Linear``."""
        return all(facts.linear_regions for facts in self._facts.values())

    def __call__(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
        """The layers, with their initial weights.

        Raises:
            WorkloadError: it was not checked with such samples.
        """
        for sample, facts in self._facts.items():
            if (sample.shape, sample.num_classes) == (tuple(input_shape), num_classes):
                return as_layers(self.original(sample.shape, num_classes), facts.path)
        raise WorkloadError(
            f"{self._who} was not made for samples of shape {tuple(input_shape)} and "
            f"{num_classes} classes; make the workload by Workload.of(model, dataset=...) with "
            "their dataset"
        )

    def original(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """The model as the user made it, in training mode.

        Raises:
            WorkloadError: the function fails, or gives no module.
        """
        if isinstance(self.source, nn.Module):
            return copy.deepcopy(self.source).train()
        try:
            model: Any = self.source(input_shape, num_classes)
        except UNFIT as error:
            raise WorkloadError(
                f"{self._who} cannot be built for samples of shape {input_shape} and "
                f"{num_classes} classes: {first_line(error)}"
            ) from error
        if not isinstance(model, nn.Module):
            raise WorkloadError(
                f"{self._who}: its function gives {type(model).__name__}; return an nn.Module"
            )
        return model.train()

    def check(self, sample: Sample) -> Facts:
        """How it can be split, when it gets such samples; found once.

        Raises:
            WorkloadError: no plan can train it on them; says why.
        """
        if sample not in self._facts:

            def build() -> nn.Module:
                torch.manual_seed(self.seed)
                return self.original(sample.shape, sample.num_classes).cpu().float()

            with _undisturbed():
                self._facts[sample] = find_facts(build, sample, self._who)
        return self._facts[sample]

    def with_weights(
        self, weights: Mapping[str, np.ndarray], dataset: str | Dataset = "fruit"
    ) -> nn.Module:
        """The user's own module with weights that a run has trained (``run.weights``).

        Args:
            weights: by the names that they have in the layers.
            dataset: that it was trained on; a module that was given ready needs none.
        """
        sample = sample_of(dataset)
        model = self.original(sample.shape, sample.num_classes)
        layers = as_layers(model, self.check(sample).path)  # the same parameters
        layers.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return model


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Run small models quickly, and leave torch's settings of this process as they are."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # handing out work this small costs more than doing it
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(num_threads)


def workload_of(
    model: nn.Module | ModelBuilder,
    *,
    dataset: str | Dataset = "fruit",
    name: str | None = None,
    global_batch: int = 256,
    learning_rate: float = 0.05,
    **settings: Any,
) -> Workload:
    """See ``Workload.of``."""
    if not isinstance(model, nn.Module) and (isinstance(model, type) or not callable(model)):
        raise WorkloadError(
            f"model={model!r} is no model; give an nn.Module, or a function of (input_shape, "
            "num_classes) that returns one"
        )
    if name is None:
        name = getattr(model, "__name__", type(model).__name__)
    custom = CustomModel(model, name, settings.get("seed", 0))
    sample = sample_of(dataset)
    dataset_name = dataset if isinstance(dataset, str) else dataset.name
    workload = Workload(
        name=name,
        description=f"{name}, a model of one's own, on the dataset {dataset_name}",
        dataset=dataset_name,
        model=custom,
        **_fields(custom.check(sample)),
        global_batch=global_batch,
        learning_rate=learning_rate,
        **settings,
    )
    if isinstance(dataset, Dataset):
        workload.check_samples(dataset.num_samples)
    return workload


def sample_of(dataset: str | Dataset) -> Sample:
    """What a dataset, or a bundled one by name, feeds a model with.

    Raises:
        WorkloadError: no bundled dataset has that name.
    """
    if isinstance(dataset, Dataset):
        return Sample.of_manifest(dataset.manifest)
    return _bundled_sample(dataset)


@cache
def _bundled_sample(name: str) -> Sample:
    from labkit.preprocess.bundled import DIGITS_SIDE, TEXT_TOKENS

    if name == "fruit":
        return Sample((WORKLOADS["fruit"].num_features,), "float32", (), 2)
    if name == "digits":
        return Sample((1, DIGITS_SIDE, DIGITS_SIDE), "float32", (), 10)
    if name == "text":
        from pydoc_data.topics import topics

        characters = set().union({"\n"}, *topics.values())
        return Sample((TEXT_TOKENS,), "int64", (TEXT_TOKENS,), len(characters))
    raise WorkloadError(
        f"dataset {name!r} is unknown; choose fruit, digits or text, or give a Dataset"
    )


def _fields(facts: Facts) -> dict[str, Any]:
    """The fields of a workload that say how its model can be split."""
    names = ("num_layers", "tensor_units", "num_features", "num_tokens", "num_branches")
    return {name: getattr(facts, name) for name in names}


def check_custom(workload: Workload, plan: Plan, dataset: Dataset) -> None:
    """Refuse what cannot be trained or split, before anything starts.

    Args:
        workload: its model is no bundled one.
        plan: valid for the workload.
        dataset: that it is going to be trained on.
    Raises:
        WorkloadError: the model does not fit the dataset, or no plan can train it.
        PlanError: this plan cannot split it.
    """
    model, who = workload.model, f"the model of workload {workload.name!r}"
    if not isinstance(model, CustomModel):
        raise WorkloadError(
            f"{who} is a function that nobody has looked at; make the workload by "
            "Workload.of(model, dataset=...), which does"
        )
    sample = Sample.of_manifest(dataset.manifest)
    facts = model.check(sample)
    for name, found in _fields(facts).items():
        if getattr(workload, name) != found:
            raise WorkloadError(
                f"workload {workload.name!r} says {name}={getattr(workload, name)}, but on "
                f"dataset {dataset.name!r}, {sample}, its model has {found}; make the workload "
                "by Workload.of(model, dataset=...) with that dataset"
            )
    if workload.precision in PRECISIONS:
        with _undisturbed():
            layers = model(sample.shape, sample.num_classes)
            check_precision(layers, PRECISIONS[workload.precision], sample, who)
    for problem in _problems(facts, plan):
        raise PlanError(f"{who}: {problem}")


def _problems(facts: Facts, plan: Plan) -> list[str]:
    """What of a plan does not suit the model."""
    found = []
    if facts.mixes and (plan.num_replicas > 1 or plan.num_microbatches > 1):
        found.append(
            f"{facts.mixes}, so the loss would depend on how dp({plan.dp}) and microbatches("
            f"{plan.microbatches}) cut the batch; choose dp=1 and microbatches=1, or "
            "nn.GroupNorm or nn.LayerNorm (nn.SyncBatchNorm is not offered)"
        )
    apart = plan.num_stages > 1 or plan.shard in ("gradients", "parameters")
    if facts.shared and apart and plan.world_size > 1:
        found.append(
            f"{facts.shared[0]!r} and {facts.shared[1]!r} are one parameter in two layers, which "
            f"pp({plan.pp}) or shard={plan.shard} would take apart; choose pp=1 and shard=none, "
            "or give each layer its own"
        )
    cuts_dims = plan.shard in ("gradients", "parameters") or plan.compression == "powersgd"
    if facts.number and cuts_dims and plan.dp > 1:
        found.append(
            f"{facts.number!r} is a single number, but shard={plan.shard} with compression="
            f"{plan.compression} works along the first dimension of parameters; give it the shape "
            "(1,), or choose shard=optimizer or compression=none"
        )
    if facts.shared_slice and plan.tp > 1:
        found.append(
            f"{facts.shared_slice!r} has a second name, so tp({plan.tp}) cannot cut it; choose "
            "tp=1, or give each layer its own"
        )
    if facts.no_meta and (plan.num_stages > 1 or plan.tp > 1):
        found.append(
            f"shapes are found on the device meta, where it does not run ({facts.no_meta}); make "
            "new tensors with device=x.device, or split by data"
        )
    return found
