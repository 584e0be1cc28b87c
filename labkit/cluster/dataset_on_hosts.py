"""Before ranks start on several hosts: can each of them read the training data?

The data lie in one folder that all hosts share, or each host has copies of the shards on its own
disks (see ``labkit.preprocess.placement``). Data that the lab itself keeps in the cluster's
temporary folder are copied to the hosts that cannot see it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.rank_placement import host_of
from labkit.errors import ClusterError

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.dataset import Dataset


def reach_all_hosts(dataset: Dataset, cluster: Cluster) -> Dataset:
    """The dataset, readable on every host of the cluster.

    Args:
        dataset: whose folder is on the workers' hosts.
        cluster: on one host there is nothing to do.
    Returns:
        The same dataset, or the one whose manifest names the copies that were made.
    Raises:
        ClusterError: a host lacks the user's own data; names it, what it lacks, and ways out.
    """
    workers = {host_of(address): address for address in reversed(cluster.alive_workers())}
    if len(workers) < 2:
        return dataset
    folder = str(dataset.folder)
    answers = cluster.call_workers(look_for, folder, workers=list(workers.values()))
    lacking = {worker: why for worker, (why, _) in answers.items() if why}
    if not lacking:
        return dataset
    if not Path(folder).is_relative_to(str(cluster.folder)):
        worker, why = next(iter(lacking.items()))
        raise ClusterError(
            f"host {host_of(worker)} cannot read dataset {dataset.name!r}: {why}; put it in a "
            "folder that all hosts share, or have a copy on each of them: "
            f"labkit.preprocess(..., replicas={len(workers)})"
        )
    from labkit.preprocess.pinned import DaskWorkers
    from labkit.preprocess.placement import place

    away = [worker for worker, (_, at_home) in answers.items() if not at_home]
    manifest = place(
        DaskWorkers(cluster.client), dataset.manifest, folder, replicas=len(away), on=away
    )
    copied = replace(dataset, manifest=manifest)
    for name, kept in cluster.datasets.items():
        if kept is dataset:
            cluster.datasets[name] = copied
            break
    return copied


def look_for(folder: str) -> tuple[str, bool]:
    """On a worker: why a dataset cannot be read on this host, or an empty text.

    Returns:
        The reason; and whether everything lies in the dataset's own folder.
    """
    from labkit.preprocess.manifest import MANIFEST_FILE, read_manifest
    from labkit.preprocess.placement import check_copies
    from labkit.preprocess.places import folders_of

    home = Path(folder)
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
    return "", at_home
