"""Where runs leave their checkpoints, and which one a run is to go on from.

A run that is kept has them beside its record, also when nothing was left to write a record; another
run has them in its cluster's folder, and they are gone with it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.shared_files import ask_a_worker
from labkit.errors import SettingError
from labkit.train.checkpoint_files import DESCRIPTION_FILE, Checkpoints, Saved, latest, read

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster

logger = logging.getLogger(__name__)

CHECKPOINT_FOLDER = "checkpoints"  # in the folder of a kept run, or of a cluster


def kept_in(runs: Path | str, run: str) -> Path:
    """The folder of the checkpoints of a kept run; absolute, for ranks work elsewhere."""
    return Path(runs).absolute() / run / CHECKPOINT_FOLDER


def passing_in(cluster_folder: Path, run: str) -> Path:
    """The folder of the checkpoints of a run that is not kept."""
    return cluster_folder / CHECKPOINT_FOLDER / run


def find_saved(resume: str, runs: Path | str, cluster_folder: Path | None = None) -> Saved:
    """The newest checkpoint of a run.

    Args:
        resume: a kept run, or the beginning of its name that no other has; a run of this cluster;
            or the folder of its checkpoints, or of one of them.
        runs: folder of the kept runs.
        cluster_folder: of the cluster; ``None`` before there is one.
    Raises:
        SettingError: there is none, or it may not be read; says why.
    """
    given = Path(resume)
    if (given / DESCRIPTION_FILE).exists():
        return read(given.absolute())
    folder = None if cluster_folder is None else passing_in(cluster_folder, resume)
    if folder is None or not resume or not folder.is_dir():
        is_folder = given.is_dir() and any(given.glob("step-*"))
        folder = given if is_folder else kept_in(runs, _name_of(resume, runs))
    saved = latest(folder.absolute())
    if saved is None:
        raise SettingError(
            f"run {resume!r} has no complete checkpoint in {folder}; begin anew, with "
            "checkpoint_every where it is to be gone on from"
        )
    return saved


def find_newest(
    cluster: Cluster, checkpoints: Checkpoints | None, committed: str, at_most: int
) -> Saved | None:
    """The checkpoint that a run which has failed goes on from; ``None`` where there is none.

    The workers of somebody's cluster may have written it where this process sees no files, or
    those of another machine; so there one of them looks.

    Args:
        cluster: of the run.
        checkpoints: where it has left them; ``None`` for a run that writes none.
        committed: name of the one that the leader committed last, if that is known.
        at_most: steps; none beyond them.
    Raises:
        SettingError: they may not be read.
        ClusterError: no worker answers.
    """
    if checkpoints is None:
        return None
    packet = (checkpoints.folder, committed, at_most)
    if cluster.kind != "existing":
        return newest_in(*packet)
    found: Saved | None = ask_a_worker(cluster, newest_in, *packet)
    return found


def newest_in(folder: str, committed: str, at_most: int) -> Saved | None:
    """Here, or on a worker: the committed one of a folder, else the newest one that is whole."""
    if committed:
        try:
            saved = read(Path(folder) / committed)
        except SettingError as error:
            logger.warning("%s", error)
        else:
            if saved.step <= at_most:
                return saved
    return latest(folder, at_most=at_most)


def _name_of(resume: str, runs: Path | str) -> str:
    """The name of a kept run, by the beginning of it."""
    from labkit.runs.store import RunStore

    try:
        return RunStore(runs).folder_of(resume).name
    except SettingError as error:
        raise SettingError(
            f"{error}; a run that is not kept there can be gone on with until its cluster is "
            "closed, if it was given checkpoint_every"
        ) from error


def is_checkpoints(path: Path) -> bool:
    """Whether a folder holds checkpoints and nothing else."""
    return (
        path.name == CHECKPOINT_FOLDER
        and path.is_dir()
        and not path.is_symlink()
        and all(entry.name.startswith("step-") for entry in path.iterdir())
    )


def remove(paths: Iterable[Path]) -> None:
    """Remove files, and folders of checkpoints.

    Raises:
        OSError: one cannot be removed.
    """
    for path in paths:
        if is_checkpoints(path):
            shutil.rmtree(path)
        else:
            path.unlink()
