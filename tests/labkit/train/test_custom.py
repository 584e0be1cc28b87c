"""Bring your own: models from a cell train split as in one process; the rest is refused in time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from labkit.cluster.cluster import Cluster
from labkit.errors import LabError, PlanError, WorkloadError
from labkit.plan import Plan
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.shards import read_manifest
from labkit.train.custom import CustomModel, check_custom, sample_of
from labkit.train.models.layers import Attention, FeedForward, Residual, TokenEmbedding
from labkit.train.train import train
from labkit.workload import WORKLOADS, Workload

WAIT_S = 60.0

CELL = """
import torch
from torch import nn

class Wide(nn.Module):
    tensor_split = {"grow": "column", "shrink": "row"}

    def __init__(self, width):
        super().__init__()
        self.grow, self.shrink = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return self.shrink(torch.tanh(self.grow(x)))

class Net(nn.Module):
    def __init__(self, columns, classes):
        super().__init__()
        self.flat, self.first = nn.Flatten(), nn.Linear(columns, 12)
        self.act = nn.ReLU(inplace=True)
        self.wide, self.last = Wide(12), nn.Linear(12, classes)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, x):
        return self.last(self.wide(self.act(self.first(self.flat(x)))) * self.scale)

def row(input_shape, num_classes):
    net = Net(input_shape[0], num_classes)
    return nn.Sequential(net.flat, net.first, net.act, net.wide, nn.GELU(), net.last)

def whole(input_shape, num_classes):
    return Net(input_shape[0], num_classes)
"""


@pytest.fixture(scope="module")
def fruit(dataset_folders: dict[str, str]) -> Dataset:
    folder = dataset_folders["fruit"]
    return Dataset(name="fruit", folder=folder, manifest=read_manifest(folder), report={})


@pytest.fixture(scope="module")
def cell() -> dict[str, Any]:
    """Names that a notebook cell has defined: in ``__main__``, which nobody can import."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(CELL, names)
    return names


PLANS: Mapping[str, Plan] = {
    "data": Plan(dp=2),
    "ring": Plan(dp=2, sync="ring"),
    "sharded": Plan(dp=2, shard="parameters"),
    "pipeline": Plan(pp=2, microbatches=4),
    "pipeline-cut": Plan(pp=3, microbatches=4, schedule="gpipe", cuts=(1, 4)),
    "interleaved": Plan(pp=2, microbatches=4, schedule="interleaved1f1b"),
    "tensor": Plan(tp=2),
    "dtensor": Plan(tp=2, tensor_style="dtensor"),
    "hybrid": Plan(dp=2, pp=2, microbatches=4),
    "hybrid-bare": Plan(dp=2, pp=2, microbatches=4, cuts=(1,)),  # a stage without parameters
}
OF_ANY_MODULE = ("data", "ring", "sharded", "tensor")


@pytest.mark.parametrize(
    ("source", "plan"),
    [("row", name) for name in PLANS] + [("whole", name) for name in OF_ANY_MODULE],
)
def test_a_model_from_a_cell_trains_as_in_one_process(
    cluster4: Cluster, fruit: Dataset, cell: dict[str, Any], source: str, plan: str
) -> None:
    workload = Workload.of(cell[source], dataset=fruit, global_batch=32)
    split, single = (
        train(workload, each, cluster4, steps=6, dataset=fruit, keep_weights=True)
        for each in (PLANS[plan], Plan())
    )
    assert split.wait(WAIT_S).comm_bytes["measured"] == split.record.comm_bytes["formula"]
    assert single.wait(WAIT_S).status == "done"
    assert split.losses == pytest.approx(single.losses, rel=1e-5)
    assert split.record.workload["model"] == source
    for name, array in single.weights.items():
        np.testing.assert_allclose(split.weights[name], array, rtol=0, atol=1e-5)


def test_a_module_is_copied_and_trained_from_the_weights_that_it_has(
    cluster4: Cluster, fruit: Dataset, cell: dict[str, Any]
) -> None:
    torch.manual_seed(5)
    model = cell["whole"]((4,), 2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    workload = Workload.of(model, dataset=fruit, name="mine", global_batch=32, seed=1)
    losses = [
        train(workload, None, cluster4, steps=3, dataset=fruit, evaluate=False).losses
        for _ in range(2)
    ]
    assert losses[0] == losses[1]
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    with torch.no_grad():
        model.first.weight.zero_()
    assert train(workload, None, cluster4, steps=3, dataset=fruit).losses == losses[0]
    changed = Workload.of(model, dataset=fruit, global_batch=32, seed=1)
    assert train(changed, None, cluster4, steps=3, dataset=fruit).losses != losses[0]


def test_trained_weights_go_back_into_the_user_s_own_model(
    cluster4: Cluster, fruit: Dataset, cell: dict[str, Any]
) -> None:
    workload = Workload.of(cell["whole"], dataset=fruit, global_batch=32)
    run = train(workload, Plan(dp=2), cluster4, steps=3, dataset=fruit, keep_weights=True)
    assert isinstance(workload.model, CustomModel)
    model = workload.model.with_weights(run.weights, fruit)
    assert type(model) is cell["Net"]
    trained = list(run.weights.values())
    for parameter, array in zip(model.parameters(), trained, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), array)


