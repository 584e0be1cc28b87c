"""Cleaning made-up fruit whose errors are known: precision, recall and wall time.

    python tests/benchmarks/bench_cleaning.py [ROWS] [SEED]

The sources' views of the fruits are brought together by hand, the first value that is present for
each fruit, so that only cleaning is measured. One process, one thread.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit.preprocess.clean.rules import CleaningRules
from labkit.preprocess.clean.score import Tally, imputation, merge_tallies, scores, tally
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.clean.step import clean
from labkit.preprocess.fruit import BLOCK_ROWS, FRUIT_ID, SOURCE_NAMES, make_block
from labkit.preprocess.parts import ArrowRows, Part, write_arrow
from labkit.preprocess.schema import KEY, SOURCE, Column, Schema, rows_per_part
from labkit.preprocess.step import read_settings
from labkit.preprocess.tasks import InThisProcess


def main(rows: int, seed: int) -> None:
    """Make the fruits, clean them, print what was found."""
    schema, settings = fruit_spec()
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        num_parts = write_fruits(Path(folder), rows, seed, schema)
        print(f"{rows:,} fruits in {num_parts} parts, seed {seed}, made in", end=" ")
        print(f"{time.perf_counter() - started_s:.1f} s")
        parts = [
            Part(number, ArrowRows(((str(path), 0, None),)))
            for number, path in enumerate(sorted(Path(folder).glob("rows-*.arrow")))
        ]
        started_s = time.perf_counter()
        result = clean(InThisProcess(), parts, schema, settings, rows)
        fit_s = time.perf_counter() - started_s
        started_s = time.perf_counter()
        for part in result.parts:
            part.load()
        print(f"rules found in {fit_s:.1f} s, applied in {time.perf_counter() - started_s:.1f} s")
        print(result.note)
        rules = result.fitted
        assert isinstance(rules, CleaningRules)
        total = merge_tallies([score(part, Path(folder), rules, schema) for part in parts])
    print_scores(total)


def fruit_spec() -> tuple[Schema, CleaningSettings]:
    """Columns and settings of cleaning, from ``specs/fruit.toml``."""
    text = (resources.files("labkit.preprocess") / "specs" / "fruit.toml").read_text("utf-8")
    spec = tomllib.loads(text)
    columns = tuple(
        read_settings(Column, {"name": name, **each}, name)
        for name, each in spec["columns"].items()
    )
    schema = Schema(columns=columns, key=(spec["key"],), label=spec["label"])
    return schema, read_settings(CleaningSettings, spec["cleaning"], "[cleaning]")


def write_fruits(folder: Path, rows: int, seed: int, schema: Schema) -> int:
    """Parts of integrated rows, with the truth and the errors beside them; how many parts."""
    blocks_per_part = -(-rows_per_part(rows) // BLOCK_ROWS)
    num_blocks = -(-rows // BLOCK_ROWS)
    starts = range(0, num_blocks, blocks_per_part)
    for number, start in enumerate(starts):
        blocks = [
            make_block(seed, block, min(BLOCK_ROWS, rows - block * BLOCK_ROWS))
            for block in range(start, min(start + blocks_per_part, num_blocks))
        ]
        frame = pd.concat([integrated(block.views) for block in blocks], ignore_index=True)
        write_arrow(frame, folder / f"rows-{number:05d}.arrow", schema)
        truth = pd.concat([block.truth for block in blocks], ignore_index=True)
        truth.to_parquet(folder / f"truth-{number:05d}.parquet")
        errors = pd.concat([block.errors for block in blocks], ignore_index=True)
        errors["row"] = errors[FRUIT_ID] - start * BLOCK_ROWS
        errors.to_parquet(folder / f"errors-{number:05d}.parquet")
    return len(starts)


def integrated(views: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a fruit: of each column, the first value that is present in the order of sources."""
    frame = pd.concat([views[name] for name in SOURCE_NAMES], ignore_index=True)
    frame = frame.groupby(FRUIT_ID, sort=True).first().reset_index()
    frame.insert(0, KEY, frame[FRUIT_ID].astype(np.int64))
    frame.insert(1, SOURCE, np.int8(0))
    types = {FRUIT_ID: np.float64, "fruit": np.int32, "city": np.int32}
    return frame.astype(types)


def score(part: Part, folder: Path, rules: CleaningRules, schema: Schema) -> Tally:
    """One part's tally."""
    errors = pd.read_parquet(folder / f"errors-{part.number:05d}.parquet")
    lost = errors.loc[errors["error"] == "missing", ["row", "source", "column"]]
    # A value that was lost after it was spoilt is a gap, not a wrong value.
    errors = errors.merge(lost.assign(lost=True), how="left", on=["row", "source", "column"])
    errors = errors[errors["lost"].isna() & (errors["error"] != "duplicate")]
    truth = pd.read_parquet(folder / f"truth-{part.number:05d}.parquet")
    return tally(part.load(), truth, errors, rules=rules, schema=schema)


def length(path: Path) -> int:
    """Rows of an Arrow file."""
    return len(ArrowRows(((str(path), 0, None),), (KEY,)).read())


def print_scores(total: Tally) -> None:
    """The table."""
    head = ("column", "error", "rows", "wrong", "found", "restored", "flagged")
    print(("{:16}{:16}{:7}" + "{:>10}" * 4 + "{:>11}{:>9}").format(*head, "precision", "recall"))
    for row in scores(total):
        figures = [text(row[name]) for name in head[3:]]
        shares = [text(row[name]) for name in ("precision", "recall")]
        print(
            f"{row['column']:16}{row['error']:16}{row['rows']:7}"
            + "".join(f"{each:>10}" for each in figures)
            + f"{shares[0]:>11}{shares[1]:>9}"
        )
    print(f"\n{'gaps filled':16}{'number':>10}{'rmse':>12}{'plain median':>14}")
    for name, each in imputation(total).items():
        print(f"{name:16}{each['gaps']:>10,}{each['rmse']:>12.3f}{each['rmse_median']:>14.3f}")


def text(value: Any) -> str:
    """A count, a share, or a dash."""
    if value is None:
        return "-"
    return f"{value:.5f}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    main(*(numbers + [100_000, 0][len(numbers) :]))
