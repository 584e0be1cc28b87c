"""Fruit sources for the preprocessing tests, and what tasks leave behind."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from distributed import Scheduler

from labkit.cluster.cluster import Cluster
from labkit.preprocess.tasks import InThisProcess

ROWS = 9000
SEED = 3
FORGET_S = 10.0


def known_tasks(*, dask_scheduler: Scheduler) -> list[str]:
    """On the scheduler: keys of its tasks."""
    return [str(key) for key in dask_scheduler.tasks]


@pytest.fixture(scope="session")
def wait_until_forgotten() -> Callable[[Cluster], None]:
    """Call it with a cluster: waits until neither its client nor its scheduler knows a task."""

    def wait(cluster: Cluster) -> None:
        deadline = time.monotonic() + FORGET_S
        while known := (
            list(cluster.client.futures) or cluster.client.run_on_scheduler(known_tasks)
        ):
            assert time.monotonic() < deadline, known
            time.sleep(0.01)

    return wait


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nobody collects reference cycles: what is held in one stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def fruit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sources`` and ``truth`` of 9,000 fruits."""
    from labkit.preprocess.fruit_files import write_fruit_sources

    folder = tmp_path_factory.mktemp("fruit")
    write_fruit_sources(str(folder), ROWS, SEED, InThisProcess())
    return folder


@pytest.fixture(scope="session")
def truth(fruit_folder: Path) -> pd.DataFrame:
    """What the fruits really are, by identifier."""
    files = sorted((fruit_folder / "truth").glob("part-*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files]).set_index("fruit_id")


@pytest.fixture(scope="session")
def errors(fruit_folder: Path) -> pd.DataFrame:
    """Which errors were made: fruit_id, source, column, error."""
    files = sorted((fruit_folder / "truth").glob("errors-*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
