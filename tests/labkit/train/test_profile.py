"""The profile of a model: what its layers compute and keep, beside figures worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labkit.cluster.cluster import Cluster
from labkit.cluster.place_in_line import Request
from labkit.cluster.rank_context import RankContext
from labkit.cluster.reservation import place_of, release, reserve
from labkit.errors import RunStopped, WorkloadError
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.shards import read_manifest
from labkit.project.profile import LayerProfile, ModelProfile
from labkit.train import measure_layers
from labkit.train.measure_layers import count_layers, own_parameters, time_layers
from labkit.train.profile import profile_of, profile_rank
from labkit.train.train import train
from labkit.workload import WORKLOADS, Workload

FLOAT = 4
WIDTH, COLUMNS = 192, 4  # of the fruit model, and of the fruit of these tests


def profile(alone: RankContext, folder: str, workload: Workload) -> ModelProfile:
    found = profile_rank(alone, workload, folder)
    assert isinstance(found, ModelProfile)
    return found


def without_time(layer: LayerProfile) -> dict[str, Any]:
    names = set(LayerProfile.__dataclass_fields__) - {"measured_s", "has_backward"}
    return {name: getattr(layer, name) for name in names}


def test_an_mlp_is_as_worked_out_by_hand(
    alone: RankContext, dataset_folders: dict[str, str]
) -> None:
    found = profile(alone, dataset_folders["fruit"], WORKLOADS["fruit"])
    first, block, last = found.layers[0], found.layers[1], found.layers[-1]
    assert found.input_bytes == COLUMNS * FLOAT
    assert len(found.layers) == 8
    assert without_time(first) == {
        "name": "0",
        "forward_flops": 2 * COLUMNS * WIDTH,
        "split_flops": 0,
        "parameter_bytes": (COLUMNS * WIDTH * FLOAT, WIDTH * FLOAT),
        "split_parameter_bytes": 0,
        "output_bytes": WIDTH * FLOAT,
        "saved_bytes": COLUMNS * FLOAT,  # its input
        "split_saved_bytes": 0,
        "region_input_bytes": (),
        "region_output_bytes": (),
    }
    assert without_time(block) == {
        "name": "1",
        "forward_flops": 2 * 2 * WIDTH * WIDTH,
        "split_flops": 2 * 2 * WIDTH * WIDTH,
        "parameter_bytes": 2 * (WIDTH * WIDTH * FLOAT, WIDTH * FLOAT),
        # Both weights and the first bias; the second is added once, by every rank.
        "split_parameter_bytes": (2 * WIDTH * WIDTH + WIDTH) * FLOAT,
        "output_bytes": WIDTH * FLOAT,
        "saved_bytes": 3 * WIDTH * FLOAT,  # inputs of w1, of the GELU and of w2
        "split_saved_bytes": 2 * WIDTH * FLOAT,
        "region_input_bytes": (WIDTH * FLOAT,),
        "region_output_bytes": (WIDTH * FLOAT,),
    }
    assert last.forward_flops == 2 * WIDTH * 2
    assert found.num_parameter_bytes == FLOAT * (
        COLUMNS * WIDTH + WIDTH + 6 * (2 * WIDTH * WIDTH + 2 * WIDTH) + 2 * WIDTH + 2
    )
    assert all(layer.measured_s > 0 for layer in found.layers)
    assert all(layer.has_backward for layer in found.layers)


def test_a_transformer_block_is_as_worked_out_by_hand(
    alone: RankContext, dataset_folders: dict[str, str]
) -> None:
    found = profile(alone, dataset_folders["text"], WORKLOADS["text"])
    tokens, width, heads = 64, 64, 8
    activation = tokens * width * FLOAT
    embedding, block = found.layers[0], found.layers[1]
    assert found.input_bytes == tokens * 8
    assert embedding.forward_flops == 0
    assert embedding.saved_bytes == tokens * 8  # the tokens, for the gradient of their vectors
    projections = 4 * 2 * tokens * width * width
    attention = 2 * 2 * tokens * tokens * width  # scores and their use, over all heads
    feed_forward = 2 * 2 * tokens * width * 4 * width
    assert block.forward_flops == projections + attention + feed_forward
    assert block.split_flops == block.forward_flops
    # Two norms keep their input, their output goes into a region, and two numbers a token.
    norms = 2 * (activation + activation + 2 * tokens * FLOAT)
    # q, k, v, what attention gives, and a number for each head and token.
    inside_attention = 4 * activation + heads * tokens * FLOAT
    inside_feed_forward = 2 * 4 * activation
    assert block.split_saved_bytes == inside_attention + inside_feed_forward
    assert block.saved_bytes == norms + block.split_saved_bytes
    assert block.region_input_bytes == block.region_output_bytes == (activation, activation)
    assert {layer.forward_flops for layer in found.layers[1:7]} == {block.forward_flops}


def test_bytes_follow_the_precision(alone: RankContext, dataset_folders: dict[str, str]) -> None:
    single, half = (
        profile(
            alone, dataset_folders["fruit"], WORKLOADS["fruit"].with_settings(precision=precision)
        )
        for precision in ("float32", "bfloat16")
    )
    assert single.num_parameter_bytes == 2 * half.num_parameter_bytes
    assert single.layers[1].saved_bytes == 2 * half.layers[1].saved_bytes
    assert single.layers[1].forward_flops == half.layers[1].forward_flops


def test_an_activation_that_two_layers_keep_is_counted_once() -> None:
    layers: list[nn.Module] = [nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 4)]
    counts = count_layers(layers, torch.randn(2, 4))
    # The sigmoid keeps its output, which is also what the next layer keeps.
    assert [count.saved_bytes for count in counts] == [2 * 4 * FLOAT, 2 * 4 * FLOAT, 0]


def test_a_parameter_that_two_layers_share_is_the_first_one_s() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert [own.sizes for own in own_parameters([first, second])] == [
        (16 * FLOAT, 4 * FLOAT),
        (4 * FLOAT,),
    ]


class Taking(nn.Module):
    """A layer whose forwards take the given seconds of a clock, one after the other."""

    def __init__(self, clock: list[float], *seconds: float) -> None:
        super().__init__()
        self.linear, self.clock, self.seconds = nn.Linear(2, 2), clock, list(seconds)

    def forward(self, x: Tensor) -> Tensor:
        self.clock[0] += self.seconds.pop(0)
        y: Tensor = self.linear(x)
        return y


@pytest.mark.parametrize(
    ("unit_s", "rounds", "best"), [(0.001, 3, (1, 5)), (0.012, 2, (2, 6)), (1.0, 1, (9, 7))]
)
def test_layers_are_timed_in_rounds_and_the_best_counts_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch, unit_s: float, rounds: int, best: tuple[float, float]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(measure_layers, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    layers = [Taking(clock, *(unit_s * n for n in units)) for units in ((9, 2, 1, 0), (7, 6, 5, 0))]
    found = time_layers(list(layers), torch.zeros(1, 2))
    assert [len(layer.seconds) for layer in layers] == [4 - rounds] * 2
    assert found == pytest.approx([unit_s * n for n in best])


def test_a_cluster_keeps_a_profile_for_each_model_and_precision(
    cluster4: Cluster, dataset_folders: dict[str, str]
) -> None:
    folder = dataset_folders["digits"]
    dataset = Dataset(name="digits", folder=folder, manifest=read_manifest(folder), report={})
    workload = WORKLOADS["digits"].with_settings(global_batch=32)
    found = profile_of(workload, dataset, cluster4)
    assert profile_of(workload.with_settings(seed=3), dataset, cluster4) is found
    other = profile_of(workload.with_settings(precision="float64"), dataset, cluster4)
    assert other.num_parameter_bytes == 2 * found.num_parameter_bytes


def test_a_model_that_does_not_fit_the_dataset_is_the_user_s_mistake(
    cluster4: Cluster, dataset_folders: dict[str, str]
) -> None:
    folder = dataset_folders["fruit"]
    dataset = Dataset(name="fruit", folder=folder, manifest=read_manifest(folder), report={})
    with pytest.raises(WorkloadError, match="the digits model takes images of shape"):
        profile_of(WORKLOADS["digits"], dataset, cluster4)


def test_a_profile_that_waits_for_its_worker_is_stopped_by_who_asked_for_it(
    cluster4: Cluster, dataset_folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster4, "profiles", {})
    folder = dataset_folders["digits"]
    dataset = Dataset(name="digits", folder=folder, manifest=read_manifest(folder), report={})
    client = cluster4.client
    holder = Request(run="holder", client=client.id, num_ranks=4)
    assert client.run_on_scheduler(reserve, holder).workers
    waits = partial(client.run_on_scheduler, place_of, client.id)
    workload = WORKLOADS["digits"].with_settings(global_batch=32)
    try:
        with pytest.raises(RunStopped):
            train(workload, None, cluster4, dataset=dataset, should_stop=waits, queue_s=30.0)
        assert not waits(), "it has left the line"
    finally:
        client.run_on_scheduler(release, "holder")


def test_asking_for_a_profile_loads_no_torch() -> None:
    code = "import sys, labkit.train.profile; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
