"""Transformation: mean 0, deviation 1, by what the training rows say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from labkit.preprocess.moments import merge_columns
from labkit.preprocess.schema import Partition
from labkit.preprocess.split import is_test
from labkit.preprocess.transform import Standard, fit, scale, summarise, write_part

NAMES = ["component_1", "component_2"]


def partition(rows: int = 500, seed: int = 0) -> Partition:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal([5, -3], [2, 0.1], (rows, 2)), columns=NAMES)
    return Partition(frame=frame.assign(fruit_id=np.arange(rows), fruit=np.arange(rows) % 2))


def test_training_rows_get_mean_0_and_deviation_1_and_test_rows_the_same_shift() -> None:
    part = partition()
    standard = fit(merge_columns([summarise(part, names=NAMES)]), NAMES)
    scaled = scale(part, names=NAMES, standard=standard).frame
    train = ~is_test(scaled["fruit_id"].to_numpy())
    values = scaled.loc[train, NAMES].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(axis=0, ddof=1), 1, rtol=1e-6)
    raw = part.frame.loc[~train, NAMES].to_numpy()
    expected = (raw - np.array(standard.mean)) / np.array(standard.std)
    np.testing.assert_allclose(scaled.loc[~train, NAMES], expected, rtol=1e-5)


def test_a_constant_component_is_only_shifted() -> None:
    part = Partition(frame=partition().frame.assign(component_1=4.0))
    standard = fit(summarise(part, names=NAMES), NAMES)
    assert standard.std[0] == 1.0
    assert (scale(part, names=NAMES, standard=standard).frame["component_1"] == 0).all()


def test_a_partition_becomes_a_train_and_a_test_shard(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    part = partition()
    entries = write_part(part, 3, names=NAMES, folder=str(tmp_path))
    assert [entry["split"] for entry in entries] == ["train", "test"]
    test = is_test(part.frame["fruit_id"].to_numpy())
    assert [entry["rows"] for entry in entries] == [(~test).sum(), test.sum()]
    inputs = np.load(tmp_path / entries[1]["inputs"])
    targets = np.load(tmp_path / entries[1]["targets"])
    assert (inputs.dtype, targets.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(targets, part.frame.loc[test, "fruit"])


def test_a_split_without_rows_writes_no_shard(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    part = partition()
    only = part.frame[~is_test(part.frame["fruit_id"].to_numpy())]
    entries = write_part(Partition(frame=only), 0, names=NAMES, folder=str(tmp_path))
    assert [entry["split"] for entry in entries] == ["train"]
    assert write_part(Partition(frame=only.iloc[:0]), 1, names=NAMES, folder=str(tmp_path)) == []


def test_the_values_survive_the_manifest() -> None:
    standard = Standard(mean=[1.0], std=[2.0])
    assert Standard.from_dict(standard.to_dict()) == standard