def test_a_script_s_own_class_trains(tmp_path: Path) -> None:
    """Also where ``__main__`` is a file, which the ranks cannot import under that name."""
    main = """
        import labkit
        with labkit.launch(2, device="cpu") as cluster:
            workload = labkit.Workload.of(row, dataset="digits", global_batch=32)
            run = labkit.train(workload, labkit.Plan(pp=2), cluster, steps=2)
            assert run.wait(60).status == "done"
    """
    script = tmp_path / "script.py"
    script.write_text(
        CELL.replace("input_shape[0]", "64")
        + 'if __name__ == "__main__":\n'
        + textwrap.indent(textwrap.dedent(main), "    ")
    )
    done = subprocess.run(
        [sys.executable, script], text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def transformer(input_shape: tuple[int, ...], num_classes: int, mixing: bool = False) -> nn.Module:
    middle = nn.Conv1d(input_shape[0], input_shape[0], 1) if mixing else nn.LayerNorm(16)
    return nn.Sequential(
        TokenEmbedding(num_classes, input_shape[0], 16),
        Residual(Attention(16, 4), nn.LayerNorm(16)),
        middle,
        Residual(FeedForward(16, 32), nn.LayerNorm(16)),
        nn.Linear(16, num_classes),
    )


def test_what_a_model_is_decides_how_it_can_be_split(cell: dict[str, Any]) -> None:
    def found(source: Any, dataset: str) -> tuple[Any, ...]:
        workload = Workload.of(source, dataset=dataset)
        names = ("num_layers", "tensor_units", "num_features", "num_tokens", "num_branches")
        return tuple(getattr(workload, name) for name in names)

    assert found(cell["row"], "fruit") == (6, 24, 0, 0, 0)
    assert found(cell["whole"], "fruit") == (1, 24, 0, 0, 0)
    assert found(nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 2)), "fruit") == (2, 1, 5, 0, 0)
    assert found(transformer, "text") == (5, 4, 0, 64, 0)
    # A convolution over the tokens between the regions: they cannot be shared out.
    assert found(lambda *of: transformer(*of, mixing=True), "text") == (5, 4, 0, 0, 0)


@pytest.mark.parametrize("name", ["fruit", "digits", "text", "deep", "branches"])
def test_the_bundled_models_are_found_to_be_what_their_workloads_say(name: str) -> None:
    bundled = WORKLOADS[name]
    assert isinstance(bundled.model, str)
    module, _, function = bundled.model.partition(":")
    build = getattr(__import__(module, fromlist=[function]), function)
    workload = Workload.of(build, dataset=bundled.dataset)
    for field in ("num_layers", "num_features", "num_tokens", "num_branches", "linear_regions"):
        assert getattr(workload, field) == getattr(bundled, field)
    assert workload.tensor_units % bundled.tensor_units == 0


def test_the_samples_of_the_bundled_datasets_are_known(dataset_folders: dict[str, str]) -> None:
    for name in ("digits", "text"):
        folder = dataset_folders[name]
        dataset = Dataset(name=name, folder=folder, manifest=read_manifest(folder), report={})
        assert sample_of(dataset) == sample_of(name)


def test_a_dataset_that_is_not_there_is_refused() -> None:
    with pytest.raises(WorkloadError, match="'cats' is unknown; choose fruit, digits or text"):
        Workload.of(nn.Linear(5, 2), dataset="cats")


def batch_norm(*_: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, track_running_stats=False))


def tied(*_: Any) -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    model[1].weight = model[0].weight
    return model


def tied_slices(*_: Any) -> nn.Module:
    model = nn.Sequential(FeedForward(4, 8), FeedForward(4, 8), nn.Linear(4, 2))
    model[1].w1.weight = model[0].w1.weight
    return model


class OnlyHere(nn.Module):
    """Makes a tensor where it was not asked to."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(4, device="cpu")


def gain(*_: Any) -> nn.Module:
    """A model with a parameter of no dimensions."""
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))
    model[1].register_parameter("gain", nn.Parameter(torch.tensor(1.5)))
    model[1].forward = partial(_amplify, model[1])
    return model


def _amplify(layer: nn.Module, x: Tensor) -> Tensor:
    return x * layer.gain


class Doubled(nn.Linear):
    """Does more than a linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def only_here(*_: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), OnlyHere(), FeedForward(4, 8), nn.Linear(4, 2))


