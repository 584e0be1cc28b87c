"""The whole pipeline on the workers beside pandas in one process, and data larger than memory.

    python tests/benchmarks/bench_preprocessing.py [ROWS] [LIMIT_MB] [FOLDER]

Makes the fruit sources once, unless FOLDER holds them already, then takes them through the five
steps with one worker and with two, each limited to LIMIT_MB, and through the same steps with pandas
and scikit-learn, each in a fresh process. Prints wall and CPU seconds, peak memory of a process and
the ratios, taken in one run; the shards of one worker and of two must have the same checksums.

The comparison is not one of equals, and the table says so: pandas does what a data scientist would
write by hand for these three sources, and leaves out what the lab does on the way.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import labkit
from labkit.cluster.cluster import Cluster
from labkit.preprocess.fruit_files import write_fruit_sources
from labkit.preprocess.tasks import OnCluster

FENCE = 3.0
# What the lab's time holds and pandas' does not.
LEFT_OUT = (
    "sources found out: their kinds, columns and maps, and that nothing else lies among them",
    "unreadable rows set aside with the reason; values told from units that pint knows",
    "statistics by class and by source, of which pandas computes the medians alone",
    "conflicts between the sources counted, and what came from where",
    "unit slips put right, sentinels found, labels righted, gaps filled from related columns",
    "a log of every repair, by which each can be taken back",
    "columns told apart by exact covariance and information about the label; test rows held out",
    "histograms before and after each step; checksums of the shards",
)


def with_pandas(folder: str) -> dict[str, float]:
    """The same five steps as a data scientist writes them, all rows in one process."""
    import numpy as np
    import pandas as pd
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    started = time.perf_counter()
    tables = [_orchard(folder), _market(folder), _questionnaire(folder)]
    numbers = [
        "diameter_cm", "weight_g", "red", "green", "blue", "sweetness_brix", "price_eur", "year",
    ]  # fmt: skip
    raw = pd.concat([table.assign(source=n) for n, table in enumerate(tables)], ignore_index=True)
    raw[numbers].describe()
    raw[numbers].var()
    raw.groupby("fruit")[numbers].median()
    raw.groupby("source")[numbers].median()
    raw = raw.dropna(subset=["id"]).sort_values(["id", "source"], kind="stable")
    rows = raw.groupby("id", sort=True).first().dropna(subset=["fruit"])
    for name in ("diameter_cm", "weight_g", "price_eur"):
        values = np.log(rows[name].where(rows[name] > 0))
        grouped = values.groupby(rows["fruit"])
        low, high = grouped.transform("quantile", 0.25), grouped.transform("quantile", 0.75)
        spread = FENCE * (high - low)
        rows[name] = rows[name].where(values.between(low - spread, high + spread))
    for name in numbers:
        rows[name] = rows[name].fillna(rows.groupby("fruit")[name].transform("median"))
    useful = [name for name in numbers if rows[name].nunique() > 1]
    inputs = StandardScaler().fit_transform(rows[useful].to_numpy())
    reduced = PCA(n_components=0.95, svd_solver="full").fit_transform(inputs)
    np.save(Path(folder) / "pandas.npy", StandardScaler().fit_transform(reduced).astype("float32"))
    return _cost(started)


def _orchard(folder: str) -> Any:
    import pandas as pd

    frame = pd.read_parquet(Path(folder) / "sources" / "orchard")
    code = frame["colour"].str[1:].apply(int, base=16)
    return pd.DataFrame(
        {
            "id": frame["FruitID"], "fruit": frame["kind"].astype(str).str.lower(),
            "diameter_cm": frame["diameter_mm"] / 10, "weight_g": frame["weight_g"],
            "red": code // 65536, "green": code // 256 % 256, "blue": code % 256,
            "sweetness_brix": frame["brix"], "price_eur": frame["price_eur"],
            "year": frame["season"],
        }
    )  # fmt: skip


def _market(folder: str) -> Any:
    import pandas as pd

    query = (
        "SELECT fid AS id, class.name AS fruit, size_in * 2.54 AS diameter_cm, "
        "mass_lb * 453.59237 AS weight_g, red, green, blue, brix AS sweetness_brix, "
        "price_usd / 1.08 AS price_eur, year FROM fruit LEFT JOIN class ON class.no = class_no"
    )
    with sqlite3.connect(Path(folder) / "sources" / "market.sqlite") as connection:
        return pd.read_sql_query(query, connection)


def _questionnaire(folder: str) -> Any:
    import pandas as pd

    files = sorted((Path(folder) / "sources").rglob("*.csv"))
    frame = pd.concat([pd.read_csv(file, dtype=str) for file in files], ignore_index=True)
    names = frame["What fruit is it?"].str.lower().str.replace(" ", "")
    known = {name: "orange" for name in ("orange", "ornage", "naranja", "apfelsine", "橙子")}
    known |= {name: "watermelon" for name in ("watermelon", "sandía", "wassermelone", "西瓜")}
    size = frame["How big is it?"].str.extract(r"^\s*(-?\d+(?:[.,]\d+)?)\s*(cm|mm|in)\s*$")
    factor = size[1].map({"cm": 1.0, "mm": 0.1, "in": 2.54})
    return pd.DataFrame(
        {
            "id": pd.to_numeric(frame["Respondent"], errors="coerce"),
            "fruit": names.map(known),
            "diameter_cm": pd.to_numeric(size[0].str.replace(",", "."), errors="coerce") * factor,
            "weight_g": pd.to_numeric(frame["Weight (kg)"], errors="coerce") * 1000,
            "sweetness_brix": pd.to_numeric(frame["Sweetness (Brix)"], errors="coerce"),
            "price_eur": pd.to_numeric(frame["Price (EUR)"], errors="coerce"),
            "year": pd.to_numeric(frame["Which year?"], errors="coerce"),
        }
    )


def on_workers(folder: str, num_workers: int, limit_bytes: int) -> dict[str, Any]:
    """The lab's own pipeline, all processes counted."""
    with labkit.launch(num_workers, device="cpu", memory_limit_bytes=limit_bytes) as cluster:
        before = cluster.client.run(used)
        started = time.perf_counter()
        dataset = labkit.preprocess(f"{folder}/sources", cluster=cluster)
        wall_s = time.perf_counter() - started
        after = cluster.client.run(used)
    return {
        "wall_s": wall_s,
        # a worker that was restarted on the way has not been there before
        "cpu_s": sum(after[each][0] - before.get(each, (0.0, 0.0))[0] for each in after),
        "restarted": len(after.keys() - before.keys()),
        "peak_mb": max(peak for _, peak in after.values()),
        "rows_out": dataset.report["rows_out"],
        "checksums": [entry["targets"]["sha256"] for entry in dataset.manifest["shards"]],
        "steps": {step["name"]: round(step["seconds"], 1) for step in dataset.report["steps"]},
    }


