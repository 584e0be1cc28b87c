"""Before ranks start on several hosts: can each of them read the training data?

The data lie in one folder that all hosts share, or each host has copies of the shards on its own
disks (see ``labkit.preprocess.placement``). Data that the lab itself keeps in the cluster's
temporary folder are copied to the hosts that cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.rank_placement import host_of
from labkit.errors import ClusterError

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
        ClusterError: a host lacks the user's own data, or none has the lab's any more; names it,
            and says what to do.
    """
    everywhere = {host_of(address): address for address in reversed(cluster.alive_workers())}
    everywhere |= {host_of(address): address for address in reversed(among or ())}
    if len(everywhere) < 2:
        return
    folder = str(dataset.folder)
    answers = cluster.call_workers(look_for, folder, workers=list(everywhere.values()))
    concerned = set(everywhere) if among is None else set(map(host_of, among))
    lacking = {
        worker: why for worker, (why, _) in answers.items() if why and host_of(worker) in concerned
    }
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
    if not holders:
        for name in [name for name, kept in cluster.datasets.items() if kept is dataset]:
            del cluster.datasets[name]
        raise ClusterError(
            f"the host that held dataset {dataset.name!r} is gone, or was started again; prepare "
            "it anew by training again"
        )
    _copy(cluster, dataset, holders[0], list(lacking))


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
