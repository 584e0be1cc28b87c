"""The three sources as files: the same rows however they are cut."""

from __future__ import annotations

import sqlite3
import tomllib
from contextlib import closing
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.preprocess.fruit_files import _colour_words, _sizes, write_fruit_sources
from labkit.preprocess.tasks import InThisProcess

ROWS = 9000


def write(folder: Path, blocks_per_file: int) -> Path:
    folder.mkdir()
    paths = write_fruit_sources(
        str(folder), ROWS, 1, InThisProcess(), blocks_per_file=blocks_per_file
    )
    assert all(Path(path).exists() for path in paths)
    return folder


def read_all(folder: Path, suffix: str) -> pd.DataFrame:
    read = pd.read_parquet if suffix == "parquet" else partial(pd.read_csv, dtype=str)
    files = sorted(path for path in folder.glob(f"*.{suffix}") if "errors" not in path.name)
    return pd.concat([read(file) for file in files], ignore_index=True)


def test_the_number_of_blocks_in_a_file_does_not_change_a_row(tmp_path: Path) -> None:
    one, three = write(tmp_path / "one", 1), write(tmp_path / "three", 3)
    assert len(list((one / "sources" / "orchard").iterdir())) == 3
    assert len(list((three / "sources" / "orchard").iterdir())) == 1
    for part, suffix in (
        ("sources/orchard", "parquet"),
        ("sources/questionnaire", "csv"),
        ("truth", "parquet"),
    ):
        pd.testing.assert_frame_equal(read_all(one / part, suffix), read_all(three / part, suffix))
    databases = [path / "sources" / "market.sqlite" for path in (one, three)]
    assert databases[0].read_bytes() == databases[1].read_bytes()


def test_the_database_resolves_its_code_tables(fruit_folder: Path) -> None:
    with closing(sqlite3.connect(fruit_folder / "sources" / "market.sqlite")) as database:
        names = database.execute(
            "SELECT DISTINCT class.name FROM fruit JOIN class ON class.no = class_no"
        ).fetchall()
    assert sorted(names) == [("orange",), ("watermelon",)]


def test_sizes_are_written_with_every_unit() -> None:
    texts = _sizes(np.array([7.5, 7.5, 7.5, 7.5, np.nan, -999.0]), np.array([0, 1, 2, 3, 0, 0]))
    assert texts == ["2.95 in", "75 mm", "7,5 cm", "7.5 cm", "", "-999 cm"]


def test_colour_words_and_typical_colours_belong_together() -> None:
    text = (resources.files("labkit.preprocess") / "specs" / "fruit.toml").read_text("utf-8")
    fields = tomllib.loads(text)["sources"]["questionnaire"]["fields"]
    words = ["red", "orange", "yellow", "light green", "green", "dark green"]
    channels = {
        name: [fields[name]["table"][word] for word in words] for name in ("red", "green", "blue")
    }
    assert _colour_words(pd.DataFrame(channels)).tolist() == words
