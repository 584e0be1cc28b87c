"""The three fruit sources as files: Parquet files, one SQLite database, questionnaires as CSV.

Each names its columns, units and classes in its own way; ``specs/fruit.toml`` says how they are
read. The Parquet and CSV files are written by one task each; the database is one file and so is
written by one task, block after block. The truth is kept beside the sources, for scoring only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.fruit import (
    BLOCK_ROWS,
    CITIES,
    FRUIT_ID,
    FRUITS,
    LABEL,
    SENTINEL,
    FruitBlock,
    make_block,
)
from labkit.preprocess.schema import rows_per_part
from labkit.preprocess.split import hash_ids
from labkit.preprocess.tasks import Executor

CM_PER_INCH = 2.54
G_PER_POUND = 453.59237
USD_PER_EUR = 1.08
SPELLINGS = (
    ("orange", "Orange", " ORANGE", "ornage", "naranja", "Apfelsine", "橙子"),
    ("watermelon", "Watermelon", "water melon", "WATERMELON ", "sandía", "Wassermelone", "西瓜"),
)
UNREADABLE_RATE = 0.01
# colour words by hue, each up to the hue in degrees
COLOUR_WORDS = (
    (20.0, "red"),
    (45.0, "orange"),
    (70.0, "yellow"),
    (95.0, "light green"),
    (130.0, "green"),
    (360.0, "dark green"),
)


def write_fruit_sources(
    folder: str, rows: int, seed: int, executor: Executor, *, blocks_per_file: int | None = None
) -> list[str]:
    """Write ``rows`` fruits as three sources under ``folder/sources``, truth in ``folder/truth``.

    Args:
        folder: an existing one on the workers' host.
        rows: fruits, >= 1; sources hold a few more rows, as they overlap and repeat themselves.
        seed: the same seed gives the same rows, however they are cut into files.
        executor: runs the writing tasks.
        blocks_per_file: blocks of ``BLOCK_ROWS`` in one Parquet or CSV file; ``None`` makes at
            most 64 files of each.
    Returns:
        The three paths, to be given to the pipeline.
    """
    num_blocks = -(-rows // BLOCK_ROWS)
    if blocks_per_file is None:
        blocks_per_file = -(-rows_per_part(rows) // BLOCK_ROWS)
    starts = list(range(0, num_blocks, blocks_per_file))
    executor.call(make_source_folders, folder)
    # One list of tasks, the long one first, so that the database is written beside the files.
    tasks = [(0, num_blocks, True)] + [(at, at + blocks_per_file, False) for at in starts]
    executor.begin("sources", len(tasks))
    executor.map(
        write_blocks,
        [first for first, _, _ in tasks],
        [min(end, num_blocks) for _, end, _ in tasks],
        [database for _, _, database in tasks],
        folder=folder,
        rows=rows,
        seed=seed,
    )
    return [f"{folder}/sources/{name}" for name in ("orchard", "market.sqlite", "questionnaire")]


def make_source_folders(folder: str) -> None:
    """The folders that the writing tasks need, in an existing folder."""
    for name in ("sources", "sources/orchard", "sources/questionnaire", "truth"):
        (Path(folder) / name).mkdir(exist_ok=True)


def write_blocks(
    first: int, end: int, database: bool, *, folder: str, rows: int, seed: int
) -> None:
    """Write blocks ``first`` to ``end`` as one Parquet and one CSV file, or as the database."""
    blocks = (
        make_block(seed, block, min(BLOCK_ROWS, rows - block * BLOCK_ROWS))
        for block in range(first, end)
    )
    if database:
        _write_market(Path(folder) / "sources" / "market.sqlite", blocks)
    else:
        _write_files(Path(folder), first, list(blocks))


def _write_files(folder: Path, first: int, blocks: list[FruitBlock]) -> None:
    name = f"part-{first:05d}"
    orchard = _together([_orchard(block.views["orchard"]) for block in blocks])
    orchard.to_parquet(folder / "sources" / "orchard" / f"{name}.parquet", index=False)
    answers = _together([_questionnaire(block.views["questionnaire"]) for block in blocks])
    answers.to_csv(folder / "sources" / "questionnaire" / f"{name}.csv", index=False)
    truth = _together([block.truth for block in blocks])
    truth.to_parquet(folder / "truth" / f"{name}.parquet", index=False)
    errors = _together([block.errors for block in blocks])
    errors.to_parquet(folder / "truth" / f"errors-{first:05d}.parquet", index=False)


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def _orchard(view: pd.DataFrame) -> pd.DataFrame:
    """Metric, colours as hexadecimal text, classes and cities by name."""
    colours = view[["red", "green", "blue"]].to_numpy(dtype=np.uint8)
    return pd.DataFrame(
        {
            "FruitID": view[FRUIT_ID],
            "kind": np.take(FRUITS, view[LABEL]),
            "diameter_mm": _in_unit(view["diameter_cm"], 10),
            "weight_g": view["weight_g"],
            "colour": [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours],
            "brix": view["sweetness_brix"],
            "price_eur": view["price_eur"],
            "batch": view["batch_no"].astype(np.int64),
            "season": view["harvest_year"].astype(np.int64),
            "origin": np.take(CITIES, view["city"]),
        }
    )


def _in_unit(values: pd.Series[float], factor: float) -> pd.Series[float]:
    """Other units, but the sentinel stays as the instrument wrote it."""
    return (values * factor).where(values != SENTINEL, SENTINEL)


def _write_market(path: Path, blocks: Iterator[FruitBlock]) -> None:
    """Inches, pounds and dollars; classes and cities by number, with a code table each."""
    path.unlink(missing_ok=True)  # of a worker that died while it wrote
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, names in (("class", FRUITS), ("city", CITIES)):
            connection.execute(f"CREATE TABLE {table} (no INTEGER PRIMARY KEY, name TEXT)")
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", enumerate(names, start=1))
        connection.execute(
            "CREATE TABLE fruit (fid INTEGER, class_no INTEGER, size_in REAL, mass_lb REAL, "
            "red INTEGER, green INTEGER, blue INTEGER, brix REAL, price_usd REAL, lot INTEGER, "
            "year INTEGER, city_no INTEGER)"
        )
        for block in blocks:
            view = block.views["market"]
            columns = [
                view[FRUIT_ID],
                view[LABEL] + 1,
                _in_unit(view["diameter_cm"], 1 / CM_PER_INCH),
                view["weight_g"] / G_PER_POUND,
                *(view[channel].astype(np.int64) for channel in ("red", "green", "blue")),
                view["sweetness_brix"],
                view["price_eur"] * USD_PER_EUR,
                view["batch_no"].astype(np.int64),
                view["harvest_year"].astype(np.int64),
                view["city"] + 1,
            ]
            # SQLite stores NaN as NULL by itself
            rows = zip(*(column.tolist() for column in columns), strict=True)
            connection.executemany(f"INSERT INTO fruit VALUES ({', '.join('?' * 12)})", rows)


def _questionnaire(view: pd.DataFrame) -> pd.DataFrame:
    """What people write: sizes with a unit, colours as words, names in their own language."""
    ids = view[FRUIT_ID].to_numpy()
    # Choices follow from the identifier, so a repeated row is repeated letter by letter; ~ keeps
    # them apart from the split and the shuffle, which hash the identifier itself.
    choice = hash_ids(~ids)[:, np.newaxis] >> np.array([0, 16, 32, 48], dtype=np.uint64)
    choice = (choice & np.uint64(0xFFFF)).astype(np.int64)
    label = view[LABEL].to_numpy()
    spelling = np.array(SPELLINGS)[label, choice[:, 0] % len(SPELLINGS[0])]
    unreadable = choice[:, 1] % 1000 < 1000 * UNREADABLE_RATE
    city = np.take(CITIES, view["city"])
    return pd.DataFrame(
        {
            "Respondent": np.where(unreadable & (choice[:, 2] % 2 == 0), "don't know", ids),
            "What fruit is it?": np.where(
                unreadable & (choice[:, 2] % 2 == 1), "a fruit", spelling
            ),
            "How big is it?": _sizes(view["diameter_cm"].to_numpy(), choice[:, 3]),
            "Weight (kg)": view["weight_g"] / 1000,
            "Which colour?": _colour_words(view),
            "Sweetness (Brix)": view["sweetness_brix"].round(1),
            "Price (EUR)": view["price_eur"].round(2),
            "Which year?": view["harvest_year"].astype(np.int64),
            "Where from?": np.where(choice[:, 2] % 3 == 0, np.char.upper(city), city),
        }
    )


def _sizes(diameter_cm: NDArray[np.float64], choice: NDArray[np.integer[Any]]) -> list[str]:
    """Sizes in cm, in or mm, with a point or a comma; empty where missing."""
    texts = []
    for size_cm, pick in zip(diameter_cm.tolist(), (choice % 4).tolist(), strict=True):
        if size_cm != size_cm:
            texts.append("")
        elif size_cm == SENTINEL:
            texts.append(f"{SENTINEL:.0f} cm")
        elif pick == 0:
            texts.append(f"{size_cm / CM_PER_INCH:.2f} in")
        elif pick == 1:
            texts.append(f"{size_cm * 10:.0f} mm")
        else:
            text = f"{size_cm:.1f} cm"
            texts.append(text.replace(".", ",") if pick == 2 else text)
    return texts


def _colour_words(view: pd.DataFrame) -> NDArray[np.str_]:
    """The word for each colour, by its hue."""
    red, green, blue = (view[channel].to_numpy() for channel in ("red", "green", "blue"))
    # The usual hexagon has three cases; two angles of the colour plane give the same hue in one.
    angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    hue_deg = np.degrees(angle) % 360
    edges = [edge for edge, _ in COLOUR_WORDS[:-1]]
    words = np.array([word for _, word in COLOUR_WORDS])
    chosen: NDArray[np.str_] = np.take(words, np.searchsorted(edges, hue_deg))
    return chosen