def used() -> tuple[float, float]:
    """CPU seconds and peak megabytes of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def _cost(started: float) -> dict[str, float]:
    cpu_s, peak_mb = used()
    return {"wall_s": time.perf_counter() - started, "cpu_s": cpu_s, "peak_mb": peak_mb}


def make(rows: int, folder: str) -> None:
    """The sources, by two workers."""
    with labkit.launch(2, device="cpu") as cluster:
        _make(cluster, rows, folder)


def _make(cluster: Cluster, rows: int, folder: str) -> None:
    started = time.perf_counter()
    write_fruit_sources(folder, rows, 0, OnCluster(cluster.client, stall_s=3600.0))
    size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    took_s = time.perf_counter() - started
    print(f"{rows:,} fruits: {size / 1e6:,.0f} MB made in {took_s:.0f} s", flush=True)


def main() -> None:
    """Make, run each, print the table."""
    if sys.argv[1:2] == ["--pandas"]:
        print(json.dumps(with_pandas(sys.argv[2])))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    limit = int(sys.argv[2]) * 1_000_000 if len(sys.argv) > 2 else 600_000_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = sys.argv[3] if len(sys.argv) > 3 else scratch
        if not (Path(folder) / "sources").exists():
            make(rows, folder)
        found: dict[str, dict[str, Any]] = {}
        for number in (1, 2):
            found[f"labkit, {number} workers"] = on_workers(folder, number, limit)
            print(found[f"labkit, {number} workers"]["steps"], flush=True)
        done = subprocess.run(
            [sys.executable, __file__, "--pandas", folder],
            capture_output=True, text=True, check=True, timeout=3600,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        found["pandas"] = json.loads(done.stdout)
        pandas = found["pandas"]
        print(f"{'':<20}{'wall s':>8}{'/ pandas':>10}{'CPU s':>8}{'/ pandas':>10}{'peak MB':>9}")
        for name, cost in found.items():
            print(
                f"{name:<20}{cost['wall_s']:>8.1f}{cost['wall_s'] / pandas['wall_s']:>10.2f}"
                f"{cost['cpu_s']:>8.1f}{cost['cpu_s'] / pandas['cpu_s']:>10.2f}"
                f"{cost['peak_mb']:>9.0f}"
            )
        one, two = (found[f"labkit, {number} workers"] for number in (1, 2))
        same = one["checksums"] == two["checksums"]
        print(f"shards of one and of two workers are {'identical' if same else 'DIFFERENT'}")
        print("pandas leaves out:", *LEFT_OUT, sep="\n  - ")


if __name__ == "__main__":
    main()
