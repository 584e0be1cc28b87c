"""After the shuffle all rows of one thing are in one part, and none is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labkit.preprocess.integrate.shuffle import (
    NUM_FINE,
    Ingested,
    bucket_parts,
    order_by_bucket,
)
from labkit.preprocess.parts import write_arrow
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema

SCHEMA = Schema(columns=(Column(name="size"),))


def written(keys: np.ndarray, folder: Path, name: str) -> Ingested:
    """Rows with these keys, and their place among all as ``size``."""
    order, offsets = order_by_bucket(keys)
    frame = pd.DataFrame({KEY: keys, SOURCE: np.int8(0), "size": np.arange(len(keys)) * 1.0})
    path = folder / f"{name}.arrow"
    write_arrow(frame.iloc[order], path, SCHEMA, offsets)
    return Ingested(str(path), offsets)


def test_rows_of_one_thing_meet_and_none_is_lost(tmp_path: Path) -> None:
    keys = np.random.default_rng(0).integers(0, 9000, 20_000)
    files = [written(each, tmp_path, str(n)) for n, each in enumerate(np.split(keys, 4))]
    frames = [part.load() for part in bucket_parts(files)]
    assert sum(map(len, frames)) == len(keys)
    found = [set(frame[KEY]) for frame in frames]
    assert len(found) == 5, "as many parts as 20,000 rows have"
    assert sum(map(len, found)) == len(set.union(*found))


def test_parts_do_not_depend_on_the_files(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 5000, 9000)
    cuts = ([9000], [1, 9000], [3000, 3001, 7000, 9000])
    found = []
    for number, ends in enumerate(cuts):
        starts = [0, *ends[:-1]]
        files = [
            written(keys[start:end], tmp_path, f"{number}-{start}")
            for start, end in zip(starts, ends, strict=True)
        ]
        frames = [part.load().sort_values(KEY, kind="stable") for part in bucket_parts(files)]
        found.append([frame[KEY].tolist() for frame in frames])
    assert found[0] == found[1] == found[2]


def test_rows_keep_their_order_within_a_bucket() -> None:
    keys = np.array([5, 7, 5, 7, 5])
    order, offsets = order_by_bucket(keys)
    of_five = [place for place in order if keys[place] == 5]
    assert of_five == [0, 2, 4]
    assert offsets[0] == 0
    assert offsets[-1] == 5
    assert len(offsets) == NUM_FINE + 1


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_make_one_part(tmp_path: Path, rows: int) -> None:
    parts = bucket_parts([written(np.arange(rows), tmp_path, "few")])
    assert [len(part.load()) for part in parts] == [rows]
