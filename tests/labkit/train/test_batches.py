"""Which samples a step uses depends on the seed and the step, never on the plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.errors import WorkloadError
from labkit.preprocess.shards import (
    SHARD_FOLDER,
    ShardReader,
    make_manifest,
    write_manifest,
    write_shard,
)
from labkit.train import batches as batches_module
from labkit.train.batches import Batches
from labkit.train.loss import IGNORED
from labkit.train.order import BlockShuffle
from labkit.workload import WORKLOADS

FRUIT = WORKLOADS["fruit"].with_settings(global_batch=48)


def slices(folder: str, num_replicas: int, step: int, seed: int = 0) -> np.ndarray:
    workload = FRUIT.with_settings(seed=seed)
    return np.concatenate(
        [
            Batches(folder, workload, replica=replica, num_replicas=num_replicas).indices(step)
            for replica in range(num_replicas)
        ]
    )


@pytest.mark.parametrize("num_replicas", [2, 3, 4, 8])
def test_replicas_together_see_what_one_process_sees(
    dataset_folders: dict[str, str], num_replicas: int
) -> None:
    folder = dataset_folders["fruit"]
    for step in (0, 1, 13, 14, 40):
        np.testing.assert_array_equal(slices(folder, num_replicas, step), slices(folder, 1, step))


def test_an_epoch_uses_no_sample_twice_and_drops_the_rest(
    dataset_folders: dict[str, str],
) -> None:
    batches = Batches(dataset_folders["fruit"], FRUIT, replica=0, num_replicas=1)
    assert batches.steps_per_epoch == 700 // 48
    seen = np.concatenate([batches.indices(step) for step in range(batches.steps_per_epoch)])
    assert len(np.unique(seen)) == len(seen) == 48 * (700 // 48)


def test_epochs_and_seeds_give_other_orders_and_repeats_the_same(
    dataset_folders: dict[str, str],
) -> None:
    folder = dataset_folders["fruit"]
    first, next_epoch = slices(folder, 1, 0), slices(folder, 1, 700 // 48)
    assert not np.array_equal(first, next_epoch)
    assert not np.array_equal(first, slices(folder, 1, 0, seed=1))
    np.testing.assert_array_equal(first, slices(folder, 1, 0))


def test_going_back_to_an_earlier_epoch_gives_its_samples_again(
    dataset_folders: dict[str, str],
) -> None:
    batches = Batches(dataset_folders["fruit"], FRUIT, replica=0, num_replicas=1)
    first = batches.indices(0).copy()
    batches.indices(100)
    np.testing.assert_array_equal(batches.indices(0), first)


def test_take_gives_tensors_of_the_dataset_s_types(dataset_folders: dict[str, str]) -> None:
    batches = Batches(
        dataset_folders["text"], WORKLOADS["text"].with_settings(global_batch=4),
        replica=1, num_replicas=2,
    )  # fmt: skip
    inputs, targets, loss_scale = batches.take(0, torch.device("cpu"))
    assert inputs is not None
    assert targets is not None
    assert loss_scale == 1 / (4 * 64)
    assert inputs.shape == targets.shape == (2, 64)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])  # the target is the next character


def test_too_few_samples_for_one_batch_is_an_error_with_both_numbers(
    dataset_folders: dict[str, str],
) -> None:
    with pytest.raises(WorkloadError, match=r"701 but the dataset has 700 .*at most 700"):
        Batches(
            dataset_folders["fruit"], FRUIT.with_settings(global_batch=701),
            replica=0, num_replicas=1,
        )  # fmt: skip


def test_a_last_batch_that_is_kept_is_filled_up_with_samples_that_count_for_nothing(
    dataset_folders: dict[str, str],
) -> None:
    workload = FRUIT.with_settings(keep_last=True)
    replicas = [
        Batches(dataset_folders["fruit"], workload, replica=replica, num_replicas=4)
        for replica in range(4)
    ]
    last = replicas[0].steps_per_epoch - 1
    assert last == 700 // 48
    assert replicas[0].num_samples(last) == 700 % 48 == 28
    taken = [batches.take(last, torch.device("cpu")) for batches in replicas]
    counted = [int((batch.targets != IGNORED).sum()) for batch in taken]
    assert counted == [12, 12, 4, 0]
    assert {batch.loss_scale for batch in taken} == {1 / 28}
    assert {tuple(batch.inputs.shape) for batch in taken} == {(12, 4)}
    epoch = [batches.indices(step) for step in range(last + 1) for batches in replicas]
    assert sorted(np.concatenate(epoch)) == list(range(700))


def test_a_rank_may_read_some_columns_only(dataset_folders: dict[str, str]) -> None:
    whole = Batches(dataset_folders["fruit"], FRUIT, replica=0, num_replicas=1)
    part = Batches(dataset_folders["fruit"], FRUIT, replica=0, num_replicas=1, columns=slice(1, 3))
    device = torch.device("cpu")
    torch.testing.assert_close(part.take(3, device).inputs, whole.take(3, device).inputs[:, 1:3])


@pytest.fixture(params=["windows", "one by one"])
def in_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Orders as for large data, read in both ways."""

    def small_blocks(num_samples: int, seed: int) -> BlockShuffle:
        return BlockShuffle(num_samples, seed, block=16, window=8)

    monkeypatch.setattr(batches_module, "make_order", small_blocks)
    if request.param == "one by one":
        monkeypatch.setattr(batches_module, "MAX_WINDOW_BYTES", 0)
    return str(request.param)


