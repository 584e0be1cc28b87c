"""Statistics of a large Parquet file: the lab against pandas, Polars, DuckDB and Spark.

    python tests/benchmarks/bench_statistics.py [ROWS] [REPEATS]

Each contender runs in a fresh process of its own and reads the same file, which is in the cache:
count, minimum, maximum, mean, variance, standard deviation, median and quartiles of 10 columns,
without rounding of ranks. CPU is that of all processes that take part, memory the highest of any
of them; starting the cluster and importing are left out for all. Ratios are to pandas of the same
run; of repeats, the one with the least CPU counts.

Spark takes part where it can be imported and there is Java. It need not be installed in the lab's
own environment:

    pip install --target /tmp/spark pyspark
    PYTHONPATH=/tmp/spark python tests/benchmarks/bench_statistics.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROWS = 12_000_000
GROUP_ROWS = 200_000
COLUMNS = tuple(f"c{number}" for number in range(10))
QUARTILES = (0.25, 0.5, 0.75)
NAMES = ("count", "min", "max", "mean", "variance", "std", "q25", "median", "q75")
Figures = dict[str, dict[str, float]]
Answer = dict[str, Any]


def make_data(path: str, rows: int) -> None:
    """Measurements, skewed prices, rounded and whole numbers; some with gaps."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for start in range(0, rows, GROUP_ROWS):
        random = np.random.default_rng(start)
        size = min(GROUP_ROWS, rows - start)
        frame = pd.DataFrame({
            "c0": random.normal(7.5, 0.8, size),
            "c1": random.lognormal(6, 1.2, size),
            "c2": random.integers(0, 256, size).astype(float),
            "c3": random.random(size),
            "c4": random.normal(0, 1, size),
            "c5": np.round(random.normal(11, 1.2, size), 1),
            "c6": np.round(random.lognormal(1, 0.5, size), 2),
            "c7": random.gamma(2, 3, size),
            "c8": random.integers(2015, 2025, size).astype(float),
            "c9": random.normal(1e6, 10, size),
        })  # fmt: skip
        for column in ("c0", "c1", "c5", "c6"):
            frame.loc[random.random(size) < 0.03, column] = np.nan
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def cpu_s() -> float:
    """User and system seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """Highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], Figures]) -> Answer:
    """The figures, and what they cost in this process."""
    base_mb, cpu, wall = peak_mb(), cpu_s(), time.perf_counter()
    figures = work()
    return {
        "wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu, "peak_mb": peak_mb(),
        "base_mb": base_mb, "figures": figures,
    }  # fmt: skip


def with_pandas(path: str) -> Answer:
    """``read_parquet``, ``describe``, ``var``."""
    import pandas as pd

    def work() -> Figures:
        frame = pd.read_parquet(path)
        found = frame.describe().rename(index={"25%": "q25", "50%": "median", "75%": "q75"})
        found.loc["variance"] = frame.var()
        return {column: dict(found[column].items()) for column in COLUMNS}

    return timed(work)


def with_polars(path: str) -> Answer:
    """One lazy query."""
    import polars as pl

    def work() -> Figures:
        asked = []
        for name in COLUMNS:
            column = pl.col(name)
            values = {
                "count": column.count(), "min": column.min(), "max": column.max(),
                "mean": column.mean(), "variance": column.var(), "std": column.std(),
                "median": column.median(), "q25": column.quantile(0.25, "linear"),
                "q75": column.quantile(0.75, "linear"),
            }  # fmt: skip
            asked += [value.alias(f"{name} {figure}") for figure, value in values.items()]
        return by_column(pl.scan_parquet(path).select(asked).collect().row(0, named=True))

    return timed(work)


def with_duckdb(path: str) -> Answer:
    """One SQL query."""
    import duckdb

    def work() -> Figures:
        asked = []
        for name in COLUMNS:
            values = {
                "count": f"count({name})", "min": f"min({name})", "max": f"max({name})",
                "mean": f"avg({name})", "variance": f"var_samp({name})",
                "std": f"stddev_samp({name})", "q25": f"quantile_cont({name}, 0.25)",
                "median": f"quantile_cont({name}, 0.5)", "q75": f"quantile_cont({name}, 0.75)",
            }  # fmt: skip
            asked += [f'{value} as "{name} {figure}"' for figure, value in values.items()]
        found = duckdb.sql(f"select {', '.join(asked)} from '{path}'")
        return by_column(dict(zip(found.columns, found.fetchall()[0], strict=True)))

    return timed(work)


