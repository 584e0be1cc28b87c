"""On the hosts of an existing cluster: do all of them see the same files?

A cluster keeps its datasets and checkpoints in one folder. Where hosts do not share it, what was
written by a worker of one host is not there on another: preprocessing then stays on one host, and
its result is copied to the others (see ``dataset_on_hosts``).
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.cluster.ask_scheduler import CALL_S, PATIENT_S, ask_scheduler
from labkit.cluster.rank_placement import host_of
from labkit.cluster.workers import ask_workers
from labkit.errors import ClusterError, SettingError

if TYPE_CHECKING:
    from distributed import Client, Scheduler

    from labkit.cluster.cluster import Cluster

HOME_HOSTS = "labkit-home-hosts"
ASK_EVERY_S = 0.25  # whether there is a worker again


def make_shared_folder(client: Client, workers: list[str], parent: str, name: str) -> Path:
    """Make a cluster's folder on storage that all its hosts share.

    Args:
        client: of the cluster.
        workers: addresses of its workers.
        parent: the user's folder, absolute, which every host must see and may write to.
        name: of the new folder in it, which is private to this user.
    Raises:
        SettingError: a host, or the scheduler's, does not see it; names the host.
    """
    if not Path(parent).is_absolute():
        raise SettingError(f"shared_folder={parent!r} is not absolute; give its path on the hosts")
    folder = Path(parent) / name
    first, *others = {host_of(address): address for address in workers}.values()
    why = ask_workers(client, make_folder, str(folder), workers=[first])[first]
    if why:
        raise SettingError(
            f"host {host_of(first)} cannot write in shared_folder={parent!r} ({why}); choose a "
            "folder that it can write to"
        )
    for worker in blind_workers(client, str(folder), first, others):
        ask_workers(client, remove, str(folder), workers=[first])
        raise SettingError(
            f"host {host_of(worker)} does not see what host {host_of(first)} writes in "
            f"shared_folder={parent!r}; choose a folder on storage that all hosts share, or leave "
            "it out: then every host keeps its own copies"
        )
    if not ask_scheduler(client, sees_folder, str(folder)):
        ask_workers(client, remove, str(folder), workers=[first])
        raise SettingError(
            f"the scheduler's host does not see shared_folder={parent!r}, and has to clear it away "
            "at the end; choose a folder that it sees as well"
        )
    return folder


def find_home(client: Client, workers: list[str], folder: str) -> str:
    """The host on which preprocessing has to stay, that with the most workers; empty for none.

    Args:
        client: of the cluster.
        workers: addresses of its workers.
        folder: the cluster's.
    """
    by_host: dict[str, list[str]] = {}
    for address in workers:
        by_host.setdefault(host_of(address), []).append(address)
    first, *others = (each[0] for each in sorted(by_host.values(), key=len, reverse=True))
    return host_of(first) if others and blind_workers(client, folder, first, others) else ""


def blind_workers(client: Client, folder: str, first: str, others: list[str]) -> list[str]:
    """Those of the other workers that do not see what the first one writes into a folder."""
    probe = f"{folder}/.probe-{uuid.uuid4().hex[:8]}"
    if ask_workers(client, write_probe, probe, workers=[first])[first]:
        return others
    seen: dict[str, bool] = ask_workers(client, sees, probe, workers=others) if others else {}
    ask_workers(client, remove, probe, workers=[first])
    return [worker for worker, is_there in seen.items() if not is_there]


def ask_a_worker(cluster: Cluster, function: Callable[..., Any], *args: Any) -> Any:
    """What a function says of the files that the cluster's workers share: the first answer of one.

    Raises:
        ClusterError: no worker answers.
        Exception: what the function raised on a worker.
    """
    deadline = time.monotonic() + PATIENT_S
    while True:
        try:
            workers, why = cluster.alive_workers(), "it has none now"
        except ClusterError as error:
            workers, why = [], str(error)
        for worker in workers:
            try:
                answers = ask_workers(
                    cluster.client, function, *args, workers=[worker], timeout_s=CALL_S
                )
                return answers[worker]
            except (ClusterError, OSError) as error:
                why = str(error)
        if time.monotonic() >= deadline or cluster.client.status != "running":
            raise ClusterError(
                f"no worker of the cluster says what is in the run's files ({why}); see that its "
                "workers are there, then go on with resume="
            )
        time.sleep(ASK_EVERY_S)  # the only one may be coming back


def stay_at_home(client: str, host: str, *, dask_scheduler: Scheduler) -> None:
    """On the scheduler: tasks of this client that share files go to this host only."""
    home_hosts(dask_scheduler)[client] = host


def home_hosts(scheduler: Scheduler) -> dict[str, str]:
    """On the scheduler: for clients whose tasks have to stay on one host, that host."""
    homes: dict[str, str] = scheduler.extensions.setdefault(HOME_HOSTS, {})
    return homes


def make_folder(folder: str) -> str:
    """On a worker: make a private folder; why it cannot be, or an empty text."""
    try:
        Path(folder).mkdir(mode=0o700)
    except OSError as error:
        return str(error)
    return ""


def write_probe(path: str) -> str:
    """On a worker: leave a file for others to see; why it cannot be, or an empty text."""
    try:
        Path(path).touch(mode=0o600)
    except OSError as error:
        return str(error)
    return ""


def sees(path: str) -> bool:
    """On a worker: whether a file is there. Asking for its folder refreshes what NFS remembers."""
    here = Path(path)
    return here.parent.is_dir() and here.name in {each.name for each in here.parent.iterdir()}


def sees_folder(path: str) -> bool:
    """On the scheduler: whether a folder is there."""
    try:
        return Path(path).is_dir()
    except OSError:  # nobody but its owner may look
        return False


def remove(path: str) -> None:
    """On a worker or the scheduler: remove a file or a folder."""
    if Path(path).is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        Path(path).unlink(missing_ok=True)
