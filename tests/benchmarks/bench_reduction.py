"""What reduction costs and what it gives: training time and accuracy with fewer and fewer columns.

The same rows are reduced in several ways; a logistic model is trained on each until it converges.
Times are seconds of one processor, so that what else runs on the machine does not count; repeats
of all ways alternate. Compare the times of one run with each other.

python tests/benchmarks/bench_reduction.py [FRUITS] [REPEATS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from statistics import median

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from labkit.preprocess.fruit import BLOCK_ROWS, make_block
from labkit.preprocess.parts import parts_of
from labkit.preprocess.reduce.settings import ReductionSettings, WaveletSettings
from labkit.preprocess.reduce.step import reduce
from labkit.preprocess.schema import KEY, Column, Schema
from labkit.preprocess.spec import find_spec
from labkit.preprocess.split import is_test
from labkit.preprocess.tasks import InThisProcess

NUM_PARTS = 4
PIXELS = tuple(f"pixel_{place}" for place in range(64))


def fruit_table(rows: int) -> tuple[pd.DataFrame, Schema]:
    """Fruit as they are, with the columns that help nobody."""
    blocks = [make_block(0, block, BLOCK_ROWS).truth for block in range(-(-rows // BLOCK_ROWS))]
    frame = pd.concat(blocks, ignore_index=True).iloc[:rows]
    schema = find_spec("fruit").schema
    frame = frame.astype({name: np.float64 for name in schema.numbers})
    frame = frame.astype({name: np.int32 for name in schema.categories})
    return frame.assign(**{KEY: np.arange(rows)}), schema


def digits_table(copies: int) -> tuple[pd.DataFrame, Schema]:
    """Handwritten digits, a column a pixel, each several times with noise of its own."""
    digits = load_digits()
    random = np.random.default_rng(0)
    pixels = np.tile(digits.data / 16, (copies, 1))
    pixels += random.normal(0, 0.05, pixels.shape)
    frame = pd.DataFrame(pixels, columns=PIXELS).assign(
        digit=np.tile(digits.target, copies).astype(np.int32),
        # copies of a digit stay on one side of the split
        **{KEY: np.tile(np.arange(len(digits.data)), copies)},
    )
    label = Column(name="digit", kind="category", names=tuple("0123456789"))
    return frame, Schema(columns=(*(Column(name=name) for name in PIXELS), label), label="digit")


def fruit_ways(schema: Schema) -> dict[str, ReductionSettings]:
    """From all columns to very few."""
    return {
        "all columns": ReductionSettings(drop=(), method="none", keep=schema.numbers),
        "after the filters": ReductionSettings(method="none"),
        "and 0.1 bits at least": ReductionSettings(method="none", importance=0.1),
        **{f"PCA, {share:.0%}": ReductionSettings(explained=share) for share in (0.99, 0.95, 0.8)},
        "PCA of a sample, 95%": ReductionSettings(method="pca_sampled"),
        "PCA, 1 component": ReductionSettings(components=1),
    }


def digits_ways(schema: Schema) -> dict[str, ReductionSettings]:
    """The same for images, and wavelets."""

    def wavelet(energy: float, name: str) -> ReductionSettings:
        return ReductionSettings(
            wavelet=WaveletSettings(columns=PIXELS, shape=(8, 8), wavelet=name, energy=energy)
        )

    return {
        "all columns": ReductionSettings(drop=(), method="none", keep=schema.numbers),
        "0.05 bits at least": ReductionSettings(method="none", importance=0.05),
        **{f"PCA, {share:.0%}": ReductionSettings(explained=share) for share in (0.95, 0.8, 0.5)},
        **{f"haar, {share:.0%}": wavelet(share, "haar") for share in (0.99, 0.95, 0.9, 0.7)},
        "db2, 90%": wavelet(0.9, "db2"),
    }


def reduced(
    frame: pd.DataFrame, schema: Schema, settings: ReductionSettings
) -> tuple[pd.DataFrame, float]:
    """The reduced rows, and the seconds that finding and applying it took."""
    started_s = time.process_time()
    result = reduce(InThisProcess(), parts_of(frame, NUM_PARTS), schema, settings, len(frame))
    rows = pd.concat([part.load() for part in result.parts], ignore_index=True)
    columns = [KEY, *result.schema.numbers, result.schema.label]
    return rows[columns], time.process_time() - started_s


def train(rows: pd.DataFrame, label: str) -> tuple[float, float]:
    """Seconds of training, and the share of the test rows that is classified right."""
    test = is_test(rows[KEY].to_numpy())
    values = rows.drop(columns=[KEY, label]).to_numpy()
    values = values - values[~test].mean(axis=0)
    # a constant column, which only "all columns" has, stays 0
    values /= np.maximum(values[~test].std(axis=0), 1e-12)
    labels = rows[label].to_numpy()
    started_s = time.process_time()
    model = LogisticRegression(max_iter=1000).fit(values[~test], labels[~test])
    return time.process_time() - started_s, float(model.score(values[test], labels[test]))


def show(
    title: str,
    frame: pd.DataFrame,
    schema: Schema,
    ways: Mapping[str, ReductionSettings],
    repeats: int,
) -> None:
    """One table: a line a way."""
    tables = {name: reduced(frame, schema, settings) for name, settings in ways.items()}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (rows, _) in tables.items():
            runs[name].append(train(rows, schema.label))
    print(f"\n{title}: {len(frame)} rows, median of {repeats}")
    print(f"{'':<24}{'columns':>8}{'reduce s':>10}{'train s':>9}{'ratio':>7}{'accuracy':>10}")
    whole_s = median(seconds for seconds, _ in next(iter(runs.values())))
    for name, (rows, reduce_s) in tables.items():
        train_s = median(seconds for seconds, _ in runs[name])
        accuracy = runs[name][0][1]
        print(
            f"{name:<24}{rows.shape[1] - 2:>8}{reduce_s:>10.2f}{train_s:>9.2f}"
            f"{train_s / whole_s:>7.2f}{accuracy:>10.4f}"
        )


def main() -> None:
    """Both tables."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    for title, (frame, schema), ways in (
        ("fruit", fruit_table(rows), fruit_ways),
        ("digits", digits_table(10), digits_ways),
    ):
        with threadpool_limits(1):
            show(title, frame, schema, ways(schema), repeats)


if __name__ == "__main__":
    main()
