"""From which checkpoint a training goes on, and whether it can; asked before anything starts.

The ranks ask once more: what they read decides.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import SettingError, WorkloadError
from labkit.train.checkpoint_files import Checkpoints, Saved
from labkit.workload import Workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.runs.record import RunRecord

_FREE = ("description",)  # of a workload; changes nothing
_RUNS = "runs"  # folder of the kept runs, where none is named


def check_every(every: int | None) -> None:
    """Raise a SettingError unless ``checkpoint_every`` is a count, 0 or ``None``."""
    if every:
        Checkpoints(folder="", every_steps=every)


def plan_checkpoints(
    every: int | None, runs: str | Path | None, cluster: Cluster
) -> tuple[Checkpoints | None, str]:
    """Where a new run leaves its checkpoints, and its identifier; see ``train``.

    Raises:
        SettingError: a negative count, or any count where hosts share no files.
    """
    from labkit.cluster.gang import new_run
    from labkit.runs.kept_checkpoints import kept_in, passing_in

    run = new_run()
    if every == 0:
        return None, run
    if not cluster.shares_files:  # each host would have a part of them, and none the whole
        if every is not None:
            raise SettingError(
                f"checkpoint_every={every}, but the cluster's hosts share no files; launch it with "
                "shared_folder=..., or leave checkpoint_every out: a run that fails begins again"
            )
        return None, run
    folder = passing_in(cluster.folder, run) if runs is None else kept_in(runs, run)
    passing = runs is None and every is None
    return Checkpoints(folder=str(folder), every_steps=every, passing=passing), run


def find_resumed(
    resume: str | RunRecord | None, runs: str | Path | None, cluster: Cluster
) -> Saved | None:
    """The checkpoint that a training goes on from, ``None`` of one that begins; see ``train``.

    Workers of somebody's cluster may see files that are not seen here, so one of them looks, too.

    Raises:
        SettingError: there is none, or it may not be read.
        ClusterError: none is here, and no worker answers.
    """
    from labkit.cluster.shared_files import ask_a_worker
    from labkit.runs.kept_checkpoints import find_saved

    if resume is None:
        return None
    name = resume if isinstance(resume, str) else resume.run
    where = Path(_RUNS if runs is None else runs).absolute()
    try:
        return find_saved(name, where, cluster.folder)
    except SettingError as not_here:
        if cluster.kind != "existing":
            raise
        there = str(Path(name).absolute()) if os.sep in name else name
        try:
            found: Saved = ask_a_worker(cluster, find_saved, there, where, cluster.folder)
        except SettingError:
            raise not_here from None
        return found


def saved_workload(saved: Saved) -> Workload:
    """The workload of a checkpoint.

    Raises:
        SettingError: its model is one from a notebook or a script, of which only the name is kept.
    """
    from labkit.runs.repeat import workload_of_values

    return workload_of_values(saved.workload, f"checkpoint {saved.folder}")


def emulation_of(saved: Saved) -> tuple[str | None, float | None]:
    """Device and time scale of the emulated run that wrote a checkpoint; ``None`` of a measured."""
    return saved.emulation.get("device"), saved.emulation.get("time_scale")


def check_goes_on(saved: Saved, workload: Workload, num_samples: int, num_steps: int) -> None:
    """Refuse a checkpoint of another training, or of one that is over.

    Args:
        saved: the checkpoint.
        workload: that is going to be trained.
        num_samples: of its training data.
        num_steps: that are asked for, from the beginning of the training.
    Raises:
        WorkloadError: another workload, or other settings of it.
        SettingError: another dataset, or no step left to do.
    """
    check_same_training(saved, workload, num_samples)
    if saved.step >= num_steps:
        raise SettingError(
            f"checkpoint {saved.folder} has done {saved.step} steps, and steps={num_steps} are "
            f"asked for in all; choose more than {saved.step}"
        )


def check_same_training(saved: Saved, workload: Workload, num_samples: int) -> None:
    """As ``check_goes_on``, without the steps: a rank may find none left, and only evaluate."""
    wanted: dict[str, Any] = json.loads(json.dumps(workload.to_dict()))
    names = [n for n in wanted if n not in _FREE and wanted[n] != saved.workload.get(n)]
    if "name" in names:
        names = ["name"]
    if names:
        theirs = ", ".join(f"{name}={saved.workload.get(name)!r}" for name in names)
        ours = ", ".join(f"{name}={wanted[name]!r}" for name in names)
        raise WorkloadError(
            f"checkpoint {saved.folder} was trained with {theirs}, not with {ours}; go on with its "
            "own workload, or begin anew"
        )
    if saved.num_samples and saved.num_samples != num_samples:
        raise SettingError(
            f"checkpoint {saved.folder} was trained on {saved.num_samples:,} samples, but the "
            f"dataset has {num_samples:,}; the data order would be another one: go on with its own "
            "dataset"
        )
