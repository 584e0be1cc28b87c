"""The bundled models are what the table of workloads says, and can be cut as it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from labkit.errors import WorkloadError
from labkit.preprocess.shards import ShardReader
from labkit.train.models import branches, deep, digits, fruit, text
from labkit.train.rank import build_model
from labkit.workload import WORKLOADS


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_layers_and_slices_match_the_workload(dataset_folders: dict[str, str], name: str) -> None:
    manifest = ShardReader(dataset_folders[WORKLOADS[name].dataset], "train").manifest
    workload = WORKLOADS[name]
    model = build_model(workload, manifest)
    assert len(model) == workload.num_layers
    splits = [
        (region, child, way)
        for region in model.modules()
        for child, way in getattr(type(region), "tensor_split", {}).items()
    ]
    assert {way for _, _, way in splits} == (
        {"column", "row"} if workload.tensor_units > 1 else set()
    )
    for region, child, way in splits:
        layer = region.get_submodule(child)
        assert layer.weight.shape[0 if way == "column" else 1] % workload.tensor_units == 0
    forks = [len(layer.branches) for layer in model if isinstance(layer, branches.Branches)]
    assert forks == ([workload.num_branches] if workload.num_branches else [])


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_layer_after_the_other_equals_the_whole(
    dataset_folders: dict[str, str], name: str
) -> None:
    reader = ShardReader(dataset_folders[WORKLOADS[name].dataset], "train")
    inputs = torch.from_numpy(reader.take(torch.arange(3).numpy())[0])
    model = build_model(WORKLOADS[name], reader.manifest)
    whole = model(inputs)
    assert whole.shape[-1] == reader.manifest["num_classes"]
    x = inputs
    for layer in model:
        x = layer(x)
    assert torch.equal(x, whole)


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_sample_s_output_does_not_depend_on_its_batch(
    dataset_folders: dict[str, str], name: str
) -> None:
    reader = ShardReader(dataset_folders[WORKLOADS[name].dataset], "train")
    inputs = torch.from_numpy(reader.take(torch.arange(4).numpy())[0])
    model = build_model(WORKLOADS[name], reader.manifest)
    torch.testing.assert_close(model(inputs)[:1], model(inputs[:1]))


def test_text_looks_only_backwards() -> None:
    torch.manual_seed(0)
    model = text.build((64,), 30)
    tokens = torch.randint(30, (1, 64))
    changed = tokens.clone()
    changed[0, 40:] = (changed[0, 40:] + 1) % 30
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40], after[:, 40])


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (fruit.build, (1, 8, 8)),
        (deep.build, (1, 8, 8)),
        (digits.build, (64,)),
        (digits.build, (1, 7, 8)),
        (branches.build, (64,)),
        (branches.build, (1, 1, 8)),
        (text.build, ()),
    ],
)
def test_samples_of_another_shape_are_refused(build: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(WorkloadError, match="the dataset's"):
        build(shape, 10)


def test_a_workload_that_miscounts_its_layers_is_refused(
    dataset_folders: dict[str, str],
) -> None:
    manifest = ShardReader(dataset_folders["fruit"], "train").manifest
    wrong = WORKLOADS["fruit"].with_settings(num_layers=5)
    with pytest.raises(WorkloadError, match=r"num_layers=5 but .*:build built 8 layers"):
        build_model(wrong, manifest)
