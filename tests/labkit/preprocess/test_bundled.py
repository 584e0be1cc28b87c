"""Bundled data sets: digits and text, without a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labkit.preprocess import bundled
from labkit.preprocess.bundled import prepare_once
from labkit.preprocess.shards import ShardReader, verify_shards


def everything(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    reader = ShardReader(folder, split)  # type: ignore[arg-type]
    return reader.take(np.arange(reader.num_samples))


def test_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    manifest = prepare_once("digits", str(tmp_path / "digits"))
    assert manifest["inputs"] == {"dtype": "float32", "shape": [1, 8, 8]}
    assert manifest["num_classes"] == 10
    (train_x, train_y), (test_x, test_y) = (
        everything(tmp_path / "digits", s) for s in ("train", "test")
    )
    digits = load_digits()
    assert len(train_x) + len(test_x) == len(digits.data)
    found = np.concatenate([train_x, test_x]).reshape(-1, 64) * 16
    assert sorted(map(tuple, found)) == sorted(map(tuple, digits.data))
    assert (
        np.bincount(np.concatenate([train_y, test_y])).tolist()
        == np.bincount(digits.target).tolist()
    )
    assert 0.05 < len(test_x) / len(digits.data) < 0.15


def test_text_predicts_the_next_character(tmp_path: Path) -> None:
    from pydoc_data.topics import topics

    manifest = prepare_once("text", str(tmp_path / "text"))
    inputs, targets = everything(tmp_path / "text", "train")
    assert inputs.shape == targets.shape == (len(inputs), 64)
    assert inputs.dtype == targets.dtype == np.int64
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    characters = np.array(manifest["class_names"])
    text = "\n".join(topics[name] for name in sorted(topics))
    for sample in (inputs[0], inputs[-1]):
        assert "".join(characters[sample]) in text
    assert manifest["num_classes"] == len(set(text)) > targets.max()


def test_a_dataset_is_prepared_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_once("digits", str(tmp_path / "digits"))
    monkeypatch.setattr(bundled, "PREPARERS", {})
    assert prepare_once("digits", str(tmp_path / "digits")) == first
    assert verify_shards(tmp_path / "digits") > 0


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: str) -> None:
        (Path(folder) / "shards" / "half.npy").touch()
        raise OSError("disk full")

    monkeypatch.setattr(bundled, "PREPARERS", {"digits": fail})
    with pytest.raises(OSError, match="disk full"):
        prepare_once("digits", str(tmp_path / "digits"))
    assert list(tmp_path.iterdir()) == []
