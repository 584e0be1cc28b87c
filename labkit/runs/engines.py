"""The same statistics by pandas, by Polars, by Spark and on the cluster's workers, side by side.

    python -m labkit.runs.engines pandas TABLE.parquet

runs one of them. Each that is one process gets a fresh one, so that its peak memory is its own;
importing is not counted. The cluster computes exactly what ``labkit.preprocess`` computes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.parts import Part

DEADLINE_S = 100.0
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One engine's statistics of a table.

    Attributes:
        engine: name.
        seconds: from the file to the figures.
        peak_bytes: most memory that one of its processes took, libraries included.
        figures: ``mean``, ``std`` and ``median`` by column.
    """

    engine: str
    seconds: float
    peak_bytes: int
    figures: Figures

    def greatest_difference(self, other: EngineRun) -> float:
        """Relative, over all figures; 0 where every bit is the same."""
        return max(
            abs(value / other.figures[column][name] - 1)
            for column, values in self.figures.items()
            for name, value in values.items()
        )


@dataclass(frozen=True, slots=True)
class ParquetGroup:
    """One row group of a Parquet file, as the rows of a part."""

    path: str
    group: int

    def read(self) -> pd.DataFrame:
        """Its rows."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            table = file.read_row_group(self.group, use_threads=False)
        frame: pd.DataFrame = table.to_pandas(
            split_blocks=True, self_destruct=True, use_threads=False
        )
        return frame


def parquet_parts(path: str | Path) -> list[Part]:
    """One part for each row group of a file; nothing of it is read but where they are."""
    import pyarrow.parquet as pq

    from labkit.preprocess.parts import Part

    with pq.ParquetFile(path) as file:
        return [Part(g, ParquetGroup(str(path), g)) for g in range(file.num_row_groups)]


def run_engine(engine: str, path: str | Path) -> EngineRun:
    """One engine that is a process of its own.

    Raises:
        SettingError: it is unknown, not installed, failed, or took too long.
    """
    from labkit.cluster.forked_process import describe_exit

    if engine not in ENGINES:
        raise SettingError(f"engine {engine!r} is unknown; choose from {', '.join(ENGINES)}")
    if find_spec(engine) is None:
        raise SettingError(f"{engine} is not installed; pip install {engine}")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "labkit.runs.engines", engine, str(path)],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise SettingError(
            f"{engine} took longer than {DEADLINE_S:.0f} s; give it a smaller table"
        ) from late
    if done.returncode:
        said = done.stderr.strip().splitlines() or [
            f"{describe_exit(str(done.returncode))}, silently"
        ]
        raise SettingError(f"{engine} failed: {said[-1]}")
    return EngineRun(**json.loads(done.stdout.splitlines()[-1]))


def run_cluster(cluster: Cluster, parts: Sequence[Part]) -> EngineRun:
    """The lab's exact statistics, a task a part on the workers."""
    from labkit.cluster.workers import ask_workers
    from labkit.preprocess.parts import map_parts
    from labkit.preprocess.schema import Column, Schema
    from labkit.preprocess.statistics.describe import describe
    from labkit.preprocess.tasks import OnCluster

    executor = OnCluster(cluster.client)
    names = map_parts(executor, columns_of, parts[:1])[0]
    begun_s = time.perf_counter()
    found = describe(executor, parts, Schema(columns=tuple(Column(name=n) for n in names)))
    seconds = time.perf_counter() - begun_s
    peaks = ask_workers(cluster.client, peak_bytes)
    return EngineRun(
        engine=f"the lab, {cluster.num_workers} workers",
        seconds=seconds,
        peak_bytes=max(peaks.values()),
        figures={
            name: {each: found.overall[name][each] for each in ("mean", "std", "median")}
            for name in names
        },
    )


def columns_of(frame: pd.DataFrame) -> list[str]:
    """Names of the columns."""
    return list(frame.columns)


def peak_bytes() -> int:
    """Most memory that this process took since its program began."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux ru_maxrss begins with that of the process that started this one
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _pandas(path: str) -> Callable[[], Figures]:
    import pandas as pd

    def run() -> Figures:
        frame = pd.read_parquet(path)
        return {
            str(name): {
                "mean": float(frame[name].mean()),
                "std": float(frame[name].std()),
                "median": float(frame[name].median()),
            }
            for name in frame
        }

    return run


def _polars(path: str) -> Callable[[], Figures]:
    import polars as pl

    def run() -> Figures:
        names = list(pl.read_parquet_schema(path))
        asked = [
            getattr(pl.col(name), what)().alias(f"{name} {what}")
            for name in names
            for what in ("mean", "std", "median")
        ]
        row: Mapping[str, Any] = pl.scan_parquet(path).select(asked).collect().row(0, named=True)
        return {
            name: {what: row[f"{name} {what}"] for what in ("mean", "std", "median")}
            for name in names
        }

    return run


def _pyspark(path: str) -> Callable[[], Figures]:
    sql, f = import_module("pyspark.sql"), import_module("pyspark.sql.functions")
    session = sql.SparkSession.builder.master("local[2]").getOrCreate()

    def run() -> Figures:
        table = session.read.parquet(path)
        makers = {"mean": f.avg, "std": f.stddev, "median": f.median}
        asked = [
            make(name).alias(f"{name} {what}")
            for name in table.columns
            for what, make in makers.items()
        ]
        row = table.agg(*asked).first().asDict()
        return {name: {what: row[f"{name} {what}"] for what in makers} for name in table.columns}

    return run


ENGINES: Mapping[str, Callable[[str], Callable[[], Figures]]] = {
    "pandas": _pandas,
    "polars": _polars,
    "pyspark": _pyspark,
}


def main(engine: str, path: str) -> None:
    """Run one engine and print what it found as JSON."""
    run = ENGINES[engine](path)
    begun_s = time.perf_counter()
    figures = run()
    seconds = time.perf_counter() - begun_s
    found = {"engine": engine, "seconds": seconds, "peak_bytes": peak_bytes(), "figures": figures}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
