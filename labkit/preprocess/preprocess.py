"""The public way in: sources to a dataset, on the workers of a cluster."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from labkit.errors import SettingError
from labkit.preprocess.dataset import Dataset

logger = logging.getLogger(__name__)

REMOVE_DEADLINE_S = 10.0
DEFAULT_ROWS = 20_000
DATASETS = ("fruit", "digits", "text")


class WorkerCluster(Protocol):
    """What preprocessing needs of a cluster."""

    @property
    def client(self) -> Any:
        """The connected ``distributed.Client``."""

    @property
    def folder(self) -> Any:
        """A temporary folder on the workers' host, removed when the cluster closes."""


def preprocess(
    sources: str | Path | Sequence[str | Path] | None = None,
    *,
    cluster: WorkerCluster,
    out: str | Path | None = None,
    rows: int = DEFAULT_ROWS,
    seed: int = 0,
    on_progress: Callable[[str, int, int, dict[str, Any]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Dataset:
    """Take raw sources through the five steps to training shards, on the cluster's workers.

    All reading and writing happens on the workers; this process sees only small summaries. The
    result does not depend on the number of workers.

    Args:
        sources: path or paths, on the workers' host, of Parquet files, SQLite databases, CSV
            questionnaires or folders of them; ``None`` makes the bundled fruit sources first.
        cluster: where to run.
        out: folder for the dataset; ``None`` takes a new one in the cluster's temporary folder. A
            dataset that is there already is replaced once the new one is complete.
        rows: fruits to make when ``sources`` is ``None``, >= 1.
        seed: of the fruits that are made.
        on_progress: called in this thread as ``(step, tasks done, tasks, report so far)``; the
            steps are those of ``report.STEPS``, before them ``"sources"`` when fruits are made.
        should_stop: polled; preprocessing ends when it says so.
    Returns:
        The dataset; nothing of it is in this process but its manifest and its report.
    Raises:
        SourceError: a source that cannot be read, does not match, or holds too little.
        SettingError: ``rows`` or ``seed`` out of range, or ``out`` holds something else.
        RunStopped: ``should_stop`` said so; nothing is left behind.
        ClusterError: the workers died, are paused, or did nothing for two minutes.
    """
    from labkit.preprocess import folders
    from labkit.preprocess.fruit_files import write_fruit_sources
    from labkit.preprocess.pipeline import run_pipeline
    from labkit.preprocess.report import Report
    from labkit.preprocess.tasks import OnCluster

    _check_settings(rows, seed)
    target = str(Path(out).expanduser().absolute()) if out else _new_target(cluster)
    paths = None if sources is None else _paths(sources)
    report = Report()
    executor = OnCluster(
        cluster.client, report=report.values, on_progress=on_progress, should_stop=should_stop
    )
    draft = folders.name_draft(target)
    try:
        executor.call(folders.make_draft, draft, target)
        origin: Any = paths
        if paths is None:
            paths = write_fruit_sources(draft, rows, seed, executor)
            origin = {"made": "fruit", "rows": rows, "seed": seed}
        manifest = run_pipeline(executor, paths, draft, report, origin=origin)
        executor.call(folders.publish, draft, target)
    except BaseException:
        executor.cancel()
        _discard(cluster.client, draft)
        raise
    return Dataset(name="fruit", folder=target, manifest=manifest, report=report.values)


def dataset_for(
    name: str, *, cluster: WorkerCluster, should_stop: Callable[[], bool] | None = None
) -> Dataset:
    """The bundled dataset of that name, prepared once for each cluster.

    Args:
        name: ``"fruit"``, ``"digits"`` or ``"text"``.
        cluster: where it is prepared and kept, in the cluster's temporary folder.
        should_stop: as in ``preprocess``.
    Raises:
        SettingError: no bundled dataset has that name.
        ClusterError: as in ``preprocess``.
    """
    if name not in DATASETS:
        raise SettingError(f"dataset {name!r} is unknown; choose from {', '.join(DATASETS)}")
    from labkit.preprocess.bundled import prepare_once
    from labkit.preprocess.tasks import OnCluster

    target = f"{cluster.folder}/datasets/{name}"
    executor = OnCluster(cluster.client)
    if name != "fruit":
        manifest = executor.call(prepare_once, name, target)
        return Dataset(name=name, folder=target, manifest=manifest, report=_bare_report(manifest))
    found: Dataset | None = executor.call(find_dataset, target)
    return found or preprocess(cluster=cluster, out=target, should_stop=should_stop)


def find_dataset(folder: str) -> Dataset | None:
    """The dataset that ``preprocess`` left in this folder of this host, or ``None``."""
    from labkit.preprocess.report import read_report
    from labkit.preprocess.shards import MANIFEST_FILE, read_manifest

    if not (Path(folder) / MANIFEST_FILE).is_file():
        return None
    manifest = read_manifest(folder)
    return Dataset(
        name=manifest["name"], folder=folder, manifest=manifest, report=read_report(folder)
    )


def _check_settings(rows: int, seed: int) -> None:
    if not isinstance(rows, int) or rows < 1:
        raise SettingError(f"rows={rows!r} is not a count; choose a whole number >= 1")
    if not isinstance(seed, int) or seed < 0:
        raise SettingError(f"seed={seed!r} is not a seed; choose a whole number >= 0")


def _new_target(cluster: WorkerCluster) -> str:
    return f"{cluster.folder}/datasets/fruit-{uuid.uuid4().hex[:8]}"


def _paths(sources: str | Path | Sequence[str | Path]) -> list[str]:
    """Absolute paths, as a worker's current folder is another; addresses are left as they are."""
    each = [sources] if isinstance(sources, str | Path) else sources
    if not each:
        raise SettingError("sources is empty; give at least one path, or None for made-up fruit")
    return [
        path if "://" in path else str(Path(path).expanduser().absolute())
        for path in map(str, each)
    ]


def _discard(client: Any, draft: str) -> None:
    """Remove what an ended preprocessing wrote, by a worker, or from here if none can."""
    from labkit.preprocess.folders import discard
    from labkit.preprocess.tasks import OnCluster

    try:
        OnCluster(client, stall_s=REMOVE_DEADLINE_S).call(discard, draft)
    except Exception:
        logger.warning("no worker could remove %s; trying from here", draft, exc_info=True)
        discard(draft)


def _bare_report(manifest: Any) -> dict[str, Any]:
    """The report of a dataset that needs no steps."""
    rows = sum(entry["rows"] for entry in manifest["shards"])
    return {
        "statistics": {},
        "steps": [],
        "rows_in": rows,
        "rows_out": rows,
        "set_aside": 0,
        "shards": len(manifest["shards"]),
        "seconds": 0.0,
    }