@pytest.mark.parametrize("num_replicas", [1, 2, 3, 8])
def test_blocks_give_every_split_the_samples_of_one_process(
    dataset_folders: dict[str, str], in_blocks: str, num_replicas: int
) -> None:
    folder, device = dataset_folders["fruit"], torch.device("cpu")
    for workload in (FRUIT, FRUIT.with_settings(keep_last=True)):
        replicas = [
            Batches(folder, workload, replica=replica, num_replicas=num_replicas)
            for replica in range(num_replicas)
        ]
        reader = replicas[0].reader
        for step in range(2 * replicas[0].steps_per_epoch):
            wanted = np.concatenate([each.indices(step) for each in replicas])
            taken = [each.take(step, device) for each in replicas]
            counts = torch.cat([each.targets for each in taken]) != IGNORED
            inputs, targets = reader.take(wanted)
            assert int(counts.sum()) == len(wanted) == replicas[0].num_samples(step)
            np.testing.assert_array_equal(torch.cat([e.inputs for e in taken])[counts], inputs)
            np.testing.assert_array_equal(torch.cat([e.targets for e in taken])[counts], targets)
            assert {tuple(each.inputs.shape) for each in taken} == {(48 // num_replicas, 4)}


def test_blocks_visit_every_sample_once_an_epoch(
    dataset_folders: dict[str, str], in_blocks: str
) -> None:
    batches = Batches(
        dataset_folders["fruit"], FRUIT.with_settings(keep_last=True), replica=0, num_replicas=1
    )
    seen = np.concatenate([batches.indices(step) for step in range(batches.steps_per_epoch)])
    assert sorted(seen) == list(range(700))


def test_columns_may_be_chosen_after_the_start_in_both_ways(
    dataset_folders: dict[str, str], in_blocks: str
) -> None:
    whole, part = (
        Batches(dataset_folders["fruit"], FRUIT, replica=0, num_replicas=1) for _ in range(2)
    )
    device = torch.device("cpu")
    part.take(0, device)
    part.columns = slice(1, 3)
    assert part.columns == slice(1, 3)
    torch.testing.assert_close(part.take(1, device).inputs, whole.take(1, device).inputs[:, 1:3])


def test_the_number_of_steps_follows_from_the_manifest_however_unequal_the_shards(
    dataset_folders: dict[str, str],
) -> None:
    replicas = [
        Batches(dataset_folders["fruit"], FRUIT, replica=replica, num_replicas=4)
        for replica in range(4)
    ]
    rows = [entry["rows"] for entry in replicas[0].reader.manifest["shards"]]
    assert len(set(rows[:2])) == 2, "the shards are unequal"
    assert len({each.steps_per_epoch for each in replicas}) == 1


@pytest.fixture
def by_features(dataset_folders: dict[str, str], tmp_path: Path) -> str:
    """The fruit samples, laid out by features and cut into other shards."""
    reader = ShardReader(dataset_folders["fruit"], "train")
    inputs, targets = reader.read([(0, reader.num_samples)])
    (tmp_path / SHARD_FOLDER).mkdir()
    shards = [
        write_shard(tmp_path, "train", n, inputs[a:b], targets[a:b], layout="features")
        for n, (a, b) in enumerate([(0, 500), (500, 501), (501, 700)])
    ]
    manifest = make_manifest(
        name="fruit", shards=shards, num_columns=4, class_names=["a", "b"], columns=[], fitted={},
        source=None, layout="features",
    )  # fmt: skip
    write_manifest(tmp_path, manifest)
    return str(tmp_path)


def test_by_features_a_rank_reads_its_columns_from_their_files_alone(
    dataset_folders: dict[str, str], by_features: str, in_blocks: str
) -> None:
    for path in Path(by_features).rglob("train-*-inputs-*.npy"):
        if path.stem[-1] not in "12":
            path.unlink()
    whole = Batches(dataset_folders["fruit"], FRUIT, replica=0, num_replicas=1)
    part = Batches(by_features, FRUIT, replica=0, num_replicas=1)
    part.columns = slice(1, 3)
    device = torch.device("cpu")
    for step in range(20):
        mine, expected = part.take(step, device), whole.take(step, device)
        torch.testing.assert_close(mine.inputs, expected.inputs[:, 1:3], rtol=0, atol=0)
        assert torch.equal(mine.targets, expected.targets)
