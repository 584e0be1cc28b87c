"""The public way in: sources to a dataset, on the workers of a cluster."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from labkit.errors import SettingError
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.report import STEPS

if TYPE_CHECKING:
    from labkit.preprocess.spec import PipelineSpec

logger = logging.getLogger(__name__)

REMOVE_DEADLINE_S = 10.0
DEFAULT_ROWS = 20_000
DATASETS = ("fruit", "flights", "digits", "text")
PREPROCESSED = ("fruit", "flights")  # the others need no steps
NO_SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


class WorkerCluster(Protocol):
    """What preprocessing needs of a cluster."""

    @property
    def client(self) -> Any:
        """The connected ``distributed.Client``."""

    @property
    def folder(self) -> Any:
        """A temporary folder on the workers' host, removed when the cluster closes."""

    @property
    def kind(self) -> str:
        """``existing`` where its workers may see other files than this process."""

    @property
    def num_shared_cores(self) -> int:
        """Processor cores that the workers share."""


def preprocess(
    sources: str | Path | Sequence[str | Path] | None = None,
    *,
    cluster: WorkerCluster,
    spec: str | Path | PipelineSpec | None = None,
    label: str | None = None,
    key: str | Sequence[str] = (),
    steps: Sequence[str] = STEPS,
    settings: Mapping[str, Mapping[str, Any]] = NO_SETTINGS,
    out: str | Path | None = None,
    layout: Literal["samples", "features"] = "samples",
    replicas: int | None = None,
    rows: int = DEFAULT_ROWS,
    seed: int = 0,
    resume: bool = False,
    on_progress: Callable[[str, int, int, dict[str, Any]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    queue_s: float = 0.0,
    num_workers: int | None = None,
) -> Dataset:
    """Take raw sources through the five steps to training shards, on the cluster's workers.

    All reading and writing happens on the workers; this process sees only small summaries. The
    result depends neither on the number of workers nor on how the sources are cut into files.

    Args:
        sources: paths on the workers' host or URLs of files, folders and databases; ``None`` takes
            those of a bundled specification.
        cluster: where to run.
        spec: how the sources are read and what the steps do: a bundled name (``"fruit"``,
            ``"flights"``), a TOML file, or a ``PipelineSpec``. ``None`` takes the bundled one that
            the sources match, else describes them by what they hold.
        label: column to be learned, for sources that no specification describes.
        key: columns that say which thing a row describes, for the same.
        steps: which of ``report.STEPS`` are done.
        settings: by step, settings to use instead of the specification's, such as
            ``{"cleaning": {"fill": "mean"}}``.
        out: folder for the dataset and its report as a page; ``None`` takes a new one in the
            cluster's temporary folder. A dataset that is there already is replaced once the new one
            is complete.
        layout: of the shards: by ``samples``, or by ``features``.
        replicas: copy each shard to the own disks of so many workers, from worker to worker;
            ``None`` leaves the shards in ``out``, which all ranks must then see.
        rows: fruits to make when those are the sources, >= 1.
        seed: of the fruits that are made.
        resume: keep what was done if preprocessing ends early, and go on from there if the same
            was begun before; needs ``out``.
        on_progress: called in this thread as ``(step, tasks done, tasks, report so far)``; the
            steps are ``"sources"`` and those of ``report.STEPS``.
        should_stop: polled; preprocessing ends when it says so.
        queue_s: seconds that it may wait for its turn, beyond two minutes, while runs hold all
            workers.
        num_workers: of the cluster to use at most, >= 1; ``None`` uses all.
    Returns:
        The dataset; nothing of it is in this process but its manifest and its report.
    Raises:
        SourceError: a source that cannot be read, does not match, or holds too little.
        SettingError: a setting out of range, or ``out`` holds something else.
        RunStopped: ``should_stop`` said so; nothing is left behind, unless it is to be resumed.
        ClusterError: the workers died again and again, are paused, or did nothing for two minutes.
    """
    from labkit.preprocess import folders
    from labkit.preprocess.choose import begin_again, chosen_spec, plan_sources
    from labkit.preprocess.pinned import DaskWorkers
    from labkit.preprocess.pipeline import check_steps, run_pipeline
    from labkit.preprocess.placement import place
    from labkit.preprocess.report import Report
    from labkit.preprocess.report_html import write_report_html
    from labkit.preprocess.resume import Resumable
    from labkit.preprocess.tasks import Executor, OnCluster

    check_made(rows, seed)
    if num_workers is not None and num_workers < 1:
        raise SettingError(f"num_workers={num_workers} is no count; choose >= 1, or None for all")
    steps = check_steps(steps)
    if resume and out is None:
        raise SettingError("resume=True needs out, the folder by which the work is found again")
    target = str(folders.target_of(out)) if out else _new_target(cluster, spec)
    if cluster.kind != "existing":  # its workers are on this machine, and see what is here
        folders.check_target(target)
    paths = None if sources is None else _paths(sources)
    chosen = chosen_spec(spec, label, key, settings, has_sources=paths is not None)
    report = Report()
    on_cluster = OnCluster(
        cluster.client,
        report=report.values,
        on_progress=on_progress,
        should_stop=should_stop,
        queue_s=queue_s,
        num_workers=num_workers,
    )
    executor: Executor = on_cluster
    draft = folders.name_draft(target, resumable=resume)
    try:
        if resume:
            begun = [rows, seed, *steps, layout, repr(chosen)]
            on_cluster.call(begin_again, draft, target, paths, begun)
            executor = Resumable(on_cluster, draft)
        else:
            on_cluster.call(folders.make_draft, draft, target)
        planned = plan_sources(executor, chosen, paths, draft, rows=rows, seed=seed)
        manifest = run_pipeline(
            executor,
            planned.parts,
            planned.spec,
            draft,
            report,
            origin=planned.origin,
            lookups=planned.lookups,
            steps=steps,
            layout=layout,
        )
        if out is not None and not Path(target).is_relative_to(str(cluster.folder)):
            # Drawing takes a second; data that go with the cluster draw it when they are asked.
            on_cluster.call(write_report_html, draft, report.values, manifest)
        on_cluster.call(folders.publish, draft, target)
        if replicas is not None:
            with DaskWorkers(cluster.client) as workers:
                manifest = place(workers, manifest, target, replicas=replicas)
    except BaseException:
        if not resume:
            _discard(cluster.client, draft)
        raise
    return Dataset(name=planned.spec.name, folder=target, manifest=manifest, report=report.values)


def dataset_for(
    name: str,
    *,
    cluster: WorkerCluster,
    should_stop: Callable[[], bool] | None = None,
    queue_s: float = 0.0,
) -> Dataset:
    """The bundled dataset of that name, prepared once for each cluster.

    Args:
        name: ``"fruit"``, ``"flights"``, ``"digits"`` or ``"text"``.
        cluster: where it is prepared and kept, in the cluster's temporary folder.
        should_stop, queue_s: as in ``preprocess``.
    Raises:
        SettingError: no bundled dataset has that name.
        ClusterError: as in ``preprocess``.
    """
    if name not in DATASETS:
        raise SettingError(f"dataset {name!r} is unknown; choose from {', '.join(DATASETS)}")
    from labkit.preprocess.bundled import prepare_once
    from labkit.preprocess.tasks import OnCluster

    target = f"{cluster.folder}/datasets/{name}"
    executor = OnCluster(cluster.client, should_stop=should_stop, queue_s=queue_s)
    if name not in PREPROCESSED:
        manifest = executor.call(prepare_once, name, target)
        return Dataset(name=name, folder=target, manifest=manifest, report=_bare_report(manifest))
    found: Dataset | None = executor.call(find_dataset, target)
    # They are small, and a worker loads its libraries first: with more of them than cores it takes
    # longer, not shorter.
    return found or preprocess(
        cluster=cluster, spec=name, out=target, should_stop=should_stop, queue_s=queue_s,
        num_workers=cluster.num_shared_cores,
    )  # fmt: skip


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


def check_made(rows: int, seed: int) -> None:
    """Raise a SettingError unless fruit can be made of these."""
    if not isinstance(rows, int) or rows < 1:
        raise SettingError(f"rows={rows!r} is not a count; choose a whole number >= 1")
    if not isinstance(seed, int) or seed < 0:
        raise SettingError(f"seed={seed!r} is not a seed; choose a whole number >= 0")


def _new_target(cluster: WorkerCluster, spec: object) -> str:
    name = spec if spec in PREPROCESSED else "data"
    return f"{cluster.folder}/datasets/{name}-{uuid.uuid4().hex[:8]}"


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