def with_pyspark(path: str) -> Answer:
    """One SQL query a column on two local threads; its Java process does the work.

    Exact percentiles keep all values of a column in a hash map: too much memory for ten at once.
    """
    import psutil
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    spark = builder.config("spark.driver.memory", "4g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    java = next(child for child in psutil.Process().children(recursive=True)
                if "java" in child.name())  # fmt: skip
    frame = spark.read.parquet(path)

    def of_column(name: str) -> dict[str, float]:
        asked = (
            f"count({name})", f"min({name})", f"max({name})", f"avg({name})", f"var_samp({name})",
            f"stddev_samp({name})", f"percentile({name}, array(0.25, 0.5, 0.75))",
        )  # fmt: skip
        *plain, quartiles = frame.selectExpr(*asked).first()
        return dict(zip(NAMES, (*plain, *quartiles), strict=True))

    before = java.cpu_times()
    answer = timed(lambda: {name: of_column(name) for name in COLUMNS})
    after = java.cpu_times()
    answer["cpu_s"] += after.user + after.system - before.user - before.system
    status = Path(f"/proc/{java.pid}/status").read_text(encoding="utf-8")
    answer["peak_mb"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    spark.stop()
    return answer


def with_lab(path: str, num_workers: int) -> Answer:
    """The lab on a cluster of so many worker processes, one thread each."""
    import labkit
    from labkit.preprocess.schema import Column, Schema
    from labkit.preprocess.statistics.describe import describe
    from labkit.preprocess.tasks import OnCluster
    from labkit.runs.engines import parquet_parts

    schema = Schema(columns=tuple(Column(name=name) for name in COLUMNS))
    parts = parquet_parts(path)
    with labkit.launch(num_workers, device="cpu") as cluster:
        executor = OnCluster(cluster.client)
        describe(executor, parts[:num_workers], schema)  # imports are over

        def work() -> Figures:
            return describe(executor, parts, schema).overall

        before = cluster.client.run(cpu_s)
        base_mb = cluster.client.run(peak_mb)
        answer = timed(work)
        after = cluster.client.run(cpu_s)
        peaks = cluster.client.run(peak_mb)
    answer["client_cpu_s"], answer["client_peak_mb"] = answer["cpu_s"], answer["peak_mb"]
    answer["cpu_s"] += sum(after.values()) - sum(before.values())
    answer["peak_mb"] = max(answer["peak_mb"], *peaks.values())
    answer["base_mb"] = max(base_mb.values())
    return answer


def by_column(flat: dict[str, float]) -> Figures:
    """``{"c0 mean": ...}`` by column and figure."""
    return {column: {figure: flat[f"{column} {figure}"] for figure in NAMES} for column in COLUMNS}


CONTENDERS: dict[str, Callable[[str], Answer]] = {
    "pandas": with_pandas,
    "polars": with_polars,
    "duckdb": with_duckdb,
    "pyspark": with_pyspark,
    "lab, 1 worker": lambda path: with_lab(path, 1),
    "lab, 2 workers": lambda path: with_lab(path, 2),
}


def apart(found: Figures, expected: Figures) -> float:
    """Greatest relative difference of any figure."""
    pairs = [(found[c][name], expected[c][name]) for c in COLUMNS for name in NAMES]
    return max(abs(a - b) / max(abs(a), abs(b), 1e-3) for a, b in pairs)


def in_fresh_process(*arguments: str) -> str:
    """What this script prints when it is given these arguments."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(rows: int, repeats: int) -> None:
    """Make the data once, run every contender and print the table."""
    names = [name for name in CONTENDERS if name != "pyspark" or find_spec("pyspark")]
    answers: dict[str, Answer] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.parquet")
        in_fresh_process("--make", path, str(rows))
        for _ in range(repeats):
            for name in names:
                answer = json.loads(in_fresh_process("--one", name, path).splitlines()[-1])
                if name not in answers or answer["cpu_s"] < answers[name]["cpu_s"]:
                    answers[name] = answer
    base = answers["pandas"]
    print(f"{rows:,} rows x {len(COLUMNS)} columns; ratios to pandas in brackets")
    print(f"{'':<16}{'wall s':>16}{'CPU s':>16}{'peak MB':>17}{'start MB':>10}{'differs by':>12}")
    for name, answer in answers.items():
        cells = "".join(
            f"{answer[key]:>{width}.{digits}f} ({answer[key] / base[key]:4.2f})"
            for key, width, digits in (("wall_s", 9, 2), ("cpu_s", 9, 2), ("peak_mb", 10, 0))
        )
        differs = apart(answer["figures"], base["figures"])
        assert differs < 1e-9, f"{name} differs from pandas by {differs}"
        print(f"{name:<16}{cells}{answer['base_mb']:>10.0f}{differs:>12.1e}")
    ours = [answer["figures"] for name, answer in answers.items() if name.startswith("lab")]
    assert ours[0] == ours[1], "the number of workers changed a bit"
    clients = ", ".join(f"{answer['client_cpu_s']:.2f} s" for answer in answers.values()
                        if "client_cpu_s" in answer)  # fmt: skip
    print(f"lab: the same bits with 1 and 2 workers; of its CPU, the client's part is {clients}")
    if "pyspark" not in answers:
        print("pyspark: not installed (pip install pyspark; it needs Java)")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--make", path, rows]:
            make_data(path, int(rows))
        case ["--one", name, path]:
            print(json.dumps(CONTENDERS[name](path)))
        case given:
            main(*(int(each) for each in (*given, *(ROWS, 1)[len(given) :])))
