"""Before ranks start on several hosts: can each of them read the training data?

The data lie in one folder that all hosts share, or each host has copies of the shards on its own
disks (see ``labkit.preprocess.placement``). Data that the lab itself keeps in the cluster's
temporary folder are copied to the hosts that cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.ask_scheduler import ask_scheduler
from labkit.cluster.rank_placement import host_of
from labkit.cluster.silent_workers import UNHEARD_S, list_unheard
from labkit.cluster.workers import WorkersLate, ask_workers
from labkit.errors import ClusterError, LabError

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset


def reach_all_hosts(dataset: Dataset, cluster: Cluster, among: Sequence[str] | None = None) -> None:
    """See that a dataset can be read on every host; copy it there if it is the lab's own.

    Args:
        dataset: whose folder is on the workers' hosts.
        cluster: on one host there is nothing to do.
        among: addresses of the workers whose hosts it concerns, and that are free to copy; ``None``
            for all.
    Raises:
        WorkersLate: a host does not answer, so nobody knows.
        ClusterError: a host lacks the user's own data, or none has the lab's any more; names it,
            and says what to do.
    """
    alive = cluster.alive_workers()
    everywhere = {host_of(address) for address in (*alive, *(among or ()))}
    if len(everywhere) < 2:
        return
    folder = str(dataset.folder)
    answers = _ask_one_each(cluster, folder, alive if among is None else among)
    lacking = {worker: why for worker, (why, _) in answers.items() if why}
    if not lacking:
        return
    if not Path(folder).is_relative_to(str(cluster.folder)):
        worker, why = next(iter(lacking.items()))
        raise ClusterError(
            f"host {host_of(worker)} cannot read dataset {dataset.name!r}: {why}; put it in a "
            "folder that all hosts share, or have a copy on each of them: "
            f"labkit.preprocess(..., replicas={len(everywhere)})"
        )
    holders = [worker for worker, (_, at_home) in answers.items() if at_home]
    for other in (each for each in alive if each not in answers):
        if holders:
            break
        found = cluster.call_workers(look_for, folder, workers=[other])
        holders = [worker for worker, (_, at_home) in found.items() if at_home]
    if not holders:
        for name in [name for name, kept in cluster.datasets.items() if kept is dataset]:
            del cluster.datasets[name]
        raise ClusterError(
            f"the host that held dataset {dataset.name!r} is gone, or was started again; prepare "
            "it anew by training again"
        )
    _copy(cluster, dataset, holders[0], list(lacking))


def _ask_one_each(
    cluster: Cluster, folder: str, workers: Sequence[str]
) -> dict[str, tuple[str, bool]]:
    """What ``look_for`` says on each host: by the first worker that has been heard lately."""
    unheard = ask_scheduler(cluster.client, list_unheard, list(workers), UNHEARD_S)
    best_last = sorted(reversed(workers), key=lambda worker: worker not in unheard)
    chosen = {host_of(worker): worker for worker in best_last}
    try:
        return ask_workers(cluster.client, look_for, folder, workers=list(chosen.values()))
    except OSError as error:
        raise WorkersLate(
            f"a worker was lost while it looked for the dataset in {folder} ({error}); try again"
        ) from error


def _copy(cluster: Cluster, dataset: Dataset, source: str, targets: Sequence[str]) -> None:
    """Copy a dataset's shards from worker to worker, into the same folder on each one's host."""
    from labkit.preprocess.pinned import DaskWorkers
    from labkit.preprocess.placement import keep_manifest, read_copy, write_copy

    folder, manifest = str(dataset.folder), dict(dataset.manifest)
    with DaskWorkers(cluster.client) as workers:
        for entry in manifest["shards"]:
            contents = workers.start(source, read_copy, folder, entry)
            for written in [
                workers.start(target, write_copy, folder, entry, contents) for target in targets
            ]:
                workers.result(written)
        for kept in [workers.start(each, keep_manifest, folder, manifest) for each in targets]:
            workers.result(kept)


def look_for(folder: str) -> tuple[str, bool]:
    """On a worker: why a dataset cannot be read on this host, or an empty text.

    Returns:
        The reason; and whether everything lies in the dataset's own folder.
    """
    from labkit.preprocess.manifest import MANIFEST_FILE, read_manifest
    from labkit.preprocess.placement import check_copies
    from labkit.preprocess.places import folders_of

    home = Path(folder)
    try:
        if not (home / MANIFEST_FILE).is_file():
            return f"{home / MANIFEST_FILE} is not there", False
        manifest = read_manifest(home)
        at_home = not any(check_copies(folder, manifest["shards"], deep=False))
        for entry in manifest["shards"]:
            found = [
                check_copies(str(place), [entry], deep=False)[0]
                for place in folders_of(manifest, entry, home)
            ]
            if all(found):
                return found[-1], False
    except (OSError, LabError) as error:  # not this user's, on a disk that fails, or damaged
        return str(error), False
    return "", at_home