class Shifted(nn.Module):
    """Compares the samples of a batch with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y - y.mean(dim=0)


class Rounded(nn.Module):
    """Works in one precision only."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(2 * x.float())
        return y


REFUSED: Mapping[str, tuple[Any, Mapping[str, Any], type[LabError], str]] = {
    "statistics-dp": (batch_norm, {"dp": 2}, PlanError, r"'1' is BatchNorm1d.*choose dp=1 and"),
    "statistics-pp": (batch_norm, {"pp": 2}, PlanError, r"depend on how dp\(1\) and microb"),
    "statistics-accumulated": (batch_norm, {"microbatches": 2}, PlanError, "microbatches.2. cut"),
    "mixing": (lambda *_: Shifted(), {"dp": 2}, PlanError,
               "depends on the samples beside it"),
    "tied-pp": (tied, {"pp": 2}, PlanError, "'0.weight' and '1.weight' are one parameter in two"),
    "tied-sharded": (tied, {"dp": 2, "shard": "gradients"}, PlanError, "shard=gradients would"),
    "tied-slices": (tied_slices, {"tp": 2}, PlanError, "'0.w1.weight' has a second name"),
    "device-pp": (only_here, {"pp": 2}, PlanError, "meta, where it does not run .*device=x.device"),
    "device-tp": (only_here, {"tp": 2}, PlanError, "make new tensors with device=x.device"),
    "number-sharded": (gain, {"dp": 2, "shard": "parameters"}, PlanError,
                       r"'1.gain' is a single number.*give it the shape \(1,\)"),
    "number-powersgd": (gain, {"dp": 2, "compression": "powersgd"}, PlanError,
                        "'1.gain' is a single number.*compression=none"),
    "columns-of-another-layer": (lambda *_: nn.Sequential(Doubled(4, 4), nn.Linear(4, 2)),
                                 {"dp": 2, "split": "features"}, PlanError,
                                 "has 0 columns that its first layer can be cut along"),
    "one-layer": (lambda *_: Rounded(), {"pp": 2}, PlanError,
                  "its forward is not its children in order; build it as an nn.Sequential"),
    "nothing-to-slice": (lambda *_: nn.Linear(4, 2), {"tp": 2}, PlanError, "the 1 slices"),
    "precision": (lambda *_: Rounded(), {"precision": "float64"}, WorkloadError,
                  "does not run in float64"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "settings", "error", "message"), REFUSED.values(), ids=REFUSED.keys()
)
def test_a_plan_that_does_not_suit_a_model_is_refused_before_anything_starts(
    cluster4: Cluster,
    fruit: Dataset,
    model: Any,
    settings: dict[str, Any],
    error: type[LabError],
    message: str,
) -> None:
    of_plan = {name: value for name, value in settings.items() if name != "precision"}
    of_workload = {name: value for name, value in settings.items() if name == "precision"}
    workload = Workload.of(model, dataset=fruit, global_batch=32, name="mine", **of_workload)
    before = len(cluster4.profiles)
    with pytest.raises(error, match=message) as refused:
        train(workload, Plan(**of_plan), cluster4, dataset=fruit)
    assert "\n" not in str(refused.value)
    assert len(cluster4.profiles) == before


@pytest.mark.parametrize(
    ("model", "plan"),
    [
        (batch_norm, Plan(tp=1)),
        (tied, Plan(dp=2)),
        (only_here, Plan(dp=2)),
    ],
)
def test_the_same_models_train_under_a_plan_that_suits_them(
    cluster4: Cluster, fruit: Dataset, model: Any, plan: Plan
) -> None:
    workload = Workload.of(model, dataset=fruit, global_batch=32)
    record = train(workload, plan, cluster4, steps=2, dataset=fruit).wait(WAIT_S)
    assert record.status == "done"
    assert record.accuracy["samples"] > 0


def test_a_workload_made_for_other_samples_is_refused(fruit: Dataset) -> None:
    def build(shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return nn.Linear(shape[0], num_classes)

    with pytest.raises(WorkloadError, match="says num_features=5, but on dataset 'fruit', float32"):
        check_custom(Workload.of(build), Plan(), fruit)
    with pytest.raises(
        WorkloadError, match=r"does not run in float32 on float32 samples of shape \(4,\)"
    ):
        check_custom(Workload.of(nn.Linear(5, 2)), Plan(), fruit)


def test_a_function_that_nobody_looked_at_is_refused(fruit: Dataset) -> None:
    workload = WORKLOADS["fruit"].with_settings(model=tied)
    with pytest.raises(WorkloadError, match=r"make the workload by Workload\.of"):
        check_custom(workload, Plan(), fruit)


def test_a_global_batch_larger_than_the_dataset_is_refused(fruit: Dataset) -> None:
    with pytest.raises(WorkloadError, match="has 700 training samples"):
        Workload.of(nn.Linear(4, 2), dataset=fruit, global_batch=701)
